// SPDX-License-Identifier: Apache-2.0
/*
 * Reader of the kernel's ring buffer map. Our own rather than libbpf's, because its pages must not be inherited by
 * children (MADV_DONTFORK) and because nobody is woken per record: the profiler thread drains it on a timer.
 * Layout: Documentation/bpf/ringbuf.rst of Linux. One thread reads.
 */
#ifndef OTP_CAPTURE_RING_H
#define OTP_CAPTURE_RING_H

#include <stddef.h>
#include <stdint.h>

struct otp_ring;

/* Receives one record; the bytes are valid during the call. */
typedef void (*otp_ring_fn)(void *user, const void *record, size_t size);

/* Maps the ring `fd` of `size` bytes (a power of two). NULL with errno set. */
struct otp_ring *otp_ring_open(int fd, size_t size);

/* Takes NULL. */
void otp_ring_close(struct otp_ring *ring);

/* Hands over all records that are complete, at most one ring full. Returns how many. */
size_t otp_ring_drain(struct otp_ring *ring, otp_ring_fn receiver, void *user);

#endif

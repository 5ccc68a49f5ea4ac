// SPDX-License-Identifier: Apache-2.0
/*
 * Records on their way from hooks to the profiler thread: buffers from lists without locks, filled at leisure by a
 * thread that may be held up in the middle of it, handed over whole. Nobody is woken; the profiler looks in now and
 * then. Small buffers take nearly all stacks; large ones take any. In a forked child there are none.
 */
#ifndef OTP_HOOKS_HOOK_RING_H
#define OTP_HOOKS_HOOK_RING_H

#include <stddef.h>
#include <stdint.h>

#define OTP_HOOK_SMALL_BYTES 1024u /* a buffer holds this less 8 */
#define OTP_HOOK_LARGE_BYTES 5120u

/* Maps the buffers, or finds those of before. 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL. One caller at a time. */
int otp_hook_ring_make(void);

enum otp_hook_size { OTP_HOOK_SMALL, OTP_HOOK_LARGE, OTP_HOOK_SIZES };

/* A buffer aligned to 8, or NULL: none is free. Any thread, as the two after it. */
void *otp_hook_ring_take(enum otp_hook_size size);

/* The number of a large buffer among its kind; UINT32_MAX for a small one. */
uint32_t otp_hook_ring_place(const void *bytes);

/* Bytes that fit into a buffer of that kind. */
size_t otp_hook_ring_room(enum otp_hook_size size);

/* Gives a buffer back unused. */
void otp_hook_ring_drop(void *bytes);

/* Hands over the first `size` bytes. */
void otp_hook_ring_put(void *bytes, size_t size);

/* Hands what has come to `receiver`, in the order in which it came. Returns how many. On the profiler thread. */
typedef void (*otp_hook_record_fn)(void *user, const void *record, size_t size);
size_t otp_hook_ring_drain(otp_hook_record_fn receiver, void *user);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Closed windows on their way from the profiler thread to the export thread: first in, first out, bounded in bytes. A
 * window that does not fit pushes out the oldest. No lock inside: the worker's lock covers it.
 */
#ifndef OTP_EXPORT_QUEUE_H
#define OTP_EXPORT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_window;

#define OTP_QUEUE_WINDOWS_MAX 64

struct otp_queue_entry {
    struct otp_window *window;
    uint64_t ticket; /* 1 and up, in order of arrival */
    size_t bytes;
};

struct otp_queue {
    struct otp_queue_entry entries[OTP_QUEUE_WINDOWS_MAX];
    uint32_t first;
    uint32_t count;
    size_t bytes;
    size_t bytes_limit;
};

/* An empty queue. */
void otp_queue_init(struct otp_queue *queue, size_t bytes_limit);

/* True if a window of so many bytes fits without pushing another one out. */
bool otp_queue_fits(const struct otp_queue *queue, size_t bytes);

/* Appends; the caller has made room. Tickets ascend. */
void otp_queue_put(struct otp_queue *queue, struct otp_window *window, uint64_t ticket, size_t bytes);

/* Takes the oldest out; window NULL if there is none. */
struct otp_queue_entry otp_queue_take(struct otp_queue *queue);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What is known of each thread from one snapshot to the next. On the profiler thread. */
#ifndef OTP_CORE_THREAD_BOOK_H
#define OTP_CORE_THREAD_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "core/futex_lock.h"

struct otp_thread_book;

struct otp_thread_entry {
    uint32_t tid;       /* by its own PID namespace; never 0 */
    uint32_t serial;    /* of the snapshot that saw it last; 0: it is new */
    uint32_t cpu_units; /* CPU time then (OTP_CPU_UNIT_SHIFT), which may have wrapped */
    uint32_t reserved;
    uint64_t switches;
    struct otp_futex_lock wait;
    char name[32];
};

/* NULL when out of memory. */
struct otp_thread_book *otp_thread_book_new(void);

/* Takes NULL. */
void otp_thread_book_free(struct otp_thread_book *book);

/* The entry of a thread, made if new, valid until the next call that makes one. NULL when out of memory. */
struct otp_thread_entry *otp_thread_book_entry(struct otp_thread_book *book, uint32_t tid);

/* The entry of a thread, or NULL. */
struct otp_thread_entry *otp_thread_book_find(const struct otp_thread_book *book, uint32_t tid);

/* Forgets the threads that no snapshot has seen from this one on. */
void otp_thread_book_sweep(struct otp_thread_book *book, uint32_t first);

/* Entries by number, from 0 to below otp_thread_book_count(), in no order; as valid as above. */
size_t otp_thread_book_count(const struct otp_thread_book *book);
struct otp_thread_entry *otp_thread_book_at(const struct otp_thread_book *book, size_t number);

#endif

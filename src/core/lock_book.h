// SPDX-License-Identifier: Apache-2.0
/*
 * The locks that were waited for lately, and where each of them was first waited for: what a lock without a name is
 * known by. An address that nobody has waited for in a while is forgotten: another lock may lie there by then. On the
 * profiler thread.
 */
#ifndef OTP_CORE_LOCK_BOOK_H
#define OTP_CORE_LOCK_BOOK_H

#include <stdbool.h>
#include <stdint.h>

struct otp_lock_book;

/* NULL when out of memory. */
struct otp_lock_book *otp_lock_book_new(void);

/* Takes NULL. */
void otp_lock_book_free(struct otp_lock_book *book);

struct otp_lock_entry {
    uint64_t site; /* address in the function that waited for it first */
    bool told;     /* among those whose address is told this window */
};

/* The entry of a lock that was waited for at `site` now, made if new. NULL: the book is full. */
const struct otp_lock_entry *otp_lock_book_waited(struct otp_lock_book *book, uint64_t lock, uint64_t site);

/* The entry of a lock, or NULL. */
const struct otp_lock_entry *otp_lock_book_find(const struct otp_lock_book *book, uint64_t lock);

/* Once a window. */
void otp_lock_book_end_window(struct otp_lock_book *book);

#endif

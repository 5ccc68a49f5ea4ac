// SPDX-License-Identifier: Apache-2.0
#include "core/lock_book.h"

#include <stdlib.h>

#include "base/sys.h"

#define PLACES 2048u
#define ENTRIES_MAX 1024u
#define TOLD_MAX 64u   /* addresses a window: each is a series of its own to some receivers */
#define WINDOWS_KEPT 6 /* without a wait */

struct place {
    uint64_t lock; /* 0: free */
    uint32_t window;
    struct otp_lock_entry entry;
};

struct otp_lock_book {
    uint32_t window, count, told;
    struct place places[PLACES];
};

struct otp_lock_book *otp_lock_book_new(void) {
    return otp_sys.calloc(1, sizeof(struct otp_lock_book));
}

void otp_lock_book_free(struct otp_lock_book *book) { free(book); }

/* The lock's place, or the free one that it would get. There always is one: the table is never more than half full. */
static uint32_t place_of(const struct otp_lock_book *book, uint64_t lock) {
    uint32_t at = (uint32_t)(lock * 0x9e3779b97f4a7c15u >> 32) % PLACES;
    while (book->places[at].lock && book->places[at].lock != lock)
        at = (at + 1) % PLACES;
    return at;
}

const struct otp_lock_entry *otp_lock_book_find(const struct otp_lock_book *book, uint64_t lock) {
    const struct place *place = &book->places[place_of(book, lock)];
    return place->lock ? &place->entry : NULL;
}

const struct otp_lock_entry *otp_lock_book_waited(struct otp_lock_book *book, uint64_t lock, uint64_t site) {
    struct place *place = &book->places[place_of(book, lock)];
    if (!place->lock) {
        if (book->count == ENTRIES_MAX)
            return NULL;
        *place = (struct place){.lock = lock, .entry = {.site = site}};
        book->count++;
    }
    place->window = book->window;
    if (!place->entry.told && book->told < TOLD_MAX) {
        place->entry.told = true;
        book->told++;
    }
    return &place->entry;
}

/* Those that were told go on being told as long as they are waited for. */
void otp_lock_book_end_window(struct otp_lock_book *book) {
    struct otp_lock_book *old = book->count ? otp_sys.malloc(sizeof(*old)) : NULL;
    book->window++;
    if (!old)
        return;
    *old = *book;
    *book = (struct otp_lock_book){.window = old->window};
    for (uint32_t i = 0; i < PLACES; i++) {
        const struct place *from = &old->places[i];
        if (!from->lock || old->window - from->window > WINDOWS_KEPT)
            continue;
        struct place *to = &book->places[place_of(book, from->lock)];
        *to = *from;
        to->entry.told = from->entry.told && old->window - from->window == 1;
        book->count++;
        book->told += to->entry.told;
    }
    free(old);
}

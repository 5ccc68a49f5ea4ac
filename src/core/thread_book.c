// SPDX-License-Identifier: Apache-2.0
#include "core/thread_book.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define FIRST_CAPACITY 64
#define NOBODY UINT32_MAX

/* Entries without gaps, and an open-addressed table of their numbers that is half empty at least. */
struct otp_thread_book {
    struct otp_thread_entry *entries;
    size_t count, capacity;
    uint32_t *places; /* 2 * capacity */
};

static size_t place_of(const struct otp_thread_book *book, uint32_t tid) {
    size_t mask = 2 * book->capacity - 1, place = (tid * 0x9e3779b1u >> 8) & mask;
    while (book->places[place] != NOBODY && book->entries[book->places[place]].tid != tid)
        place = (place + 1) & mask;
    return place;
}

static void place_all(struct otp_thread_book *book) {
    memset(book->places, 0xff, 2 * book->capacity * sizeof(*book->places));
    for (size_t i = 0; i < book->count; i++)
        book->places[place_of(book, book->entries[i].tid)] = (uint32_t)i;
}

/* 0, or -1 when out of memory: then nothing has changed. */
static int grow(struct otp_thread_book *book, size_t capacity) {
    uint32_t *places = otp_sys.malloc(2 * capacity * sizeof(*places));
    struct otp_thread_entry *entries = places ? otp_sys.realloc(book->entries, capacity * sizeof(*entries)) : NULL;
    if (!entries) {
        free(places);
        return -1;
    }
    free(book->places);
    book->places = places;
    book->entries = entries;
    book->capacity = capacity;
    place_all(book);
    return 0;
}

struct otp_thread_book *otp_thread_book_new(void) {
    struct otp_thread_book *book = otp_sys.calloc(1, sizeof(*book));
    if (book && grow(book, FIRST_CAPACITY)) {
        free(book);
        return NULL;
    }
    return book;
}

void otp_thread_book_free(struct otp_thread_book *book) {
    if (!book)
        return;
    free(book->entries);
    free(book->places);
    free(book);
}

struct otp_thread_entry *otp_thread_book_find(const struct otp_thread_book *book, uint32_t tid) {
    uint32_t number = book->places[place_of(book, tid)];
    return number == NOBODY ? NULL : &book->entries[number];
}

struct otp_thread_entry *otp_thread_book_entry(struct otp_thread_book *book, uint32_t tid) {
    struct otp_thread_entry *entry = otp_thread_book_find(book, tid);
    if (entry)
        return entry;
    if (book->count == book->capacity && grow(book, book->capacity * 2))
        return NULL;
    if (!book->entries)
        return NULL;
    book->places[place_of(book, tid)] = (uint32_t)book->count;
    entry = book->entries + book->count++;
    *entry = (struct otp_thread_entry){.tid = tid};
    return entry;
}

void otp_thread_book_sweep(struct otp_thread_book *book, uint32_t first) {
    size_t kept = 0;
    for (size_t i = 0; i < book->count; i++) {
        if (book->entries[i].serial >= first)
            book->entries[kept++] = book->entries[i];
    }
    book->count = kept;
    place_all(book);
}

size_t otp_thread_book_count(const struct otp_thread_book *book) { return book->count; }

struct otp_thread_entry *otp_thread_book_at(const struct otp_thread_book *book, size_t number) {
    return &book->entries[number];
}

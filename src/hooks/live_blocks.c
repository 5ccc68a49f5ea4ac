// SPDX-License-Identifier: Apache-2.0
#include "hooks/live_blocks.h"

#include <stddef.h>

#include "base/hash.h"
#include "hooks/hook_memory.h"

#define WORDS 8u        /* of a bucket: a cache line */
#define SPACIOUS 4u     /* places for each block that may be there: buckets are a quarter full */
#define STUCK 255u      /* a byte of the filter that has counted this far stays */
#define ADDRESS_BITS 45 /* of 48, the low three are zero: user addresses unless a program asks for more */
#define SERIAL_BITS 18
#define HELD ((uint64_t)1 << 63)
#define ADDRESS_MASK (((uint64_t)1 << ADDRESS_BITS) - 1)
_Static_assert(ADDRESS_BITS + SERIAL_BITS + 1 == 64, "a word is address, serial, and whether it is held");

/* Header of the table's pages; wiped in a child like the rest, where `capacity` 0 keeps everybody out. */
struct table {
    uint32_t max;
    uint32_t buckets; /* a power of two */
    _Alignas(64) _Atomic uint32_t count;
    _Alignas(64) _Atomic uint64_t serial;
    _Alignas(64) _Atomic uint8_t filter[OTP_LIVE_FILTER];
    _Atomic uint64_t words[];
};

static _Atomic uint8_t empty_filter[OTP_LIVE_FILTER];
static struct table no_table;
static _Atomic(struct table *) present = &no_table;
_Atomic(_Atomic uint8_t *) otp_live_filter = empty_filter;

static struct table *now(void) { return atomic_load_explicit(&present, memory_order_acquire); }

int otp_live_make(uint32_t max) {
    uint32_t buckets = 1;
    void *memory;
    if (now()->max >= max)
        return 0;
    while (buckets * WORDS < max * SPACIOUS)
        buckets *= 2;
    int result = otp_hook_memory_new(sizeof(struct table) + (size_t)buckets * WORDS * sizeof(uint64_t),
                                     "the table of live blocks", &memory);
    if (result)
        return result;
    struct table *made = memory;
    made->max = max;
    made->buckets = buckets;
    atomic_store_explicit(&present, made, memory_order_release);
    atomic_store_explicit(&otp_live_filter, made->filter, memory_order_release);
    return 0;
}

uint32_t otp_live_places(void) { return now()->buckets * WORDS; }

uint32_t otp_live_count(void) { return atomic_load_explicit(&now()->count, memory_order_relaxed); }

static uint64_t address_part(const void *block) { return ((uintptr_t)block >> 3) & ADDRESS_MASK; }

static bool fits_a_word(const void *block) {
    uintptr_t address = (uintptr_t)block;
    return address && !(address & 7) && !(address >> 48);
}

/* The first place of bucket `which` (0 or 1) of an address. */
static uint32_t first_place(const struct table *table, uint64_t address, unsigned which) {
    uint64_t hash = otp_hash_mix(address);
    return ((uint32_t)(which ? hash >> 32 : hash) & (table->buckets - 1)) * WORDS;
}

static void filter_add(struct table *table, uint64_t address) {
    _Atomic uint8_t *byte = &table->filter[otp_live_filter_place((const void *)(uintptr_t)(address << 3))];
    uint8_t count = atomic_load_explicit(byte, memory_order_relaxed);
    while (count != STUCK && !atomic_compare_exchange_weak(byte, &count, (uint8_t)(count + 1)))
        ;
}

static void filter_subtract(struct table *table, uint64_t address) {
    _Atomic uint8_t *byte = &table->filter[otp_live_filter_place((const void *)(uintptr_t)(address << 3))];
    uint8_t count = atomic_load_explicit(byte, memory_order_relaxed);
    while (count && count != STUCK && !atomic_compare_exchange_weak(byte, &count, (uint8_t)(count - 1)))
        ;
}

/* The place of a block that is not held, and its word; or OTP_LIVE_NOWHERE. */
static uint32_t find(struct table *table, const void *block, uint64_t *word) {
    uint64_t address = address_part(block);
    if (!table->buckets || !fits_a_word(block))
        return OTP_LIVE_NOWHERE;
    for (unsigned which = 0; which < 2; which++) {
        uint32_t first = first_place(table, address, which);
        for (uint32_t place = first; place < first + WORDS; place++) {
            *word = atomic_load_explicit(&table->words[place], memory_order_acquire);
            if ((*word & (ADDRESS_MASK | HELD)) == address)
                return place;
        }
    }
    return OTP_LIVE_NOWHERE;
}

/* Empties a place that holds `word`. */
static bool take_out(struct table *table, uint32_t place, uint64_t word) {
    if (!atomic_compare_exchange_strong(&table->words[place], &word, 0))
        return false;
    filter_subtract(table, word & ADDRESS_MASK);
    atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    return true;
}

static uint64_t new_word(struct table *table, uint64_t address) {
    uint64_t serial = atomic_fetch_add_explicit(&table->serial, 1, memory_order_relaxed);
    return address | (serial & (((uint64_t)1 << SERIAL_BITS) - 1)) << ADDRESS_BITS;
}

static uint32_t put_into(struct table *table, uint32_t first, uint64_t word) {
    for (uint32_t place = first; place < first + WORDS; place++) {
        uint64_t none = 0;
        if (!atomic_load_explicit(&table->words[place], memory_order_relaxed) &&
            atomic_compare_exchange_strong(&table->words[place], &none, word))
            return place;
    }
    return OTP_LIVE_NOWHERE;
}

/* Counts before it puts in: there are never more than `max`. */
static bool reserve(struct table *table) {
    if (atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed) < table->max)
        return true;
    atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    return false;
}

uint32_t otp_live_put(const void *block, uint64_t *word, bool *lost_free) {
    struct table *table = now();
    uint64_t before, address = address_part(block);
    uint32_t old = find(table, block, &before);
    *lost_free = old != OTP_LIVE_NOWHERE && take_out(table, old, before);
    if (!table->buckets || !fits_a_word(block) || !reserve(table))
        return OTP_LIVE_NOWHERE;
    *word = new_word(table, address);
    filter_add(table, address);
    uint32_t place = put_into(table, first_place(table, address, 0), *word);
    if (place == OTP_LIVE_NOWHERE)
        place = put_into(table, first_place(table, address, 1), *word);
    if (place == OTP_LIVE_NOWHERE) {
        filter_subtract(table, address);
        atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    }
    return place;
}

bool otp_live_remove(const void *block) {
    struct table *table = now();
    uint64_t word;
    uint32_t place = find(table, block, &word);
    return place != OTP_LIVE_NOWHERE && take_out(table, place, word);
}

uint32_t otp_live_hold(const void *block, uint64_t *word) {
    struct table *table = now();
    uint32_t place = find(table, block, word);
    uint64_t expected = *word;
    if (place != OTP_LIVE_NOWHERE && atomic_compare_exchange_strong(&table->words[place], &expected, expected | HELD))
        return place;
    return OTP_LIVE_NOWHERE;
}

void otp_live_restore(uint32_t place, uint64_t word) {
    struct table *table = now();
    uint64_t held = word | HELD;
    if (place < otp_live_places())
        atomic_compare_exchange_strong(&table->words[place], &held, word); /* unless it was forgotten meanwhile */
}

bool otp_live_is(uint32_t place, uint64_t word) {
    return place < otp_live_places() && (atomic_load(&now()->words[place]) & ~HELD) == word;
}

void otp_live_forget(uint32_t place, uint64_t word) {
    if (otp_live_is(place, word) && !take_out(now(), place, word))
        take_out(now(), place, word | HELD);
}

void otp_live_clear(void) {
    struct table *table = now();
    for (uint32_t place = 0; place < table->buckets * WORDS; place++) {
        uint64_t word = atomic_load_explicit(&table->words[place], memory_order_relaxed);
        if (word)
            take_out(table, place, word);
    }
}

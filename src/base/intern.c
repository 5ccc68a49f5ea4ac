// SPDX-License-Identifier: Apache-2.0
#include "base/intern.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"

struct entry {
    const void *key;
    uint32_t size;
    uint32_t hash;
};

struct otp_intern {
    struct otp_arena *arena;
    struct entry *entries;
    uint32_t *table; /* number + 1, by hash; 0: free */
    uint32_t count;
    uint32_t capacity;   /* of entries */
    uint32_t table_size; /* power of two, twice the capacity */
};

static int grow(struct otp_intern *set) {
    uint32_t capacity = set->capacity ? set->capacity * 2 : 64;
    if (capacity > UINT32_MAX / 4)
        return -1;
    uint32_t *table = otp_arena_alloc(set->arena, (size_t)capacity * 2 * sizeof(*table));
    struct entry *entries = table ? otp_arena_grow(set->arena, set->entries, set->capacity * sizeof(*entries),
                                                   (size_t)capacity * sizeof(*entries))
                                  : NULL;
    if (!entries) {
        otp_arena_release(set->arena, table, (size_t)capacity * 2 * sizeof(*table));
        return -1;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t at = entries[i].hash & (capacity * 2 - 1);
        while (table[at])
            at = (at + 1) & (capacity * 2 - 1);
        table[at] = i + 1;
    }
    otp_arena_release(set->arena, set->table, set->table_size * sizeof(*table));
    set->entries = entries;
    set->table = table;
    set->capacity = capacity;
    set->table_size = capacity * 2;
    return 0;
}

struct otp_intern *otp_intern_new(struct otp_arena *arena) {
    struct otp_intern *set = otp_arena_alloc(arena, sizeof(*set));
    if (!set)
        return NULL;
    set->arena = arena;
    return grow(set) ? NULL : set;
}

/* Where the key is in the table, or the free place where it belongs. */
static uint32_t place(const struct otp_intern *set, const void *key, size_t size, uint32_t hash) {
    uint32_t at = hash & (set->table_size - 1);
    for (; set->table[at]; at = (at + 1) & (set->table_size - 1)) {
        const struct entry *entry = &set->entries[set->table[at] - 1];
        if (entry->hash == hash && entry->size == size && (!size || !memcmp(entry->key, key, size)))
            break;
    }
    return at;
}

uint32_t otp_intern_find(const struct otp_intern *set, const void *key, size_t size) {
    return set->table[place(set, key, size, otp_hash(key, size))] - 1;
}

uint32_t otp_intern(struct otp_intern *set, const void *key, size_t size) {
    uint32_t hash = otp_hash(key, size);
    uint32_t at = place(set, key, size, hash);
    if (set->table[at])
        return set->table[at] - 1;
    if (size > UINT32_MAX)
        return OTP_INTERN_NONE;
    if (set->count == set->capacity) {
        if (grow(set))
            return OTP_INTERN_NONE;
        at = place(set, key, size, hash);
    }
    const void *copy = otp_arena_copy(set->arena, key, size);
    if (!copy)
        return OTP_INTERN_NONE;
    set->entries[set->count] = (struct entry){copy, (uint32_t)size, hash};
    set->table[at] = ++set->count;
    return set->count - 1;
}

const void *otp_intern_key(const struct otp_intern *set, uint32_t number, size_t *size) {
    const struct entry *entry = &set->entries[number];
    if (size)
        *size = entry->size;
    return entry->key;
}

uint32_t otp_intern_count(const struct otp_intern *set) { return set->count; }

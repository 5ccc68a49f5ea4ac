// SPDX-License-Identifier: Apache-2.0
#include "symbols/result_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/sys.h"

struct generation {
    struct otp_arena *arena;
    struct otp_intern *strings;
    const struct otp_result **table; /* by hash; a power of two, at most half full */
    size_t table_size;
    size_t count;
};

struct otp_result_cache {
    struct generation young, old;
    size_t limit; /* of one generation */
    bool overflowed;
};

static void generation_clear(struct generation *generation) {
    otp_arena_free(generation->arena);
    *generation = (struct generation){0};
}

static bool generation_start(struct generation *generation, size_t limit) {
    if (generation->arena)
        return true;
    generation->arena = otp_arena_new(limit);
    generation->strings = generation->arena ? otp_intern_new(generation->arena) : NULL;
    if (generation->strings)
        return true;
    generation_clear(generation);
    return false;
}

struct otp_result_cache *otp_result_cache_new(size_t limit) {
    struct otp_result_cache *cache = otp_sys.calloc(1, sizeof(*cache));
    if (cache)
        cache->limit = limit / 2;
    return cache;
}

void otp_result_cache_free(struct otp_result_cache *cache) {
    if (!cache)
        return;
    generation_clear(&cache->young);
    generation_clear(&cache->old);
    free(cache);
}

size_t otp_result_cache_size(const struct otp_result_cache *cache) {
    return sizeof(*cache) + (cache->young.arena ? otp_arena_size(cache->young.arena) : 0) +
           (cache->old.arena ? otp_arena_size(cache->old.arena) : 0);
}

void otp_result_cache_begin_window(struct otp_result_cache *cache) {
    size_t held = cache->young.arena ? otp_arena_size(cache->young.arena) : 0;
    if (!cache->overflowed && held < cache->limit / 4 * 3)
        return;
    cache->overflowed = false;
    generation_clear(&cache->old);
    cache->old = cache->young;
    cache->young = (struct generation){0};
}

static size_t slot(const struct generation *generation, uint32_t module, uint64_t offset) {
    size_t at = otp_hash_mix(offset ^ (uint64_t)module << 40) & (generation->table_size - 1);
    for (const struct otp_result *result; (result = generation->table[at]);
         at = (at + 1) & (generation->table_size - 1)) {
        if (result->module == module && result->offset == offset)
            break;
    }
    return at;
}

static const struct otp_result *generation_find(const struct generation *generation, uint32_t module, uint64_t offset) {
    return generation->table ? generation->table[slot(generation, module, offset)] : NULL;
}

/* Doubles the table; the outgrown one stays in the arena. */
static bool make_room(struct generation *generation) {
    if (generation->count < generation->table_size / 2)
        return true;
    struct generation grown = *generation;
    grown.table_size = generation->table_size ? generation->table_size * 2 : 256;
    grown.table = otp_arena_alloc(generation->arena, grown.table_size * sizeof(const struct otp_result *));
    if (!grown.table)
        return false;
    for (size_t i = 0; i < generation->table_size; i++) {
        const struct otp_result *result = generation->table[i];
        if (result)
            grown.table[slot(&grown, result->module, result->offset)] = result;
    }
    *generation = grown;
    return true;
}

static const struct otp_result *no_room(struct otp_result_cache *cache) {
    cache->overflowed = true;
    return NULL;
}

const char *otp_result_cache_string(struct otp_result_cache *cache, const char *string, size_t length) {
    uint32_t number = OTP_INTERN_NONE;
    if (generation_start(&cache->young, cache->limit))
        number = otp_intern(cache->young.strings, string, length);
    if (number != OTP_INTERN_NONE)
        return otp_intern_key(cache->young.strings, number, NULL);
    no_room(cache);
    return NULL;
}

const struct otp_result *otp_result_cache_put(struct otp_result_cache *cache, const struct otp_result *head,
                                              const struct otp_symbol_line *lines) {
    struct generation *young = &cache->young;
    if (!generation_start(young, cache->limit) || !make_room(young))
        return no_room(cache);
    struct otp_result *result = otp_arena_alloc(young->arena, sizeof(*result) + head->count * sizeof(*lines));
    if (!result)
        return no_room(cache);
    memcpy(result, head, sizeof(*head));
    if (head->count)
        memcpy(result->lines, lines, head->count * sizeof(*lines));
    size_t at = slot(young, head->module, head->offset);
    young->count += !young->table[at];
    young->table[at] = result;
    return result;
}

static bool copy_string(struct otp_result_cache *cache, const char **string) {
    if (*string)
        *string = otp_result_cache_string(cache, *string, strlen(*string));
    return *string != NULL;
}

/* Moves an answer to the young generation; if that is full, the old one still serves. */
static const struct otp_result *promote(struct otp_result_cache *cache, const struct otp_result *old) {
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    for (size_t i = 0; i < old->count; i++) {
        lines[i] = old->lines[i];
        if (!copy_string(cache, &lines[i].function) || !copy_string(cache, &lines[i].system_name) ||
            (lines[i].file && !copy_string(cache, &lines[i].file)))
            return old;
    }
    const struct otp_result *young = otp_result_cache_put(cache, old, lines);
    return young ? young : old;
}

const struct otp_result *otp_result_cache_find(struct otp_result_cache *cache, uint32_t module, uint64_t offset) {
    const struct otp_result *result = generation_find(&cache->young, module, offset);
    if (result)
        return result;
    result = generation_find(&cache->old, module, offset);
    return result ? promote(cache, result) : NULL;
}

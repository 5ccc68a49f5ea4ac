// SPDX-License-Identifier: Apache-2.0
/*
 * Answers that were given, by (module, offset), under a memory limit. Two generations: when the young one has grown, it
 * becomes the old one, and what is asked for again moves over; what is not goes with the next change. Not thread-safe.
 */
#ifndef OTP_SYMBOLS_RESULT_CACHE_H
#define OTP_SYMBOLS_RESULT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/symbols.h"

struct otp_result_cache;

struct otp_result {
    uint64_t offset;
    uint32_t module;
    uint32_t window;  /* when it was made */
    uint16_t count;   /* of lines */
    uint8_t reason;   /* the caller's, if count is 0 */
    bool provisional; /* a later window shall ask again */
    struct otp_symbol_line lines[];
};

/* NULL when out of memory. */
struct otp_result_cache *otp_result_cache_new(size_t limit);

/* Takes NULL. */
void otp_result_cache_free(struct otp_result_cache *cache);

/* Ends the life of all strings and results given so far, as far as memory demands it. */
void otp_result_cache_begin_window(struct otp_result_cache *cache);

/* The answer kept, or NULL. */
const struct otp_result *otp_result_cache_find(struct otp_result_cache *cache, uint32_t module, uint64_t offset);

/* A copy of the string that lives as long as results do; equal strings are kept once. NULL: no room. */
const char *otp_result_cache_string(struct otp_result_cache *cache, const char *string, size_t length);

/* Keeps an answer, whose strings come from otp_result_cache_string(); replaces an older one. NULL: no room. */
const struct otp_result *otp_result_cache_put(struct otp_result_cache *cache, const struct otp_result *head,
                                              const struct otp_symbol_line *lines);

/* Bytes held. */
size_t otp_result_cache_size(const struct otp_result_cache *cache);

#endif

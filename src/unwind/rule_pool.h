// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers unwind rules: equal rules get equal numbers, in order of appearance after the fixed ones of unwind_table.h.
 * Bounded by OTP_RULES_MAX. Not thread-safe.
 */
#ifndef OTP_UNWIND_RULE_POOL_H
#define OTP_UNWIND_RULE_POOL_H

#include <stdint.h>

#include "unwind_table.h"

struct otp_rule_pool;

/* A pool with the fixed rules in it. NULL when out of memory. */
struct otp_rule_pool *otp_rule_pool_new(void);

/* Takes NULL. */
void otp_rule_pool_free(struct otp_rule_pool *pool);

/* The number of `rule`, made if new; OTP_RULE_INDEX_UNSUPPORTED when the pool is full, which is counted. */
uint32_t otp_rule_pool_intern(struct otp_rule_pool *pool, const struct otp_rule *rule);

/* All rules by number, and how many there are. */
const struct otp_rule *otp_rule_pool_rules(const struct otp_rule_pool *pool, uint32_t *count);

/* Rules that found no room. */
uint64_t otp_rule_pool_refused(const struct otp_rule_pool *pool);

/* The rule of OTP_RULE_INDEX_FRAMEPTR: a frame record of two words, the caller's frame pointer first. */
struct otp_rule otp_rule_frameptr(void);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "unwind/rule_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define SLOTS (OTP_RULES_MAX * 2)

struct otp_rule_pool {
    uint32_t count;
    uint64_t refused;
    struct otp_rule rules[OTP_RULES_MAX];
    uint16_t slots[SLOTS]; /* number + 1; 0: free */
};
_Static_assert(OTP_RULES_MAX < UINT16_MAX, "a slot and a row hold a rule number in 16 bits");

struct otp_rule otp_rule_frameptr(void) {
#if defined(__aarch64__)
    const uint8_t ra = OTP_RA_BY_FP;
#else
    const uint8_t ra = OTP_RA_CFA;
#endif
    return (struct otp_rule){OTP_RULE_FRAMEPTR, OTP_FP_CFA | ra, -16, 16};
}

static uint32_t slot_of(const struct otp_rule *rule) {
    uint64_t word;
    memcpy(&word, rule, sizeof(word));
    return (uint32_t)((word * 0x9e3779b97f4a7c15ull) >> 40) & (SLOTS - 1);
}

struct otp_rule_pool *otp_rule_pool_new(void) {
    struct otp_rule_pool *pool = otp_sys.calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    const struct otp_rule frameptr = otp_rule_frameptr();
    const struct otp_rule fixed[] = {
        [OTP_RULE_INDEX_NONE] = {OTP_RULE_NONE, 0, 0, 0},
        [OTP_RULE_INDEX_STOP] = {OTP_RULE_STOP, 0, 0, 0},
        [OTP_RULE_INDEX_FRAMEPTR] = frameptr,
        [OTP_RULE_INDEX_UNSUPPORTED] = {OTP_RULE_UNSUPPORTED, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        otp_rule_pool_intern(pool, &fixed[i]);
    return pool;
}

void otp_rule_pool_free(struct otp_rule_pool *pool) { free(pool); }

uint32_t otp_rule_pool_intern(struct otp_rule_pool *pool, const struct otp_rule *rule) {
    uint32_t slot = slot_of(rule);
    for (; pool->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        uint32_t number = pool->slots[slot] - 1u;
        if (!memcmp(&pool->rules[number], rule, sizeof(*rule)))
            return number;
    }
    if (pool->count == OTP_RULES_MAX) {
        pool->refused++;
        return OTP_RULE_INDEX_UNSUPPORTED;
    }
    uint32_t number = pool->count++;
    pool->rules[number] = *rule;
    pool->slots[slot] = (uint16_t)(number + 1);
    return number;
}

const struct otp_rule *otp_rule_pool_rules(const struct otp_rule_pool *pool, uint32_t *count) {
    *count = pool->count;
    return pool->rules;
}

uint64_t otp_rule_pool_refused(const struct otp_rule_pool *pool) { return pool->refused; }

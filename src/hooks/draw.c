// SPDX-License-Identifier: Apache-2.0
#include "hooks/draw.h"

#define FRACTION_BITS 32
#define LN2 2977044472u /* ln 2 in 1 / 2^32 */

/* -log2(random / 2^64) in 1 / 2^32. Each squaring of the mantissa gives one more bit of its logarithm. */
static uint64_t minus_log2(uint64_t random) {
    unsigned zeros = (unsigned)__builtin_clzll(random);
    uint64_t mantissa = random << zeros, fraction = 0;
    for (int i = 0; i < FRACTION_BITS; i++) {
        unsigned __int128 square = (unsigned __int128)mantissa * mantissa >> 63;
        uint64_t bit = (uint64_t)(square >> 64) & 1;
        mantissa = (uint64_t)(square >> bit);
        fraction = fraction << 1 | bit;
    }
    return ((uint64_t)(zeros + 1) << FRACTION_BITS) - fraction;
}

uint64_t otp_draw_distance(uint64_t random, uint64_t interval) {
    unsigned __int128 scaled = (unsigned __int128)minus_log2(random ? random : 1) * interval;
    return (uint64_t)(scaled * LN2 >> (2 * FRACTION_BITS));
}

/* splitmix64: 64 equidistributed bits from a counter. */
uint64_t otp_draw_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

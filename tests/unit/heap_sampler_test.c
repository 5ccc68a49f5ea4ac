// SPDX-License-Identifier: Apache-2.0
/* The sampler as a statistic: a right one passes whatever its random numbers are, a wrong one does not. */
#include "hooks/heap_sampler.h"

#include <check.h>
#include <math.h>

#include "test_main.h"

#define Z_MAX 4.5
#define KIB 1024.0

/* How a hook uses it. */
static uint64_t ask(struct otp_sampler *sampler, uint64_t size, uint64_t interval) {
    if (size <= sampler->budget) {
        sampler->budget -= size;
        return 0;
    }
    return otp_sampler_look(sampler, size, interval);
}

static double probability(double size, double interval) { return -expm1(-size / interval); }

START_TEST(distances_are_exponential) {
    const uint64_t interval = 512 << 10;
    const int draws = 400000, parts = 20;
    int below[20] = {0};
    double sum = 0;
    uint64_t random = 1;
    for (int i = 0; i < draws; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t mixed = random ^ (random >> 29);
        double distance = (double)otp_draw_distance(mixed * 0xbf58476d1ce4e5b9u, interval);
        sum += distance;
        for (int part = 1; part < parts; part++)
            below[part] += distance < -log1p(-(double)part / parts) * (double)interval;
    }
    double mean = sum / draws / (double)interval;
    ck_assert_msg(fabs(mean - 1) * sqrt(draws) < Z_MAX, "mean %f", mean);
    for (int part = 1; part < parts; part++) {
        double p = (double)part / parts, z = (below[part] - draws * p) / sqrt(draws * p * (1 - p));
        ck_assert_msg(fabs(z) < Z_MAX, "%d of %d below the quantile %f: z %f", below[part], draws, p, z);
    }
}
END_TEST

START_TEST(distances_at_the_ends) {
    ck_assert_uint_eq(otp_draw_distance(UINT64_MAX, 1 << 20), 0);
    ck_assert_uint_eq(otp_draw_distance(0, 1), otp_draw_distance(1, 1));
    ck_assert_uint_eq(otp_draw_distance(1, 1), 44); /* 64 ln 2 */
    ck_assert_double_eq_tol((double)otp_draw_distance((uint64_t)1 << 63, 1 << 30), log(2) * (1 << 30), 1);
    ck_assert_double_eq_tol((double)otp_draw_distance(1, OTP_DRAW_INTERVAL_MAX),
                            64 * log(2) * (double)OTP_DRAW_INTERVAL_MAX, 1024 * KIB);
}
END_TEST

/* Sizes below, about and above the interval and the largest budget: how many are chosen. */
START_TEST(chosen_with_their_probability) {
    static const struct {
        uint64_t size, interval;
        int requests;
    } rows[] = {
        {8, 4096, 2000000},          {64, 64 << 10, 2000000},     {300, 512 << 10, 4000000},
        {4096, 64 << 10, 200000},    {100000, 64 << 10, 50000},   {200 << 10, 1 << 20, 50000},
        {300 << 10, 4 << 20, 50000}, {1 << 20, 512 << 10, 50000}, {8 << 20, 64 << 20, 50000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct otp_sampler sampler = {.random = i + 17};
        double p = probability((double)rows[i].size, (double)rows[i].interval), n = rows[i].requests;
        int chosen = 0;
        for (int request = 0; request < rows[i].requests; request++)
            chosen += ask(&sampler, rows[i].size, rows[i].interval) != 0;
        double z = (chosen - n * p) / sqrt(n * p * (1 - p));
        ck_assert_msg(fabs(z) < Z_MAX, "size %llu, interval %llu: %d of %.0f, z %f", (unsigned long long)rows[i].size,
                      (unsigned long long)rows[i].interval, chosen, n * p, z);
    }
}
END_TEST

/* Sizes in turn and an interval that keeps changing: the estimate of all bytes stays right. */
START_TEST(unbiased_while_the_interval_changes) {
    static const uint64_t sizes[] = {16, 700, 5000, 40, 90000, 300, 1 << 20, 64};
    static const uint64_t intervals[] = {16 << 10, 256 << 10, 64 << 10, 1 << 20};
    struct otp_sampler sampler = {.random = 5};
    double estimate = 0, exact = 0, variance = 0;
    for (int i = 0; i < 4000000; i++) {
        uint64_t size = sizes[i % 8], interval = intervals[i / 97 % 4];
        uint64_t by = ask(&sampler, size, interval);
        exact += (double)size;
        if (by)
            estimate += (double)size / probability((double)size, (double)by);
        /* No less than it can be: that of the longest interval. */
        double p = probability((double)size, (double)(1 << 20));
        variance += (double)size * (double)size * (1 - p) / p;
    }
    ck_assert_msg(fabs(estimate - exact) < Z_MAX * sqrt(variance), "%.0f of %.0f", estimate, exact);
    ck_assert_msg(fabs(estimate / exact - 1) < 0.02, "%.0f of %.0f", estimate, exact);
}
END_TEST

START_TEST(off_and_on) {
    struct otp_sampler sampler = {.random = 3};
    for (int i = 0; i < 100000; i++)
        ck_assert_uint_eq(ask(&sampler, 1000, 0), 0);
    ck_assert_uint_le(sampler.budget, OTP_SAMPLER_BUDGET_OFF);
    int chosen = 0;
    for (int i = 0; i < 100000; i++)
        chosen += ask(&sampler, 1000, 10000) == 10000;
    ck_assert_int_gt(chosen, 9000);
    ck_assert_int_lt(chosen, 10000);
}
END_TEST

START_TEST(every_byte) {
    struct otp_sampler sampler = {.random = 3};
    int chosen = 0;
    for (int i = 0; i < 10000; i++)
        chosen += ask(&sampler, 64, 1) == 1;
    ck_assert_int_eq(chosen, 10000); /* not chosen: one in 10^27 */
    ck_assert_uint_eq(ask(&sampler, 0, 1), 0);
}
END_TEST

OTP_TEST_MAIN("heap_sampler", 120, distances_are_exponential, distances_at_the_ends, chosen_with_their_probability,
              unbiased_while_the_interval_changes, off_and_on, every_byte)

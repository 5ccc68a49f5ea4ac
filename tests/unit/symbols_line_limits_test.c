// SPDX-License-Identifier: Apache-2.0
/* Limits on the memory and the CPU time that debug information takes. */
#include "base/sys.h"
#include "symbols_fixture.h"
#include "test_main.h"

START_TEST(test_dwarf_over_limit) {
    folder_make();
    struct plain plain;
    plain_program(&plain);
    struct otp_symbols_options options = {.dwarf_limit_bytes = 1000};
    struct otp_symbols *symbols = symbols_with(&options);
    ck_assert_uint_eq(line_at(symbols, &plain, plain.main), 0);
    ck_assert_uint_eq(line_at(symbols, &plain, plain.main + 1), 0);
    ck_assert_uint_eq(stats_of(symbols).dwarf_too_large, 1);
    otp_symbols_free(symbols);
    options = (struct otp_symbols_options){.no_dwarf = true};
    symbols = symbols_with(&options);
    ck_assert_uint_eq(line_at(symbols, &plain, plain.main), 0);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* What is open during a window is given back at its end. */
START_TEST(test_dwarf_is_given_back) {
    folder_make();
    struct plain plain;
    plain_program(&plain);
    struct otp_symbols *symbols = symbols_with(NULL);
    ck_assert_uint_ne(line_at(symbols, &plain, plain.main), 0);
    size_t during = otp_symbols_memory(symbols);
    otp_symbols_end_window(symbols);
    size_t after = otp_symbols_memory(symbols);
    ck_assert_uint_lt(after + 2000, during);
    ck_assert_uint_ne(line_at(symbols, &plain, plain.main), 0); /* a hit */
    ck_assert_uint_eq(otp_symbols_memory(symbols), after);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE

static uint64_t wall_ns = 1000000000u;
static uint64_t cpu_ns;

/* Each look at the CPU clock finds that 1.5 s have passed. */
static int slow_clock(clockid_t clock, struct timespec *now) {
    uint64_t ns = clock == CLOCK_THREAD_CPUTIME_ID ? (cpu_ns += 1500000000u) : wall_ns;
    *now = (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    return 0;
}

START_TEST(test_cpu_share) {
    folder_make();
    struct plain plain;
    plain_program(&plain);
    otp_sys.clock_gettime = slow_clock;
    struct otp_symbols_options options = {.dwarf_cpu_permille = 10};
    struct otp_symbols *symbols = symbols_with(&options);
    ck_assert_uint_ne(line_at(symbols, &plain, plain.main), 0);
    ck_assert_uint_ne(line_at(symbols, &plain, plain.main + 1), 0); /* now 3 s of the first 2 are used */
    ck_assert_uint_eq(line_at(symbols, &plain, plain.main + 2), 0);
    ck_assert_uint_eq(stats_of(symbols).dwarf_postponed, 1);
    wall_ns += 50000000000u; /* gives half a second: not enough */
    otp_symbols_begin_window(symbols);
    ck_assert_uint_eq(line_at(symbols, &plain, plain.main + 2), 0);
    wall_ns += 60000000000u;
    otp_symbols_begin_window(symbols);
    ck_assert_uint_ne(line_at(symbols, &plain, plain.main + 2), 0);
    otp_symbols_free(symbols);
    otp_sys = otp_sys_real;
    folder_remove();
}
END_TEST

OTP_TEST_MAIN("symbols: limits of lines", 280, test_dwarf_over_limit, test_dwarf_is_given_back, test_cpu_share)
#else
OTP_TEST_MAIN("symbols: limits of lines", 280, test_dwarf_over_limit, test_dwarf_is_given_back)
#endif

// SPDX-License-Identifier: Apache-2.0
/* For programs of tests/integration: checks that are counted and said on stderr, work that samples hit, CPU clocks. */
#ifndef OTP_TESTS_EXPECT_H
#define OTP_TESTS_EXPECT_H

#include <otelprof/otelprof.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static _Atomic int expect_failures;

__attribute__((format(printf, 3, 4), unused)) static void expect(int holds, int line, const char *format, ...) {
    if (holds)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "FAILED, line %d: ", line);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (last error: %s)\n", otelprof_last_error());
    va_end(arguments);
    atomic_fetch_add(&expect_failures, 1);
}

#define EXPECT(condition) expect(!!(condition), __LINE__, "%s", #condition)

/* That a call gives the number it should. */
#define GIVES(wanted, call)                                                                                            \
    do {                                                                                                               \
        long long given_ = (long long)(call);                                                                          \
        expect(given_ == (long long)(wanted), __LINE__, "%s gave %lld, not %s", #call, given_, #wanted);               \
    } while (0)

static _Thread_local volatile unsigned long expect_sink;

static inline uint64_t expect_clock_ms(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_nsec / 1000000u;
}

/* Burns CPU time of the calling thread. */
__attribute__((noinline, unused)) static void burn_ms(uint64_t milliseconds) {
    uint64_t until = expect_clock_ms(CLOCK_THREAD_CPUTIME_ID) + milliseconds;
    while (expect_clock_ms(CLOCK_THREAD_CPUTIME_ID) < until) {
        for (unsigned i = 0; i < 10000; i++)
            expect_sink += i ^ expect_sink >> 3;
    }
}

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * A service whose answers take about four milliseconds each, in slices with the profiler and without, in random order:
 * receiver_service PAIRS SLICE_MS. Prints a line a slice: "aa|ab PAIR on|off ANSWERS P50_NS P99_NS". Before the pairs
 * of on and off come as many with both off. Started and stopped between the slices, so that "off" has nothing left of
 * "on". The environment says where profiles go; receiver_bench.py plays the receiver and does the sums.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <otelprof/otelprof.h>

#define ANSWERS_MAX 100000
#define STOP_MS 200
/* The first window names everything, once: what is measured is what comes after it. Without a profiler: caches. */
#define SETTLE_ON_NS 700000000u
#define SETTLE_OFF_NS 200000000u

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Arithmetic and memory, the same each time. */
static void answer(void) {
    static uint8_t table[1 << 16];
    static volatile uint8_t sink;
    uint32_t at = 1;
    for (int i = 0; i < 4000000; i++) {
        at = at * 1664525u + 1013904223u;
        table[at >> 16] ^= (uint8_t)at;
    }
    sink = table[0];
    (void)sink;
}

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void slice(bool on, uint64_t length_ns) {
    static uint64_t took[ANSWERS_MAX];
    uint64_t start = now_ns(), settled = start + (on ? SETTLE_ON_NS : SETTLE_OFF_NS);
    size_t count = 0;
    while (now_ns() < settled)
        answer();
    start = now_ns();
    for (uint64_t before = start, after; before - start < length_ns && count < ANSWERS_MAX; before = after) {
        answer();
        after = now_ns();
        took[count++] = after - before;
    }
    qsort(took, count, sizeof(took[0]), by_value);
    printf("%s %zu %" PRIu64 " %" PRIu64 "\n", on ? "on" : "off", count, took[count / 2], took[count * 99 / 100]);
}

static int half(bool on, uint64_t length_ns) {
    if (on && otelprof_init(NULL))
        return -1;
    slice(on, length_ns);
    if (on)
        otelprof_shutdown(STOP_MS);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    bool compare = argc < 4 || strcmp(argv[3], "aa") != 0;
    int pairs = atoi(argv[1]), failed = 0;
    uint64_t length_ns = strtoull(argv[2], NULL, 10) * 1000000u;
    srand((unsigned)now_ns());
    for (int pair = 0; pair < pairs && !failed; pair++) {
        bool first = rand() & 1;
        failed = half(compare && first, length_ns) || half(compare && !first, length_ns);
    }
    if (failed)
        fprintf(stderr, "receiver_service: %s\n", otelprof_last_error());
    return failed != 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What span calls cost, in ns, beside a pair of calls to a function that does next to nothing (otelprof_version) over
 * the same way: linked statically, or through libotelprof.so (SPAN_BENCH_SHARED). Each figure is the median of rounds
 * that take turns with the empty pair.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <otelprof/otelprof.h>

#ifndef SPAN_BENCH_SHARED
#include <sys/mman.h>

#include "base/fork_guard.h"
#include "context/context.h"
#endif

#define ROUNDS 101
#define CALLS 200000

static uint8_t trace_id[16] = {1, 2, 3};
static uint8_t span_id[8] = {4, 5, 6};
static int key;
static struct otelprof_context carried;

static void empty_pair(void) {
    for (int i = 0; i < CALLS; i++) {
        const char *volatile text = otelprof_version();
        text = otelprof_version();
        (void)text;
    }
}

static void enter_exit(void) {
    for (int i = 0; i < CALLS; i++)
        otelprof_span_exit(otelprof_span_enter(trace_id, span_id, 1));
}

static void nested(void) {
    for (int i = 0; i < CALLS / 2; i++) {
        struct otelprof_span_token outer = otelprof_span_enter(trace_id, span_id, 1);
        otelprof_span_exit(otelprof_span_enter(trace_id, span_id, 1));
        otelprof_span_exit(outer);
    }
}

static void inside_attributes(void) {
    struct otelprof_span_token outer = otelprof_span_enter(trace_id, span_id, 1);
    otelprof_span_attribute_key(key, "/orders/{id}/lines", 18);
    enter_exit();
    otelprof_span_exit(outer);
}

static void with_attribute_key(void) {
    for (int i = 0; i < CALLS; i++) {
        struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, 1);
        otelprof_span_attribute_key(key, "/orders/{id}", 12);
        otelprof_span_exit(span);
    }
}

static void with_attribute(void) {
    for (int i = 0; i < CALLS; i++) {
        struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, 1);
        otelprof_span_attribute("http.route", "/orders/{id}");
        otelprof_span_exit(span);
    }
}

static void attach_detach(void) {
    for (int i = 0; i < CALLS; i++)
        otelprof_context_detach(otelprof_context_attach(&carried));
}

static void capture(void) {
    for (int i = 0; i < CALLS; i++)
        otelprof_context_capture(&carried);
}

static const struct {
    const char *name;
    void (*body)(void);
} cases[] = {
    {"enter+exit", enter_exit},
    {"enter+exit inside a span with an attribute", inside_attributes},
    {"enter+exit, mean of an outer and an inner one", nested},
    {"enter+attribute_key+exit", with_attribute_key},
    {"enter+attribute (by name)+exit", with_attribute},
    {"attach+detach", attach_detach},
    {"capture", capture},
};

static double time_ns(void (*body)(void)) {
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from); /* others may be using the CPU */
    body();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / CALLS;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void measure(const char *name, void (*body)(void)) {
    double ours[ROUNDS];
    double empty[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        ours[round] = time_ns(body);
        empty[round] = time_ns(empty_pair);
    }
    qsort(ours, ROUNDS, sizeof(ours[0]), compare);
    qsort(empty, ROUNDS, sizeof(empty[0]), compare);
    printf("%-48s %6.2f ns   empty pair %5.2f ns   ratio %5.2f   fastest %6.2f ns\n", name, ours[ROUNDS / 2],
           empty[ROUNDS / 2], ours[ROUNDS / 2] / empty[ROUNDS / 2], ours[0]);
}

#ifdef SPAN_BENCH_SHARED
static int discard(void *user, const void *bytes, size_t size) {
    (void)user, (void)bytes, (void)size;
    return 0;
}

/* The real library, with the profiler running at its slowest. */
static int start(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.rate_hz = 1;
    options.export_bytes = discard;
    int result = otelprof_init(&options);
    if (result)
        printf("otelprof_init: %s: %s\n", otelprof_strerror(result), otelprof_last_error());
    return result;
}
#else
static int start(void) {
    static struct otp_control control;
    struct otp_context_memory memory = {.slot_count = 16, .index_size = 32, .control = &control};
    size_t slots = 16 * sizeof(struct otp_slot);
    char *block = mmap(NULL, slots + 32 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED || otp_fork_guard_arm())
        return -1;
    memory.slots = (struct otp_slot *)(void *)block;
    memory.index = (uint64_t *)(void *)(block + slots);
    return otp_context_start(&memory);
}
#endif

int main(void) {
    key = otelprof_attribute_key("http.route");
    measure("off: enter+exit", enter_exit);
    if (start())
        return EXIT_FAILURE;
    struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, 1);
    otelprof_span_attribute_key(key, "/orders/{id}", 12);
    otelprof_context_capture(&carried);
    otelprof_span_exit(span);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        measure(cases[i].name, cases[i].body);
#ifdef SPAN_BENCH_SHARED
    otelprof_shutdown(2000);
#endif
    return EXIT_SUCCESS;
}

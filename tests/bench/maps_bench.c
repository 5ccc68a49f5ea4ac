// SPDX-License-Identifier: Apache-2.0
/*
 * A host with very many mappings: how long its own mmap(), page fault and munmap() take while the profiler lists the
 * mappings, against stretches in which it does not run at all, in turns. Prints p50, p99 and the longest of each, and
 * what the profiler's threads cost.
 *
 *     maps_bench [MAPPINGS [WINDOW_MS]]      default 60000 and 500 (a list each window; a service's default is 10 s)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "base/clock.h"

#define TURNS 10
#define TURN_MS 2000
#define CALLS_MAX 4000000u

struct latencies {
    uint32_t *ns;
    size_t count;
};

static int discard(void *user, const void *bytes, size_t size) {
    (void)user, (void)bytes, (void)size;
    return 0;
}

/* Every second page another protection, so that each is a mapping of its own. */
static int make_mappings(size_t count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return -1;
    for (size_t i = 0; i < count; i += 2)
        if (mprotect(area + i * page, page, PROT_READ))
            return -1;
    return 0;
}

/* Maps, touches and unmaps until the turn is over; each round is one latency. */
static void take_turn(struct latencies *latencies) {
    uint64_t end = otp_clock_ns(CLOCK_MONOTONIC) + TURN_MS * 1000000ull, before = otp_clock_ns(CLOCK_MONOTONIC);
    while (before < end && latencies->count < CALLS_MAX) {
        char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return;
        *page = 1;
        munmap(page, 65536);
        uint64_t after = otp_clock_ns(CLOCK_MONOTONIC), ns = after - before;
        latencies->ns[latencies->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
        before = after;
    }
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double at(const struct latencies *latencies, double part) {
    return (double)latencies->ns[(size_t)((double)(latencies->count - 1) * part)] / 1000;
}

static void report(struct latencies *with, struct latencies *without) {
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"longest", 1}};
    qsort(with->ns, with->count, sizeof(*with->ns), compare);
    qsort(without->ns, without->count, sizeof(*without->ns), compare);
    printf("mmap + page fault + munmap, us: %zu with the profiler, %zu without\n", with->count, without->count);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        double a = at(with, parts[i].part), b = at(without, parts[i].part);
        printf("  %-8s with %10.2f   without %10.2f   ratio %.2f\n", parts[i].name, a, b, a / b);
    }
}

static int run_profiled(struct latencies *latencies, int64_t window_ms, double *start_ms, double *share) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    struct otelprof_stats before = {.size = sizeof(before)}, after = before;
    options.export_bytes = discard;
    options.window_ms = window_ms;
    options.start_timeout_ms = 30000;
    uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return -1;
    }
    *start_ms = (double)(otp_clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
    otelprof_stats(&before);
    take_turn(latencies);
    otelprof_shutdown(30000);
    otelprof_stats(&after);
    *share += (double)(after.own_cpu_ns - before.own_cpu_ns) / (TURN_MS * 1e6) / (TURNS / 2.0);
    return 0;
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 60000;
    int64_t window_ms = argc > 2 ? strtoll(argv[2], NULL, 10) : 500;
    struct latencies with = {calloc(CALLS_MAX, sizeof(uint32_t)), 0}, without = with;
    without.ns = calloc(CALLS_MAX, sizeof(uint32_t));
    double start_ms = 0, share = 0;
    if (!with.ns || !without.ns || make_mappings(count)) {
        perror("mappings (vm.max_map_count?)");
        return EXIT_FAILURE;
    }
    for (int turn = 0; turn < TURNS; turn++) {
        if (turn % 2)
            take_turn(&without);
        else if (run_profiled(&with, window_ms, &start_ms, &share))
            return EXIT_FAILURE;
    }
    report(&with, &without);
    printf("%zu mappings, windows of %lld ms: start %.1f ms, the profiler's threads, start and names included, %.2f %% "
           "of a CPU\n",
           count, (long long)window_ms, start_ms, 100 * share);
    return EXIT_SUCCESS;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Every loss has a counter of its own. Each case forces one kind of loss and looks at all of them: its counter moved,
 * the others did not, and fired = exported + the sum of the losses, exactly, after disable and flush or shutdown.
 *
 *     accounting CASE OUTPUT_DIR
 */
#include <inttypes.h>
#include <otelprof/otelprof.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* CROWDED: more samples than a window holds, while the exporter keeps up: nothing is lost, not even detail. */
enum loss { NONE, RING_FULL, MEMORY, WINDOW_DROPPED, EXPORT_FAILED, SHUTDOWN, CROWDED, LOSSES };
static const char *const loss_names[LOSSES] = {"none",          "ring_full", "memory", "window_dropped",
                                               "export_failed", "shutdown",  "crowded"};

static volatile unsigned long sum;
static atomic_bool slow;

static int take_none(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    return size == 0;
}

static int refuse(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    (void)size;
    return 1;
}

static int dawdle(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    (void)size;
    while (atomic_load(&slow))
        usleep(10000);
    return 0;
}

static __attribute__((noinline)) unsigned deep(unsigned depth, unsigned seed) {
    for (unsigned i = 0; i < 300; i++)
        sum += i * seed;
    unsigned below = 0;
    if (depth)
        below = seed >> (depth & 31) & 1 ? deep(depth - 1, seed) : deep(depth - 1, seed * 3 + 1);
    return below + (unsigned)sum;
}

/* `kinds` different stacks, each under a trace of its own. */
static void burn(double seconds, unsigned kinds) {
    struct timespec start, now;
    unsigned seed = 1, round = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        uint8_t trace[16], span[8];
        seed = (round++ % kinds + 1) * 2654435761u;
        memset(trace, (int)(seed >> 24) | 1, sizeof(trace));
        memcpy(trace, &seed, sizeof(seed));
        memset(span, (int)(seed >> 16) | 1, sizeof(span));
        struct otelprof_span_token token = otelprof_span_enter(trace, span, 1);
        deep(seed >> 8 & 63, seed);
        otelprof_span_exit(token);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
}

static void set_up(enum loss loss, struct otelprof_options *options, const char *directory) {
    options->rate_hz = 5000;
    options->window_ms = 500;
    options->start_timeout_ms = 10000;
    options->export_bytes = take_none;
    if (loss == NONE || loss == RING_FULL || loss == CROWDED) {
        options->export_bytes = NULL;
        options->output_dir = directory;
    }
    if (loss == RING_FULL)
        options->ring_bytes = 4096;
    if (loss == MEMORY || loss == CROWDED) {
        options->memory_limit_bytes = 16 << 20;
        options->window_ms = 60000;
        options->rate_hz = 10000;
    }
    if (loss == EXPORT_FAILED)
        options->export_bytes = refuse;
    if (loss == WINDOW_DROPPED || loss == SHUTDOWN || loss == MEMORY) {
        atomic_store(&slow, true);
        options->export_bytes = dawdle;
        options->memory_limit_bytes = 16 << 20;
        options->window_ms = loss == WINDOW_DROPPED ? 500 : 60000;
        if (loss == SHUTDOWN)
            options->rate_hz = 1000; /* one window, far from full */
    }
}

/* The export goes on, and the windows that ended early and waited are sent before the last one comes. */
static void clear_queue(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    atomic_store(&slow, false);
    for (int i = 0; i < 500 && stats.windows_exported < 2; i++) {
        usleep(20000);
        otelprof_stats(&stats);
    }
}

static bool judge(enum loss loss, const struct otelprof_stats *s) {
    const uint64_t lost[LOSSES] = {
        0, s->lost_ring_full, s->lost_memory, s->lost_window_dropped, s->lost_export_failed, s->lost_shutdown, 0};
    uint64_t all = s->lost_decode + s->lost_scratch;
    bool good = s->lost_decode == 0 && s->lost_scratch == 0 && s->samples_fired > 500;
    for (int i = 1; i < CROWDED; i++) {
        all += lost[i];
        bool moved = lost[i] != 0;
        if (moved != (i == (int)loss)) {
            printf("counter lost_%s is %" PRIu64 "\n", loss_names[i], lost[i]);
            good = false;
        }
    }
    if (loss == CROWDED && (s->detail_lowered || s->stacks_cut || s->windows_made < 3)) {
        printf("a window of a minute should have ended early: %" PRIu64 " windows\n", s->windows_made);
        good = false;
    }
    printf("%s: fired %" PRIu64 " = exported %" PRIu64 " + lost %" PRIu64 "; detail lowered %" PRIu64
           ", stacks cut %" PRIu64 "\n",
           loss_names[loss], s->samples_fired, s->samples_exported, all, s->detail_lowered, s->stacks_cut);
    return good && s->samples_fired == s->samples_exported + all;
}

int main(int argc, char **argv) {
    enum loss loss = LOSSES;
    for (int i = 0; argc == 3 && i < LOSSES; i++) {
        if (!strcmp(argv[1], loss_names[i]))
            loss = (enum loss)i;
    }
    if (loss == LOSSES) {
        fprintf(stderr, "usage: %s none|ring_full|memory|window_dropped|export_failed|shutdown|crowded OUTPUT_DIR\n",
                argv[0]);
        return 2;
    }
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    set_up(loss, &options, argv[2]);
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    bool many = loss == MEMORY || loss == CROWDED;
    burn(loss == WINDOW_DROPPED ? 15 : many ? 8 : 3, many ? 1000000 : 100);
    if (loss == MEMORY)
        clear_queue();
    otelprof_disable(OTELPROF_CPU);
    atomic_store(&slow, loss == SHUTDOWN);
    otelprof_flush(loss == SHUTDOWN ? 100 : 20000);
    int result = otelprof_shutdown(loss == SHUTDOWN ? 300 : 20000);
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    bool timely = result == (loss == SHUTDOWN ? OTELPROF_E_TIMEOUT : 0) || loss == EXPORT_FAILED;
    if (!timely)
        printf("shutdown said %d: %s\n", result, otelprof_last_error());
    bool good = judge(loss, &stats);
    atomic_store(&slow, false);
    printf("exported %" PRIu64 "\n", stats.samples_exported);
    return good && timely ? 0 : 1;
}

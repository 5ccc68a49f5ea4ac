// SPDX-License-Identifier: Apache-2.0
/*
 * What a sample costs where it is taken: the run time of the program as the kernel counts it (BPF_ENABLE_STATS, which
 * adds its own clock reads: hence the empty program beside it, on the same kind of event), ns a frame from stacks of
 * several depths, with warm and with cold pc cache; the same with reads of one word at a time instead of 2 KiB (the
 * program sample_word_bench, built from the same sources); and what the interrupted thread loses in all.
 *
 *     sample_bench [--slope]     --slope: prints ns a frame alone, for the sibling
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "capture/capture.h"
#include "capture_room.h"

#define RATE 3989u /* a second, of the victim's CPU time */
#define ROUNDS 7
#define ROUND_MS 150
#define SLICES 60
#define SLICE_MS 40
#define GOAL_NS 25.0

/* ------------------------------------------------------------------------------------------ the victim */

static struct {
    _Atomic unsigned depth; /* of the stack wanted */
    _Atomic bool stop;
    _Atomic pid_t tid;
    _Atomic uint64_t loops;
} victim;

static volatile unsigned long sink;

static __attribute__((noinline)) unsigned spin(unsigned depth) {
    while (atomic_load_explicit(&victim.depth, memory_order_relaxed) == depth && !atomic_load(&victim.stop)) {
        for (unsigned i = 0; i < 200; i++)
            sink += i ^ sink >> 3;
        atomic_store_explicit(&victim.loops, atomic_load_explicit(&victim.loops, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    return depth;
}

/* Sixty functions, each of which calls the next: every frame of a stack is a place of its own in the pc cache. */
typedef unsigned (*link_fn)(unsigned left, unsigned depth);
static const link_fn chain[];

#define LINK(n)                                                                                                        \
    static __attribute__((noinline)) unsigned link_##n(unsigned left, unsigned depth) {                                \
        unsigned below = left ? chain[n - 9](left - 1, depth) : spin(depth);                                           \
        return below + (unsigned)sink * n;                                                                             \
    }
#define NAME(n) link_##n,
#define TEN(of, p) of(p##0) of(p##1) of(p##2) of(p##3) of(p##4) of(p##5) of(p##6) of(p##7) of(p##8) of(p##9)

TEN(LINK, 1)
TEN(LINK, 2)
TEN(LINK, 3)
TEN(LINK, 4)
TEN(LINK, 5)
TEN(LINK, 6)
static const link_fn chain[] = {TEN(NAME, 1) TEN(NAME, 2) TEN(NAME, 3) TEN(NAME, 4) TEN(NAME, 5) TEN(NAME, 6) NULL};

static void *victim_body(void *argument) {
    (void)argument;
    atomic_store(&victim.tid, (pid_t)syscall(SYS_gettid));
    while (!atomic_load(&victim.stop)) {
        unsigned depth = atomic_load(&victim.depth);
        chain[0](depth, depth);
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------- programs and events */

static struct capture_room room;
static uint32_t tgid; /* of this process */

static void drop(void *user, const void *record, size_t size) { (void)user, (void)record, (void)size; }

static int open_room(void) {
    struct otp_capture_options options = {.rate_hz = 1, .slots = 64, .ring_bytes = 8 << 20, .kernel_frames = true};
    if (capture_room_prepare(&room, &options) || otp_capture_open(&room.capture, &options))
        return -1;
    struct otp_control *control = otp_capture_control(room.capture);
    memset(control->own_threads, 0, sizeof(control->own_threads));
    tgid = control->family[0];
    return capture_room_publish(&room);
}

/* Returns 0 and nothing else. */
static int load_empty(void) {
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "empty", "GPL", code, 2, NULL);
}

/* A clock event on the victim, disabled. */
static int open_event(int program) {
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = 1000000000u / RATE,
        .disabled = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attributes, victim.tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0 && program >= 0 && ioctl(fd, PERF_EVENT_IOC_SET_BPF, program)) {
        close(fd);
        return -1;
    }
    return fd;
}

struct runs {
    uint64_t ns, count;
};

static struct runs runs_of(int program) {
    struct bpf_prog_info info;
    __u32 size = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (bpf_obj_get_info_by_fd(program, &info, &size))
        return (struct runs){0, 0};
    return (struct runs){info.run_time_ns, info.run_cnt};
}

static void wait_ms(unsigned milliseconds, bool cold) {
    uint64_t until = otp_clock_ns(CLOCK_MONOTONIC) + milliseconds * 1000000ull;
    while (otp_clock_ns(CLOCK_MONOTONIC) < until) {
        usleep(cold ? 80 : 5000);
        if (cold) /* a new generation: nothing in the cache is valid */
            otp_tables_publish(room.tables, room.modules);
        otp_capture_drain(room.capture, drop, NULL);
    }
}

/* ---------------------------------------------------------------------------------------------- run times */

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

struct way {
    const char *name;
    int program;
    int event;
    unsigned depth;
    bool ours, cold;
    double ns[ROUNDS];
    double frames; /* a sample */
};

/* Mean run time of a round, ns. */
static void measure(struct way *way, int round) {
    struct otp_control *control = otp_capture_control(room.capture);
    struct otp_cpu_counters before, after;
    atomic_store(&victim.depth, way->depth);
    control->family[0] = way->ours ? tgid : 1;
    usleep(2000);
    ioctl(way->event, PERF_EVENT_IOC_ENABLE, 0);
    wait_ms(20, way->cold);
    struct runs from = runs_of(way->program);
    otp_capture_counters(room.capture, &before);
    wait_ms(ROUND_MS, way->cold);
    struct runs to = runs_of(way->program);
    otp_capture_counters(room.capture, &after);
    ioctl(way->event, PERF_EVENT_IOC_DISABLE, 0);
    uint64_t count = to.count - from.count, fired = after.fired - before.fired;
    way->ns[round] = count ? (double)(to.ns - from.ns) / (double)count : 0;
    way->frames = fired ? (double)(after.frames - before.frames) / (double)fired : 0;
}

/* Least squares through (frames, ns): ns a frame, and what a sample costs without any. */
static double slope(const struct way *ways, size_t count, double *fixed) {
    double x = 0, y = 0, xx = 0, xy = 0, n = (double)count;
    for (size_t i = 0; i < count; i++) {
        double ns[ROUNDS];
        memcpy(ns, ways[i].ns, sizeof(ns));
        double value = median(ns, ROUNDS);
        x += ways[i].frames, y += value, xx += ways[i].frames * ways[i].frames, xy += ways[i].frames * value;
    }
    double result = (n * xy - x * y) / (n * xx - x * x);
    *fixed = (y - result * x) / n;
    return result;
}

/* ------------------------------------------------------------------------------- what the victim loses */

static double loops_a_ms(int event) {
    if (event >= 0)
        ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
    usleep(1000);
    uint64_t loops = atomic_load(&victim.loops), start = otp_clock_ns(CLOCK_MONOTONIC);
    usleep(SLICE_MS * 1000);
    double result =
        (double)(atomic_load(&victim.loops) - loops) * 1e6 / (double)(otp_clock_ns(CLOCK_MONOTONIC) - start);
    if (event >= 0)
        ioctl(event, PERF_EVENT_IOC_DISABLE, 0);
    otp_capture_drain(room.capture, drop, NULL);
    return result;
}

/* ns that the victim loses to each event, against slices without one, in turns of random order. */
static double lost_ns(const struct way *way, double *share) {
    double losses[SLICES];
    unsigned seed = 7;
    atomic_store(&victim.depth, way->depth);
    otp_capture_control(room.capture)->family[0] = way->ours ? tgid : 1;
    for (int i = 0; i < SLICES; i++) {
        bool first = rand_r(&seed) >> 9 & 1;
        double a = loops_a_ms(first ? way->event : -1), b = loops_a_ms(first ? -1 : way->event);
        double with = first ? a : b, without = first ? b : a;
        losses[i] = 1 - with / without;
    }
    *share = median(losses, SLICES);
    return *share * 1e9 / RATE;
}

/* ------------------------------------------------------------------------------------------------- report */

enum { EMPTY, SAME, FOREIGN, SHALLOW, MIDDLE, CASE, DEEP, COLD_SHALLOW, COLD_CASE, COLD_DEEP, WAYS };

static struct way ways[WAYS] = {
    [EMPTY] = {"empty program", .depth = 24, .ours = true},
    [SAME] = {"empty program again (A/A)", .depth = 24, .ours = true},
    [FOREIGN] = {"otp_cpu, thread of another process", .depth = 24},
    [SHALLOW] = {"otp_cpu, warm", .depth = 4, .ours = true},
    [MIDDLE] = {"otp_cpu, warm", .depth = 12, .ours = true},
    [CASE] = {"otp_cpu, warm", .depth = 22, .ours = true},
    [DEEP] = {"otp_cpu, warm", .depth = 59, .ours = true},
    [COLD_SHALLOW] = {"otp_cpu, cold cache", .depth = 4, .ours = true, .cold = true},
    [COLD_CASE] = {"otp_cpu, cold cache", .depth = 22, .ours = true, .cold = true},
    [COLD_DEEP] = {"otp_cpu, cold cache", .depth = 59, .ours = true, .cold = true},
};

static double word_slope(const char *self) {
    char command[4096], line[64] = "";
    snprintf(command, sizeof(command), "%.*s_word_bench --slope", (int)(strlen(self) - strlen("_bench")), self);
    FILE *sibling = popen(command, "r"); /* NOLINT(cert-env33-c): our own path */
    if (!sibling)
        return 0;
    if (!fgets(line, sizeof(line), sibling))
        line[0] = 0;
    pclose(sibling);
    return strtod(line, NULL);
}

static void report(const char *self) {
    double fixed, cold_fixed, empty[ROUNDS];
    memcpy(empty, ways[EMPTY].ns, sizeof(empty));
    double base = median(empty, ROUNDS);
    printf("%-36s %8s %10s %12s %8s\n", "run time of the program", "frames", "ns", "less empty", "ratio");
    for (size_t i = 0; i < WAYS; i++) {
        double ns[ROUNDS];
        memcpy(ns, ways[i].ns, sizeof(ns));
        double value = median(ns, ROUNDS);
        printf("%-36s %8.1f %10.0f %12.0f %8.1f\n", ways[i].name, ways[i].frames, value, value - base, value / base);
    }
    double warm = slope(ways + SHALLOW, 4, &fixed), cold = slope(ways + COLD_SHALLOW, 3, &cold_fixed);
    double word = word_slope(self);
    printf("\nns a frame: warm %.1f (goal %.0f), cold %.1f; reads of one word, warm: %.1f, ratio %.1f\n", warm, GOAL_NS,
           cold, word, word / warm);
    printf("a sample without its frames: %.0f ns\n\n", fixed - base);
    printf("what the interrupted thread loses to an event, ns (share at %u Hz), against slices without events:\n",
           RATE);
    for (size_t i = 0; i <= CASE; i++) {
        double share, ns = lost_ns(&ways[i], &share);
        if (i != SHALLOW && i != MIDDLE)
            printf("%-36s %8.0f  (%.2f %%)\n", ways[i].name, ns, 100 * share);
    }
}

static int start(int *empty) {
    pthread_t thread;
    if (open_room()) {
        fprintf(stderr, "%s\n", otp_error_text());
        return -1;
    }
    *empty = load_empty();
    if (*empty < 0 || bpf_enable_stats(BPF_STATS_RUN_TIME) < 0) {
        fprintf(stderr, "bpf(2): %s\n", strerror(errno));
        return -1;
    }
    pthread_create(&thread, NULL, victim_body, NULL);
    while (!victim.tid)
        usleep(100);
    for (size_t i = 0; i < WAYS; i++) {
        ways[i].program = i <= SAME ? *empty : otp_capture_program_fd(room.capture);
        ways[i].event = open_event(ways[i].program);
        if (ways[i].event < 0) {
            fprintf(stderr, "event: %s\n", strerror(errno));
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    int empty;
    bool slope_only = argc > 1 && !strcmp(argv[1], "--slope");
    if (start(&empty))
        return EXIT_FAILURE;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = slope_only ? SHALLOW : EMPTY; i < (slope_only ? COLD_SHALLOW : WAYS); i++)
            measure(&ways[i], round);
    }
    double fixed;
    if (slope_only)
        printf("%.2f\n", slope(ways + SHALLOW, 4, &fixed));
    else
        report(argv[0]);
    atomic_store(&victim.stop, true);
    return EXIT_SUCCESS;
}

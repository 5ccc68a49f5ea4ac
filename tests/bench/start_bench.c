// SPDX-License-Identifier: Apache-2.0
/*
 * How long a start takes: otelprof_init() until attached, and until the first sample was taken, in fresh processes that
 * burn CPU meanwhile, as a service does. Beside it an empty program on one event, by the same system calls.
 *
 *     start_bench [LIBRARY...]     libraries to load first: more tables to make
 */
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "base/clock.h"
#include "encode/otlp_reader.h"

#define STARTS 41
#define GOAL_MS 100.0

struct figures {
    double empty_ms, attached_ms, first_ms;
};

static uint64_t first_sample_ns; /* unix */
static atomic_bool stop;
static volatile unsigned long sink;

/* The earliest timestamp of the exported samples. */
static int look(void *user, const void *bytes, size_t size) {
    struct otp_otlp_reader *reader;
    struct otp_otlp_sample sample;
    (void)user;
    if (otp_otlp_read(bytes, size, &reader))
        return 1;
    for (size_t profile = 0; profile < otp_otlp_profile_count(reader); profile++) {
        for (size_t i = 0; otp_otlp_sample(reader, profile, i, &sample); i++) {
            for (size_t at = 0; at < sample.timestamp_count; at++)
                if (!first_sample_ns || sample.timestamps[at] < first_sample_ns)
                    first_sample_ns = sample.timestamps[at];
        }
    }
    otp_otlp_reader_free(reader);
    return 0;
}

static void *burn(void *argument) {
    (void)argument;
    while (!atomic_load(&stop))
        sink += sink >> 3 ^ 5;
    return NULL;
}

/* What any profiler by eBPF pays at least: one map, one program of two instructions, one event. */
static double empty_start_ms(void) {
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE,
                                         .size = sizeof(attributes),
                                         .config = PERF_COUNT_SW_CPU_CLOCK,
                                         .sample_period = 10000000};
    uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
    int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, 256 << 10, NULL);
    int program = bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "empty", "GPL", code, 2, NULL);
    int event = (int)syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    int failed = map < 0 || program < 0 || event < 0 || ioctl(event, PERF_EVENT_IOC_SET_BPF, program);
    double result = (double)(otp_clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
    close(event);
    close(program);
    close(map);
    return failed ? -1 : result;
}

static void one_start(struct figures *figures) {
    pthread_t thread;
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.export_bytes = look;
    options.start_timeout_ms = 20000;
    figures->empty_ms = empty_start_ms();
    pthread_create(&thread, NULL, burn, NULL);
    uint64_t unix_ns = otp_clock_ns(CLOCK_REALTIME), start = otp_clock_ns(CLOCK_MONOTONIC);
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        exit(EXIT_FAILURE); /* NOLINT(concurrency-mt-unsafe) */
    }
    figures->attached_ms = (double)(otp_clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
    usleep(100000);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    otelprof_shutdown(10000);
    figures->first_ms = first_sample_ns ? (double)(first_sample_ns - unix_ns) / 1e6 : -1;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double report(const char *name, double *values, double empty) {
    qsort(values, STARTS, sizeof(*values), compare);
    double median = values[STARTS / 2];
    printf("%-24s median %7.2f ms   p95 %7.2f   fastest %7.2f   ratio to empty %7.1f\n", name, median,
           values[STARTS * 95 / 100], values[0], median / (empty > 0 ? empty : median));
    return median;
}

int main(int argc, char **argv) {
    double empty[STARTS], attached[STARTS], first[STARTS];
    for (int i = 1; i < argc; i++)
        if (!dlopen(argv[i], RTLD_LAZY | RTLD_LOCAL))
            fprintf(stderr, "%s\n", dlerror());
    for (int i = 0; i < STARTS; i++) {
        int pipes[2];
        struct figures figures;
        if (pipe(pipes))
            return EXIT_FAILURE;
        if (!fork()) {
            one_start(&figures);
            _exit(write(pipes[1], &figures, sizeof(figures)) != sizeof(figures));
        }
        close(pipes[1]);
        if (read(pipes[0], &figures, sizeof(figures)) != sizeof(figures))
            return EXIT_FAILURE;
        close(pipes[0]);
        wait(NULL);
        empty[i] = figures.empty_ms, attached[i] = figures.attached_ms, first[i] = figures.first_ms;
    }
    double base = report("empty program", empty, 0);
    report("init until attached", attached, base);
    report("init to first sample", first, base);
    printf("goal: first sample within %.0f ms\n", GOAL_MS);
    return EXIT_SUCCESS;
}

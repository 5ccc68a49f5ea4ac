// SPDX-License-Identifier: Apache-2.0
/*
 * What it costs when many processes of one family profile themselves: each opens a clock on every CPU, and its
 * interrupts fall on all of them. N busy processes work with sampling on and off, by toggled slices in random order,
 * after as many with sampling off in both: work done in all, beside descriptors and kernel memory of each. family_bench
 * [PAIRS [SLICE_MS [N...]]]; default 40 300 1 5 20. As root.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define PROCESSES_MAX 64
#define SETTLE_MS 60

/* Shared by the family. */
struct family {
    _Atomic int wanted; /* 1: sampling on; 0: off; -1: end */
    struct member {
        _Alignas(128) _Atomic uint64_t work;
        _Atomic int ready; /* 1 + the state that it is in */
        _Atomic int descriptors;
        _Atomic uint64_t kernel_bytes, own_ns, fired;
    } members[PROCESSES_MAX];
};

static struct family *family;

static void pause_ms(unsigned ms) { nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL); }

static int discard(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    return size ? 0 : 1;
}

static int count_descriptors(void) {
    int count = -3; /* ".", ".." and that of the folder */
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static void report(struct member *self) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    atomic_store(&self->kernel_bytes, stats.kernel_memory_bytes);
    atomic_store(&self->own_ns, stats.own_cpu_ns);
    atomic_store(&self->fired, stats.samples_fired);
}

/* A process of the family: works, and follows what is wanted. */
static int member(struct member *self) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    int before = count_descriptors(), state = 1;
    volatile uint64_t value = 1;
    options.export_bytes = discard;
    options.start_timeout_ms = 60000;
    if (otelprof_init(&options)) {
        fprintf(stderr, "family_bench: %s\n", otelprof_last_error());
        return 1;
    }
    atomic_store(&self->descriptors, count_descriptors() - before);
    for (int wanted = 1; wanted >= 0; wanted = atomic_load(&family->wanted)) {
        if (wanted != state && (wanted ? otelprof_enable(OTELPROF_CPU) : otelprof_disable(OTELPROF_CPU)) == 0) {
            state = wanted;
            report(self);
        }
        atomic_store(&self->ready, 1 + state);
        for (int i = 0; i < 20000; i++)
            value = value * 6364136223846793005u + 1442695040888963407u;
        atomic_fetch_add(&self->work, 1);
    }
    report(self);
    otelprof_shutdown(5000);
    return 0;
}

static void want(int state, int count) {
    atomic_store(&family->wanted, state);
    for (int i = 0; i < count; i++)
        while (atomic_load(&family->members[i].ready) != 1 + state)
            pause_ms(1);
    pause_ms(SETTLE_MS);
}

static uint64_t work_done(int count) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += atomic_load(&family->members[i].work);
    return sum;
}

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Work a second in one slice. */
static double slice(int state, int count, unsigned ms) {
    want(state, count);
    double start = now_s();
    uint64_t before = work_done(count);
    pause_ms(ms);
    return (double)(work_done(count) - before) / (now_s() - start);
}

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The middle of the pairs, in percent, and a distance within which its true value lies 19 times out of 20. */
static void say(const char *what, double *ratios, int pairs) {
    qsort(ratios, (size_t)pairs, sizeof(ratios[0]), by_value);
    double spread = ratios[pairs * 3 / 4] - ratios[pairs / 4];
    printf("  %-12s %+6.2f %%  +-%.2f\n", what, 100 * (exp(ratios[pairs / 2]) - 1),
           100 * 1.57 * 1.25 * spread / sqrt(pairs));
}

static void compare(int count, int pairs, unsigned ms, bool both_off) {
    static double ratios[1000];
    for (int pair = 0; pair < pairs; pair++) {
        int first = both_off ? 0 : rand() & 1, second = both_off ? 0 : 1 - first;
        double one = slice(first, count, ms), other = slice(second, count, ms);
        ratios[pair] = first ? log(one / other) : log(other / one);
    }
    say(both_off ? "A/A" : "on / off", ratios, pairs);
}

static int measure(int count, int pairs, unsigned ms) {
    pid_t pids[PROCESSES_MAX];
    memset(family, 0, sizeof(*family));
    atomic_store(&family->wanted, 1);
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(member(&family->members[i]));
    }
    want(1, count);
    const struct member *first = &family->members[0];
    double start = now_s();
    printf("%d processes: %d descriptors each\n", count, atomic_load(&first->descriptors));
    compare(count, pairs, ms, true);
    compare(count, pairs, ms, false);
    double took = now_s() - start;
    atomic_store(&family->wanted, -1);
    int failed = 0, status;
    for (int i = 0; i < count; i++)
        failed |= waitpid(pids[i], &status, 0) != pids[i] || status != 0;
    printf("  %.2f MiB of kernel memory each; own threads %.3f %% of a CPU each\n",
           (double)atomic_load(&first->kernel_bytes) / 1048576, (double)atomic_load(&first->own_ns) / 1e7 / took);
    fflush(stdout);
    return failed;
}

int main(int argc, char **argv) {
    static const int usual[] = {1, 5, 20};
    int pairs = argc > 1 ? atoi(argv[1]) : 40, failed = 0;
    unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 300;
    family = mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (family == MAP_FAILED || pairs < 1 || pairs > 1000)
        return 2;
    srand(1);
    if (argc < 4)
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
            failed |= measure(usual[i], pairs, ms);
    for (int i = 3; i < argc; i++) {
        int count = atoi(argv[i]);
        failed |= count < 1 || count > PROCESSES_MAX ? 1 : measure(count, pairs, ms);
    }
    return failed;
}

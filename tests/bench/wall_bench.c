// SPDX-License-Identifier: Apache-2.0
/*
 * What wall time costs by the number of threads: 10 to 10,000 of them, all asleep or a tenth at work, with the default
 * budget and without any. One table: the profiler thread's share of a core with wall time on and, in the same process
 * and minute, off; looks a second; CPU time of a look; how many of a look's threads had to be told; losses.
 *
 *     wall_bench [SECONDS [MOST]]        of each of the two halves of a row; the most threads
 */
#include <dirent.h>
#include <inttypes.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned started;
static unsigned seconds = 5;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *sleep_long(void *unused) {
    started++;
    for (;;)
        sleep(1000);
    return unused;
}

/* Awake a few times a second, for a moment. */
static void *be_active(void *unused) {
    started++;
    for (unsigned random = (unsigned)(uintptr_t)unused;;) {
        random = random * 1664525u + 1013904223u;
        usleep(100000 + (random >> 12) % 200000);
    }
    return NULL;
}

static bool start_threads(unsigned count, bool active) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 32 << 10);
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, active && i % 10 == 0 ? be_active : sleep_long, (void *)(uintptr_t)i))
            return false;
    }
    while (started < count)
        usleep(1000);
    return true;
}

/* CPU time of the thread "otelprof". */
static uint64_t profiler_cpu_ns(void) {
    static char path[300];
    if (!*path) {
        DIR *tasks = opendir("/proc/self/task");
        for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
            char name[32] = "", file[300];
            snprintf(file, sizeof(file), "/proc/self/task/%.20s/comm", entry->d_name);
            FILE *comm = fopen(file, "r");
            if (comm && fgets(name, sizeof(name), comm) && !strcmp(name, "otelprof\n"))
                snprintf(path, sizeof(path), "/proc/self/task/%.20s/schedstat", entry->d_name);
            if (comm)
                fclose(comm);
        }
        closedir(tasks);
    }
    uint64_t cpu = 0;
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%" SCNu64, &cpu) != 1)
        abort();
    fclose(file);
    return cpu;
}

struct half {
    double share;
    struct otelprof_stats before, after;
};

static void measure(struct half *half, uint32_t on, uint32_t off) {
    if ((on && otelprof_enable(on)) || (off && otelprof_disable(off)))
        abort();
    usleep(500000);
    half->before.size = half->after.size = sizeof(half->before);
    otelprof_stats(&half->before);
    uint64_t start = now(), cpu = profiler_cpu_ns();
    sleep(seconds);
    half->share = (double)(profiler_cpu_ns() - cpu) / (double)(now() - start);
    otelprof_stats(&half->after);
}

static int row(unsigned threads, bool active, int budget) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    struct half with, without;
    options.profiles = OTELPROF_CPU;
    options.wall_budget_permille = budget;
    options.log_level = OTELPROF_LOG_ERROR;
    char folder[] = "/tmp/wall-bench-XXXXXX";
    options.output_dir = mkdtemp(folder);
    if (!start_threads(threads, active)) {
        printf("%7u  the system does not give so many\n", threads);
        return 0;
    }
    if (otelprof_init(&options)) {
        printf("%s\n", otelprof_last_error());
        return 1;
    }
    measure(&without, 0, 0);
    measure(&with, OTELPROF_WALL, 0);
    uint64_t ticks = with.after.wall_ticks - with.before.wall_ticks,
             looks = with.after.thread_looks - with.before.thread_looks;
    uint64_t told = with.after.thread_records - with.before.thread_records;
    uint64_t lost = with.after.thread_samples_lost + with.after.thread_untracked + with.after.thread_passes_failed;
    double share = with.share - without.share;
    printf("%7u  %-10s %6s   %6.2f %%  %6.2f %%   %6.1f   %8.1f   %6.1f %%   %" PRIu64 "\n", threads,
           active ? "10 % awake" : "asleep", budget ? "1 %" : "none", with.share * 100, without.share * 100,
           (double)ticks / seconds, ticks ? share * seconds * 1e6 / (double)ticks : 0,
           looks ? 100.0 * (double)told / (double)looks : 0, lost);
    otelprof_shutdown(5000);
    return 0;
}

int main(int argc, char **argv) {
    unsigned most = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
    seconds = argc > 1 ? (unsigned)atoi(argv[1]) : seconds;
    printf("threads  they are   budget   wall on   wall off   looks/s   us a look   told       lost\n");
    for (int budget = 0; budget <= 10; budget += 10)
        for (unsigned threads = 10; threads <= most; threads *= 10)
            for (int active = 0; active < 2; active++) {
                fflush(stdout);
                pid_t child = fork(); /* each row a process of its own */
                if (child == 0) {
                    int result = row(threads, active, budget);
                    fflush(stdout);
                    _exit(result);
                }
                int status;
                if (child < 0 || waitpid(child, &status, 0) < 0 || status)
                    return 1;
            }
    return 0;
}

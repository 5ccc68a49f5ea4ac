// SPDX-License-Identifier: Apache-2.0
/*
 * What the library brings into a small program, and what libcurl adds when a receiver is wanted: shared objects,
 * address space, memory and time, of processes that were started side by side. load_bench [ROUNDS]. As root.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define ROUNDS 15

enum mode { NOTHING, CALLBACK, NETWORK, MODES };

static const char *const names[MODES] = {"linked, not started", "started, callback", "started, network"};

struct figures {
    double start_ms;
    long objects, address_kib, private_kib, file_kib;
};

static int discard(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    return size ? 0 : 1;
}

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Files with code that are mapped. */
static long count_objects(void) {
    char line[512];
    long count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof(line), maps))
        count += strstr(line, "r-xp") && strstr(line, ".so");
    if (maps)
        fclose(maps);
    return count;
}

static void read_status(struct figures *figures) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof(line), status)) {
        sscanf(line, "VmSize: %ld", &figures->address_kib);
        sscanf(line, "RssAnon: %ld", &figures->private_kib);
        sscanf(line, "RssFile: %ld", &figures->file_kib);
    }
    if (status)
        fclose(status);
}

static struct figures measure(enum mode mode) {
    struct figures figures = {0};
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (mode == CALLBACK)
        options.export_bytes = discard;
    else
        options.endpoint = "http://127.0.0.1:9";
    double before = now_ms();
    if (mode != NOTHING && otelprof_init(&options)) {
        fprintf(stderr, "load_bench: %s\n", otelprof_last_error());
        _exit(1);
    }
    figures.start_ms = now_ms() - before;
    if (mode != NOTHING)
        otelprof_flush(2000);
    figures.objects = count_objects();
    read_status(&figures);
    return figures;
}

/* In a process of its own. */
static bool measure_apart(enum mode mode, struct figures *figures) {
    int ends[2], status;
    if (pipe(ends))
        return false;
    pid_t child = fork();
    if (child == 0) {
        *figures = measure(mode);
        ssize_t written = write(ends[1], figures, sizeof(*figures));
        _exit(written != (ssize_t)sizeof(*figures));
    }
    close(ends[1]);
    bool good = child > 0 && read(ends[0], figures, sizeof(*figures)) == (ssize_t)sizeof(*figures);
    close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && good && status == 0;
}

static int by_start(const void *a, const void *b) {
    double left = ((const struct figures *)a)->start_ms, right = ((const struct figures *)b)->start_ms;
    return (left > right) - (left < right);
}

int main(int argc, char **argv) {
    static struct figures all[MODES][1000];
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    for (int round = 0; round < rounds && round < 1000; round++)
        for (int mode = 0; mode < MODES; mode++)
            if (!measure_apart((enum mode)mode, &all[mode][round]))
                return 1;
    printf("%-22s %8s %12s %12s %12s %12s\n", "", "objects", "space MiB", "private MiB", "files MiB", "start ms");
    for (int mode = 0; mode < MODES; mode++) {
        qsort(all[mode], (size_t)rounds, sizeof(all[mode][0]), by_start);
        const struct figures *middle = &all[mode][rounds / 2];
        printf("%-22s %8ld %12.1f %12.1f %12.1f %12.1f\n", names[mode], middle->objects,
               (double)middle->address_kib / 1024, (double)middle->private_kib / 1024, (double)middle->file_kib / 1024,
               middle->start_ms);
    }
    return 0;
}

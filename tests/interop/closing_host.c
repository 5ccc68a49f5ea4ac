// SPDX-License-Identifier: Apache-2.0
/*
 * A host that closes every descriptor that it does not know while profiles are on their way, and gets the same numbers
 * for files of its own: closing_host FOLDER. Its files must stay as it wrote them, and the profiler must not spin. Ends
 * with the number of files that were touched; prints what was counted.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define FILES 60
#define HIGHEST 256
#define OWN_CPU_MS_MAX 1500

static void work(long ms) {
    struct timespec start, now;
    volatile unsigned long sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 10000; i++)
            sum = sum * 3 + 1;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static int open_file(const char *folder, int number) {
    char path[512];
    snprintf(path, sizeof(path), "%s/file-%d", folder, number);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    return fd >= 0 && write(fd, "hello", 5) == 5 ? fd : -1;
}

/* Length, content and position are what they were. */
static int is_touched(int fd) {
    struct stat status;
    char text[8] = "";
    return fstat(fd, &status) || status.st_size != 5 || lseek(fd, 0, SEEK_CUR) != 5 || pread(fd, text, 7, 0) != 5 ||
           strcmp(text, "hello") != 0;
}

int main(int argc, char **argv) {
    int files[FILES], touched = 0;
    if (argc != 2 || otelprof_init(NULL))
        return 200;
    work(1200);
    for (int fd = 3; fd < HIGHEST; fd++)
        close(fd);
    for (int i = 0; i < FILES; i++)
        files[i] = open_file(argv[1], i);
    work(1500);
    otelprof_flush(1000);
    otelprof_shutdown(1500);
    for (int i = 0; i < FILES; i++)
        touched += files[i] < 0 || is_touched(files[i]);
    struct otelprof_stats s;
    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    otelprof_stats(&s);
    uint64_t lost = s.lost_ring_full + s.lost_decode + s.lost_memory + s.lost_window_dropped + s.lost_export_failed +
                    s.lost_rejected + s.lost_shutdown + s.lost_scratch;
    printf("%d touched; %" PRIu64 " fired, %" PRIu64 " exported, %" PRIu64 " lost, %" PRIu64
           " unknown; %.0f ms of CPU\n",
           touched, s.samples_fired, s.samples_exported, lost, s.delivery_unknown, (double)s.own_cpu_ns / 1e6);
    if (s.own_cpu_ns / 1000000 > OWN_CPU_MS_MAX || s.samples_fired != s.samples_exported + lost + s.delivery_unknown)
        return 201;
    return touched;
}

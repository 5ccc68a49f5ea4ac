// SPDX-License-Identifier: Apache-2.0
/*
 * A host without standard input, output and error, whose receiver has a name that nobody looks up: lookup_host RESULT
 * SECONDS. Looks at its descriptors and threads meanwhile, and writes to RESULT what it saw, as one line of JSON.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#define HIGH_FD 100
#define SHUTDOWN_MS 1500

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void work(double ms) {
    volatile unsigned long sum = 0;
    for (double end = now_ms() + ms; now_ms() < end;)
        for (int i = 0; i < 10000; i++)
            sum = sum * 3 + 1;
}

static int entries(const char *path) {
    int count = 0;
    DIR *list = opendir(path);
    for (struct dirent *entry; list && (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    if (list)
        closedir(list);
    return count;
}

static int sockets(void) {
    struct stat status;
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += !fstat(fd, &status) && S_ISSOCK(status.st_mode);
    return count;
}

/* What a program that is executed now would find open, beside `result`. */
static int inherited(int result) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        count += fd != result && flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600), result = fcntl(file, F_DUPFD_CLOEXEC, HIGH_FD);
    close(file);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    int started = otelprof_init(NULL), writes = 0, most_sockets = 0, most_inherited = 0, most_threads = 0;
    double worst_fork = 0;
    for (double end = now_ms() + strtod(argv[2], NULL) * 1000; now_ms() < end;) {
        work(10);
        for (int fd = 0; fd < 3; fd++)
            writes += write(fd, "hello\n", 6) >= 0 || errno != EBADF;
        int threads = entries("/proc/self/task"), open_sockets = sockets(), kept = inherited(result);
        most_threads = threads > most_threads ? threads : most_threads;
        most_sockets = open_sockets > most_sockets ? open_sockets : most_sockets;
        most_inherited = kept > most_inherited ? kept : most_inherited;
        double begin = now_ms();
        pid_t child = fork();
        if (!child)
            _exit(0);
        double took = now_ms() - begin;
        worst_fork = took > worst_fork ? took : worst_fork;
        waitpid(child, NULL, 0);
    }
    double begin = now_ms();
    otelprof_shutdown(SHUTDOWN_MS);
    double took = now_ms() - begin;
    struct otelprof_stats s;
    memset(&s, 0, sizeof(s));
    s.size = sizeof(s);
    otelprof_stats(&s);
    dprintf(result,
            "{\"init\": %d, \"writes\": %d, \"sockets\": %d, \"inherited\": %d, \"threads\": %d, \"fork_ms\": %.1f, "
            "\"shutdown_ms\": %.0f, \"fired\": %llu, \"exported\": %llu, \"retries\": %llu}\n",
            started, writes, most_sockets, most_inherited, most_threads, worst_fork, took,
            (unsigned long long)s.samples_fired, (unsigned long long)s.samples_exported,
            (unsigned long long)s.export_retries);
    return 0;
}

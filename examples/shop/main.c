// SPDX-License-Identifier: Apache-2.0
/*
 * The shop: a small HTTP service that carries its profiler inside. See ../README.md for what it shows; the lines that
 * concern the profiler are profiler_start() and profiler_stop() below, and span.c.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "archive.h"
#include "http.h"

#define DEFAULT_THREADS 4
#define MAX_THREADS 64
#define SHUTDOWN_MS 5000

struct options {
    uint16_t port;
    unsigned threads;
    bool spans;
    const char *span_log;
};

static const char usage[] =
    "Usage: shop [OPTION]...\n"
    "A small shop over HTTP on 127.0.0.1 that profiles itself. Ctrl-C stops it.\n"
    "\n"
    "  --port N         listen on port N; 0, the default, takes one that is free\n"
    "  --threads N      workers for the heavy routes, 1 to 64 (default 4)\n"
    "  --no-spans       do not tell the profiler about spans\n"
    "  --span-log FILE  write one line for each finished span\n"
    "  --help           show this\n"
    "\n"
    "Routes: GET /products?category=N, GET /report, GET /cart/{id}, POST /checkout?customer=N.\n"
    "The profiler is set up by OTELPROF_* variables, such as OTELPROF_OUTPUT_DIR=profiles.\n";

static void profiler_message(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "shop: %s\n", message);
}

/* The service runs on whether the profiler starts or not. */
static void profiler_start(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.service_name = "shop";
    options.service_version = "1.0.0";
    options.log = profiler_message;
    int error = otelprof_init(&options);
    if (error < 0) {
        fprintf(stderr, "shop: goes on without a profiler: %s\n", otelprof_strerror(error));
    }
}

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Writes the last window, then says what the service and its profiler used. */
static void profiler_stop(const struct timespec *start, unsigned long answered) {
    double seconds = seconds_since(start);
    int error = otelprof_shutdown(SHUTDOWN_MS);
    if (error < 0 && error != OTELPROF_E_STATE) {
        fprintf(stderr, "shop: the last profile may be lost: %s\n", otelprof_strerror(error));
    }
    struct otelprof_stats stats = {.size = sizeof stats};
    otelprof_stats(&stats);
    uint64_t lost = stats.lost_ring_full + stats.lost_decode + stats.lost_memory + stats.lost_window_dropped +
                    stats.lost_export_failed + stats.lost_rejected + stats.lost_shutdown + stats.lost_scratch +
                    stats.delivery_unknown;
    printf("shop: stats requests=%lu seconds=%.2f process_cpu_ms=%.0f profiler_cpu_ms=%.0f samples_fired=%llu "
           "samples_with_span=%llu samples_exported=%llu samples_lost=%llu bytes_exported=%llu "
           "bytes_sent=%llu retries=%llu "
           "kernel_memory_bytes=%llu\n",
           answered, seconds, cpu_seconds() * 1e3, (double)stats.own_cpu_ns / 1e6,
           (unsigned long long)stats.samples_fired, (unsigned long long)stats.samples_with_span,
           (unsigned long long)stats.samples_exported, (unsigned long long)lost,
           (unsigned long long)stats.bytes_exported, (unsigned long long)stats.bytes_sent,
           (unsigned long long)stats.export_retries, (unsigned long long)stats.kernel_memory_bytes);
}

/* A whole number from `low` to `high`; ends the program with a message for anything else. */
static unsigned long number_option(const char *name, const char *text, unsigned long low, unsigned long high) {
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || number < low || number > high) {
        fprintf(stderr, "shop: --%s takes a number from %lu to %lu\n", name, low, high);
        exit(2);
    }
    return number;
}

static struct options parse_options(int argc, char **argv) {
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'}, {"threads", required_argument, NULL, 't'},
        {"no-spans", no_argument, NULL, 'n'},   {"span-log", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    struct options options = {.port = 0, .threads = DEFAULT_THREADS, .spans = true, .span_log = NULL};
    int name;
    while ((name = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        switch (name) {
        case 'p':
            options.port = (uint16_t)number_option("port", optarg, 0, 65535);
            break;
        case 't':
            options.threads = (unsigned)number_option("threads", optarg, 1, MAX_THREADS);
            break;
        case 'n':
            options.spans = false;
            break;
        case 'l':
            options.span_log = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs("Try 'shop --help'.\n", stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "shop: what is '%s'? Try 'shop --help'.\n", argv[optind]);
        exit(2);
    }
    return options;
}

/* Makes the database and reads the catalogue. False after a line on stderr. */
static bool shop_prepare(const char *database, struct catalogue *catalogue) {
    if (!store_seed(database)) {
        return false;
    }
    struct store *store = store_open(database);
    if (store == NULL) {
        return false;
    }
    long count = store_catalogue(store, catalogue->products, STORE_PRODUCTS);
    store_close(store);
    catalogue->count = count > 0 ? (size_t)count : 0;
    return count > 0;
}

/* Serves until a signal of `stop` comes. How many requests were answered, or -1 when it could not start. */
static long shop_serve(const struct options *options, const char *database, const sigset_t *stop) {
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    struct http *http = NULL;
    if (catalogue != NULL && shop_prepare(database, catalogue)) {
        struct http_options settings = {options->port, options->threads, database, catalogue};
        http = http_start(&settings);
    }
    long answered = -1;
    if (http != NULL) {
        int signal_number;
        printf("shop: listening on http://127.0.0.1:%u (pid %ld)\n", http_port(http), (long)getpid());
        fflush(stdout);
        sigwait(stop, &signal_number);
        answered = (long)http_stop(http);
    }
    free(catalogue);
    return answered;
}

/* The database lives in a folder of its own, gone when the service ends. */
static void remove_database(const char *folder) {
    static const char *const names[] = {"shop.db", "shop.db-wal", "shop.db-shm"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static long shop_run(const struct options *options, const sigset_t *stop) {
    const char *parent = getenv("TMPDIR");
    char folder[256];
    char database[512];
    snprintf(folder, sizeof folder, "%s/shop-XXXXXX", parent == NULL || parent[0] == '\0' ? "/tmp" : parent);
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "shop: %s: %s\n", folder, strerror(errno));
        return -1;
    }
    snprintf(database, sizeof database, "%s/shop.db", folder);
    long answered = shop_serve(options, database, stop);
    remove_database(folder);
    return answered;
}

int main(int argc, char **argv) {
    struct options options = parse_options(argc, argv);
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);

    /*
     * All threads inherit this: a stop signal waits for sigwait(), and a client that hangs up is no signal at all. A
     * shell starts background jobs with SIGINT ignored, and an ignored signal need not wait: hence the default.
     */
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);

    if (!span_setup(options.span_log, options.spans)) {
        fprintf(stderr, "shop: %s: %s\n", options.span_log, strerror(errno));
        return 1;
    }
    archive_open();
    profiler_start();
    long answered = shop_run(&options, &stop);
    profiler_stop(&start, answered < 0 ? 0 : (unsigned long)answered);
    archive_clear(); /* the last profile shows what was held */
    span_teardown();
    return answered < 0 ? 1 : 0;
}

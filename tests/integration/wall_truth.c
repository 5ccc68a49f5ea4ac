// SPDX-License-Identifier: Apache-2.0
/*
 * Threads that wait known times in known functions and compute in between, each in a span of its own; what they waited
 * and computed is measured beside the profile and printed as JSON.
 *
 *     wall_truth DIR SECONDS BURNERS LIBRARY       LIBRARY is loaded on the way
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <otelprof/otelprof.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define WORKERS_MAX 32
#define TICK_NS 10101010ull /* of 99 Hz: what steps with that must not be missed */

static int pipe_ends[2], some_file = -1, faults = -1, listener = -1;
static char *missing_page;
static atomic_bool stop;
static _Atomic unsigned interrupted; /* system calls that ended by a signal */

static uint64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ------------------------------------------------------------------------------------------ where threads wait */

#define WAITS __attribute__((noinline)) static void

WAITS wait_read(void) {
    char byte;
    if (read(pipe_ends[0], &byte, 1) < 0)
        abort();
}

WAITS wait_poll(void) { poll(NULL, 0, 9); }

WAITS wait_futex(void) {
    static uint32_t word;
    const struct timespec time = {0, 6 * MS};
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
}

WAITS wait_nanosleep(void) {
    const struct timespec time = {0, 4 * MS};
    syscall(SYS_nanosleep, &time, NULL);
}

/* Into a page that is not there: it comes when the feeder gives it (userfaultfd(2)). */
WAITS wait_pread(void) {
    madvise(missing_page, 4096, MADV_DONTNEED);
    if (pread(some_file, missing_page, 64, 0) != 64)
        abort();
}

WAITS wait_accept(void) { close(accept(listener, NULL, NULL)); }

WAITS wait_condition(void) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    uint64_t until = now(CLOCK_REALTIME) + 5 * MS;
    const struct timespec time = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    pthread_mutex_lock(&lock);
    pthread_cond_timedwait(&never, &lock, &time);
    pthread_mutex_unlock(&lock);
}

/* Until the given phase of the ticks' period. */
static void sleep_to_phase(uint64_t phase) {
    uint64_t time = now(CLOCK_MONOTONIC), until = time / TICK_NS * TICK_NS + phase;
    until += until <= time ? TICK_NS : 0;
    const struct timespec at = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

WAITS wait_in_step(void) { sleep_to_phase(5 * MS); } /* at work from there to the end of the period */

WAITS wait_shortly(void) { sleep_to_phase(1 * MS); } /* at work all the rest of it, but only seldom enough; see below */

WAITS wait_first(void) {
    const struct timespec time = {0, 3 * MS};
    nanosleep(&time, NULL);
}

WAITS wait_second(void) { poll(NULL, 0, 7); }

WAITS wait_long(void) {
    while (!stop)
        poll(NULL, 0, 1000000);
}

WAITS wait_not(void) {}

/* ------------------------------------------------------------------------------------------------- workers */

struct worker {
    const char *name, *syscall;
    void (*wait)(void), (*other_wait)(void);
    uint64_t work_ns; /* CPU time after each wait; 0: until the period's end; UINT64_MAX: for ever */
    _Atomic uint64_t waited_ns, other_ns, since_ns; /* since: waits now; 0: does not */
    _Atomic uint32_t tid;
    pthread_t thread;
    uint64_t truth[4]; /* waited, waited at the other place, CPU, run delay */
};

static struct worker workers[WORKERS_MAX] = {
    {.name = "read", .syscall = "read", .wait = wait_read, .work_ns = MS},
    {.name = "poll", .syscall = "poll", .wait = wait_poll, .work_ns = MS},
    {.name = "futex", .syscall = "futex", .wait = wait_futex, .work_ns = MS / 2},
    {.name = "nanosleep", .syscall = "nanosleep", .wait = wait_nanosleep, .work_ns = MS / 4},
    {.name = "pread", .syscall = "pread64", .wait = wait_pread, .work_ns = MS},
    {.name = "accept", .syscall = "accept", .wait = wait_accept, .work_ns = MS},
    {.name = "condition", .syscall = "futex", .wait = wait_condition, .work_ns = MS / 2},
    {.name = "in_step", .syscall = "clock_nanosleep", .wait = wait_in_step},
    {.name = "shortly", .syscall = "clock_nanosleep", .wait = wait_shortly, .work_ns = MS / 10},
    {.name = "first", .syscall = "clock_nanosleep", .wait = wait_first, .other_wait = wait_second, .work_ns = MS / 10},
    {.name = "long", .syscall = "poll", .wait = wait_long},
};
static unsigned worker_count = 11;

static _Thread_local volatile unsigned long sink;

__attribute__((noinline)) static void compute(const struct worker *worker) {
    uint64_t start = now(CLOCK_THREAD_CPUTIME_ID), phase = now(CLOCK_MONOTONIC) / TICK_NS;
    for (;;) {
        for (unsigned i = 0; i < 2000; i++)
            sink += i ^ sink >> 3;
        if (worker->work_ns ? now(CLOCK_THREAD_CPUTIME_ID) - start >= worker->work_ns || stop
                            : now(CLOCK_MONOTONIC) / TICK_NS != phase)
            break;
    }
}

static void wait_at(struct worker *worker, void (*place)(void), _Atomic uint64_t *sum) {
    uint64_t start = now(CLOCK_MONOTONIC);
    worker->since_ns = start;
    errno = 0;
    place();
    interrupted += errno == EINTR;
    worker->since_ns = 0;
    *sum += now(CLOCK_MONOTONIC) - start;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint8_t trace[16] = {0}, span[8] = {0};
    trace[0] = span[0] = (uint8_t)(1 + (worker - workers));
    otelprof_thread_name(worker->name);
    struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", worker->name);
    worker->tid = (uint32_t)syscall(SYS_gettid);
    while (!stop) {
        wait_at(worker, worker->wait, &worker->waited_ns);
        compute(worker);
        if (worker->other_wait)
            wait_at(worker, worker->other_wait, &worker->other_ns);
    }
    otelprof_span_exit(token);
    return NULL;
}

/* Keeps the pipe and the listener going. */
static void *feed(void *unused) {
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    (void)unused;
    getsockname(listener, (struct sockaddr *)&address, &size);
    for (unsigned i = 0; !stop; i++) {
        usleep(1000);
        if (i % 7 == 0 && write(pipe_ends[1], "x", 1) < 0)
            abort();
        if (i % 8 == 0) {
            struct uffdio_zeropage page = {.range = {(uintptr_t)missing_page, 4096}};
            ioctl(faults, UFFDIO_ZEROPAGE, &page); /* EEXIST: it is there */
        }
        if (i % 11 == 0) {
            int client = socket(AF_UNIX, SOCK_STREAM, 0);
            connect(client, (struct sockaddr *)&address, size);
            close(client);
        }
    }
    return NULL;
}

static uint64_t run_delay(uint32_t tid) {
    char path[64];
    uint64_t cpu = 0, delay = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%u/schedstat", tid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%" SCNu64 " %" SCNu64, &cpu, &delay) != 2)
        abort();
    fclose(file);
    return delay;
}

/* What a worker did so far, added to or taken from its truth. */
static void look(struct worker *worker, int sign) {
    clockid_t clock;
    uint64_t time = now(CLOCK_MONOTONIC), since = worker->since_ns, waits = since && since < time ? time - since : 0;
    pthread_getcpuclockid(worker->thread, &clock);
    const uint64_t parts[] = {worker->waited_ns + waits, worker->other_ns, now(clock), run_delay(worker->tid)};
    for (int i = 0; i < 4; i++)
        worker->truth[i] += sign > 0 ? parts[i] : -parts[i];
}

static void open_things(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct uffdio_api api = {.api = UFFD_API};
    some_file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    missing_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register area = {.range = {(uintptr_t)missing_page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (pipe(pipe_ends) || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &area) ||
        bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) || listen(listener, 16))
        abort();
}

static void print(uint64_t elapsed_ns, uint64_t interval_ns) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    printf("{\"elapsed\": %" PRIu64 ", \"ticks\": %" PRIu64 ", \"interval\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"snapshots\": %" PRIu64 ", \"interrupted\": %u,\n \"workers\": [",
           elapsed_ns, stats.wall_ticks, interval_ns,
           stats.thread_samples_lost + stats.thread_untracked + stats.thread_passes_failed, stats.thread_snapshots,
           interrupted);
    for (unsigned i = 0; i < worker_count; i++)
        printf("%s\n  {\"name\": \"%s\", \"tid\": %u, \"syscall\": \"%s\", \"waited\": %" PRIu64 ", \"other\": %" PRIu64
               ", \"cpu\": %" PRIu64 ", \"delay\": %" PRIu64 "}",
               i ? "," : "", workers[i].name, workers[i].tid, workers[i].syscall, workers[i].truth[0],
               workers[i].truth[1], workers[i].truth[2], workers[i].truth[3]);
    printf("\n]}\n");
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    static char names[WORKERS_MAX][24];
    pthread_t feeder;
    if (argc < 5)
        return 2;
    unsigned seconds = (unsigned)atoi(argv[2]);
    for (int i = 0; i < atoi(argv[3]) && worker_count < WORKERS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "burner_%d", i);
        workers[worker_count++] =
            (struct worker){.name = names[i], .syscall = "", .wait = wait_not, .work_ns = UINT64_MAX};
    }
    options.output_dir = argv[1];
    options.window_ms = 3000;
    options.profiles = OTELPROF_THREADS;
    open_things();
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    pthread_create(&feeder, NULL, feed, NULL);
    for (unsigned i = 0; i < worker_count; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    for (unsigned i = 0; i < worker_count; i++)
        while (!workers[i].tid)
            usleep(1000);
    usleep(200000);

    if (otelprof_enable(OTELPROF_WALL))
        return 1;
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < worker_count; i++)
        look(&workers[i], -1);
    sleep(seconds / 2);
    void *library = dlopen(argv[4], RTLD_NOW);
    sleep(seconds - seconds / 2);
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    for (unsigned i = 0; i < worker_count; i++)
        look(&workers[i], 1);
    uint64_t end = now(CLOCK_MONOTONIC);
    if (otelprof_disable(OTELPROF_WALL) || otelprof_flush(10000))
        return 1;
    print(end - start, stats.wall_interval_ns);
    int result = library ? otelprof_shutdown(10000) : 1;
    stop = true;
    _exit(result ? 1 : fflush(stdout));
}

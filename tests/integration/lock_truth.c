// SPDX-License-Identifier: Apache-2.0
/*
 * A program that knows who waits for whom: lock_truth OUTPUT_DIR SEED MODULE ROUNDS
 *
 * At each site of lock_truth_sites.c two threads meet ROUNDS times: the partner has what the waiter wants, and lets go
 * of it a random time after the waiter has come; each works in a span of its own. Then threads are made and joined, and
 * eight threads fight for one mutex. Prints as JSON what each site waited, by its own clock, and how much an estimate
 * of that may scatter.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "lock_truth.h"

#define NOINLINE __attribute__((noinline))
#define INTERVAL_NS 100000
#define WAKING_NS 10000 /* what a wait counts for beyond its release: see src/hooks/lock_wait.h */
#define HOLD_LEAST_NS 10000
#define HOLD_MOST_NS 300000
#define PACE_NS 700000 /* between two rounds, so that the profiler need not choose less often */

static uint64_t seed;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void spin_until(uint64_t time_ns) {
    while (now() < time_ns)
        ;
}

/* ---------------------------------------------------------------------------------------------- the books */

struct account {
    uint64_t waits;
    double delay_ns, chosen, missed, variance, delay_variance, heaviest, heaviest_delay;
    uint64_t owner; /* thread id of the partner */
};

static void enter(struct account *account, uint64_t waited, uint64_t mass) {
    double p = -expm1(-(double)mass / INTERVAL_NS), w = (double)waited;
    account->waits++;
    account->delay_ns += w;
    account->chosen += p;
    account->missed += 1 - p;
    account->variance += (1 - p) / p;
    account->delay_variance += w * w * (1 - p) / p;
    account->heaviest = fmax(account->heaviest, 1 / p);
    account->heaviest_delay = fmax(account->heaviest_delay, w / p);
}

static void print_account(const char *before, const struct account *account) {
    printf("%s\"contentions\":%" PRIu64 ",\"delay\":%.0f,\"chosen\":%.1f,\"missed\":%.1f,\"contentions_variance\":%.6g,"
           "\"delay_variance\":%.6g,\"contentions_heaviest\":%.6g,\"delay_heaviest\":%.6g",
           before, account->waits, account->delay_ns, account->chosen, account->missed, account->variance,
           account->delay_variance, account->heaviest, account->heaviest_delay);
}

/* ------------------------------------------------------------------------------------------ two that meet */

static struct meeting {
    const struct lock_site *site;
    void *lock;
    unsigned rounds, number;
    atomic_uint held, coming, done; /* rounds */
    _Atomic uint64_t hold_ns, released_ns;
    _Atomic pid_t partner;
} meeting;

static void spans(unsigned number, char side, const char *name, struct otelprof_span_token *token) {
    uint8_t trace[16] = "lock truth", span[8] = "lock";
    char route[64];
    trace[12] = span[4] = (uint8_t)(number + 1);
    trace[13] = span[5] = (uint8_t)side;
    snprintf(route, sizeof(route), "/%s/%s", name, side == 'w' ? "wait" : "hold");
    *token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    GIVES(0, otelprof_span_attribute("http.route", route));
}

/* Where a machine with two CPUs needs them for others, one that spins lets them go first. */
static void wait_for(atomic_uint *what, unsigned round) {
    while (atomic_load(what) < round)
        sched_yield();
}

static void *partner(void *unused) {
    struct otelprof_span_token token;
    atomic_store(&meeting.partner, gettid());
    spans(meeting.number, 'h', meeting.site->name, &token);
    for (unsigned round = 1; round <= meeting.rounds; round++) {
        if (meeting.site->take)
            meeting.site->take(meeting.lock);
        atomic_store(&meeting.held, round);
        wait_for(&meeting.coming, round);
        spin_until(now() + atomic_load(&meeting.hold_ns));
        atomic_store(&meeting.released_ns, now());
        meeting.site->release(meeting.lock);
        wait_for(&meeting.done, round);
    }
    otelprof_span_exit(token);
    return unused;
}

static struct timespec after(uint64_t time_ns) {
    return (struct timespec){(time_t)(time_ns / 1000000000u), (long)(time_ns % 1000000000u)};
}

/* One wait. Where this thread came too late to wait, it does not count: nobody else knows of it either. */
static void meet(struct account *account, unsigned round) {
    const struct lock_site *site = meeting.site;
    uint64_t hold = HOLD_LEAST_NS + next_random() % (HOLD_MOST_NS - HOLD_LEAST_NS);
    if (site->times_out || !site->holder_mode) /* all of it counts in the choice */
        hold -= hold / 3;
    atomic_store(&meeting.hold_ns, site->times_out ? hold * 2 + 200000 : hold);
    wait_for(&meeting.held, round);
    atomic_store(&meeting.coming, round);
    uint64_t start = now();
    lock_patience = after(start + hold);
    int result = site->wait(meeting.lock);
    uint64_t end = now(), released = atomic_load(&meeting.released_ns);
    bool got = result == 0;
    if (got && site->unwait)
        site->unwait(meeting.lock);
    atomic_store(&meeting.done, round);
    if (site->times_out ? got : released <= start)
        return;
    bool by_release = site->holder_mode && got;
    enter(account, end - start, by_release ? released - start + WAKING_NS : end - start);
}

static void print_site(const struct lock_site *site, const struct account *account, bool first) {
    printf("%s\n{\"name\":\"%s\",\"kind\":\"%s\",\"mode\":\"%s\",\"lock\":\"%s\",\"address\":\"%p\",\"times_out\":%d,"
           "\"has_holder\":%d,\"holder_mode\":\"%s\",\"owner\":%" PRIu64,
           first ? "" : ",", site->name, site->kind, site->mode, site->lock_name ? site->lock_name : "", meeting.lock,
           site->times_out, site->holder_mode && !site->times_out, site->holder_mode ? site->holder_mode : "",
           site->no_owner ? 0 : account->owner);
    print_account(",", account);
    printf("}");
}

static void run_site(const struct lock_site *site, unsigned number, unsigned rounds) {
    struct otelprof_span_token token;
    struct account account = {.waits = 0};
    pthread_t thread;
    meeting = (struct meeting){.site = site, .lock = site->lock(), .rounds = rounds, .number = number};
    EXPECT(meeting.lock);
    GIVES(0, pthread_create(&thread, NULL, partner, NULL));
    spans(number, 'w', site->name, &token);
    for (unsigned round = 1; round <= rounds; round++) {
        meet(&account, round);
        usleep(PACE_NS / 1000);
    }
    otelprof_span_exit(token);
    while (pthread_tryjoin_np(thread, NULL))
        usleep(1000);
    account.owner = (uint64_t)atomic_load(&meeting.partner);
    print_site(site, &account, number == 0);
}

/* -------------------------------------------------------------------------------------------------- joining */

static atomic_bool leaving;

static void *leave(void *hold_ns) {
    while (!atomic_load(&leaving))
        sched_yield();
    spin_until(now() + (uint64_t)(uintptr_t)hold_ns);
    return NULL;
}

static NOINLINE int wait_join(pthread_t thread) {
    int result = pthread_join(thread, NULL);
    expect_sink++;
    return result;
}

static void run_joins(unsigned number, unsigned rounds) {
    static const struct lock_site site = {.name = "join", .kind = "join", .mode = "", .no_owner = true};
    struct otelprof_span_token token;
    struct account account = {.waits = 0};
    spans(number, 'w', "join", &token);
    for (unsigned round = 0; round < rounds; round++) {
        pthread_t thread;
        uint64_t hold = HOLD_LEAST_NS + next_random() % (HOLD_MOST_NS - HOLD_LEAST_NS);
        atomic_store(&leaving, false);
        GIVES(0, pthread_create(&thread, NULL, leave, (void *)(uintptr_t)hold));
        usleep(200);
        atomic_store(&leaving, true);
        uint64_t start = now();
        GIVES(0, wait_join(thread));
        enter(&account, now() - start, now() - start);
        usleep(PACE_NS / 1000);
    }
    otelprof_span_exit(token);
    meeting.lock = NULL;
    print_site(&site, &account, false);
}

/* ------------------------------------------------------------------------------------------------- barging */

#define BARGERS 8
#define HOLDERS 3

static pthread_mutex_t barged = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int who;
    uint64_t released_ns;
} last; /* under it: who had it last, and until when */
static double barged_delay[HOLDERS][BARGERS];
static atomic_bool barging_over;

static NOINLINE int wait_barging(void) {
    int result = pthread_mutex_lock(&barged);
    expect_sink++;
    return result;
}

#define HOLDER(number, ns)                                                                                             \
    static NOINLINE void release_barging_##number(void) {                                                              \
        spin_until(now() + (ns));                                                                                      \
        last.who = number;                                                                                             \
        last.released_ns = now();                                                                                      \
        pthread_mutex_unlock(&barged);                                                                                 \
        expect_sink++;                                                                                                 \
    }
HOLDER(0, 5000)
HOLDER(1, 60000)
HOLDER(2, 200000)
static void (*const holders[HOLDERS])(void) = {release_barging_0, release_barging_1, release_barging_2};

static void *barge(void *argument) {
    unsigned me = (unsigned)(uintptr_t)argument, mine = me < 5 ? 0 : me < 7 ? 1 : 2; /* unequal shares */
    struct otelprof_span_token token;
    char name[32];
    snprintf(name, sizeof(name), "barging_%u", mine);
    for (unsigned turn = 0; !atomic_load(&barging_over); turn++) {
        spans(100, 'w', "barging", &token);
        bool waits = pthread_mutex_trylock(&barged) != 0;
        uint64_t start = now();
        if (waits)
            GIVES(0, wait_barging());
        if (waits && last.released_ns > start)
            barged_delay[last.who][me] += (double)(now() - start);
        otelprof_span_exit(token);
        spans(101 + mine, 'h', name, &token);
        holders[mine]();
        otelprof_span_exit(token);
        usleep(300 + (turn * 131 + me * 37) % 700);
    }
    return NULL;
}

static void run_barging(unsigned milliseconds) {
    pthread_t threads[BARGERS];
    for (uintptr_t i = 0; i < BARGERS; i++)
        GIVES(0, pthread_create(&threads[i], NULL, barge, (void *)i));
    usleep(milliseconds * 1000);
    atomic_store(&barging_over, true);
    for (int i = 0; i < BARGERS; i++)
        while (pthread_tryjoin_np(threads[i], NULL))
            usleep(1000);
    printf("],\n\"barging\":[");
    for (int who = 0; who < HOLDERS; who++) {
        double delay = 0;
        for (int i = 0; i < BARGERS; i++)
            delay += barged_delay[who][i];
        printf("%s%.0f", who ? "," : "", delay);
    }
}

/* --------------------------------------------------------------------------------------------------------- */

static void start(const char *directory) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.window_ms = 3000;
    options.start_timeout_ms = 20000;
    options.profiles = OTELPROF_LOCK;
    options.lock_interval_ns = INTERVAL_NS;
    GIVES(0, otelprof_init(&options));
}

static void load_module(const char *path) {
    void *module = dlopen(path, RTLD_NOW);
    EXPECT(module);
    *(void **)(void *)&lock_module_site.wait = module ? dlsym(module, "wait_module") : NULL;
    *(void **)(void *)&lock_module_site.release = module ? dlsym(module, "release_module") : NULL;
    EXPECT(lock_module_site.wait && lock_module_site.release);
}

static uint64_t interval_in_force(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    GIVES(0, otelprof_stats(&stats));
    return stats.lock_interval_ns;
}

static void print_end(uint64_t interval) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    GIVES(0, otelprof_disable(OTELPROF_LOCK));
    GIVES(0, otelprof_flush(20000));
    GIVES(0, otelprof_stats(&stats));
    printf("],\n\"interval\":%d,\"interval_at_end\":%" PRIu64 ",\"fired\":%" PRIu64 ",\"exported\":%" PRIu64
           ",\"chosen\":%" PRIu64 ",\"holders\":%" PRIu64 ",\"unseen\":%" PRIu64 ",\"by_leaf\":%" PRIu64
           ",\n\"losses\":{\"ring\":%" PRIu64 ",\"decode\":%" PRIu64 ",\"memory\":%" PRIu64 ",\"holders\":%" PRIu64
           ",\"unpublished\":%" PRIu64 "}}\n",
           INTERVAL_NS, interval, stats.samples_fired, stats.samples_exported, stats.lock_samples, stats.lock_holders,
           stats.lock_holders_unseen, stats.lock_holders_leaf, stats.lost_ring_full, stats.lost_decode,
           stats.lost_memory, stats.lock_holders_lost, stats.lock_unpublished);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    unsigned rounds = (unsigned)strtoul(argv[4], NULL, 10);
    seed = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    start(argv[1]);
    usleep(300000);
    printf("{\"sites\":[");
    for (unsigned i = 0; i < lock_site_count; i++)
        run_site(&lock_sites[i], i, rounds);
    load_module(argv[3]);
    if (lock_module_site.wait)
        run_site(&lock_module_site, lock_site_count, rounds);
    run_joins(lock_site_count + 1, rounds);
    uint64_t interval = interval_in_force();
    run_barging(3000);
    usleep(300000);
    print_end(interval);
    GIVES(0, otelprof_shutdown(20000));
    return expect_failures ? 1 : 0;
}

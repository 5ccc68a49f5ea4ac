// SPDX-License-Identifier: Apache-2.0
/*
 * What heap profiling costs the process that it is in, by slices with and without it in random order, after as many
 * pairs of slices without it in both. Figures are trimmed means of differences, their limits (95 %) by the bootstrap.
 *
 *     heap_bench added [PAIRS [INTERVAL]]    ns more a pair of malloc() and free(), by kind and threads
 *     heap_bench price [PAIRS [INTERVAL]]    ns of an allocation that is chosen, by depth of calls: warm, and cold
 *     heap_bench paced [PAIRS [INTERVAL]]    CPU at 1 GiB/s with 100 MB live, of the program and of the profiler
 *
 * PAIRS: of slices, default 40. INTERVAL: mean bytes from one chosen to the next; default: the library's, for the price
 * 1, where every allocation is chosen. Linked to the shared library, as services are.
 */
#include "heap_work.h"
#include "slices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <otelprof/otelprof.h>

#define SETTLE_MS 2

static struct heap_team team;

/* ns of CPU of all threads but those that work and the one that asks: the profiler's own. */
static uint64_t own_ns(void) {
    uint64_t own = heap_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    clockid_t clock;
    for (unsigned i = 0; i < team.count; i++)
        if (!pthread_getcpuclockid(team.threads[i].thread, &clock))
            own -= heap_clock_ns(clock);
    return own;
}

/* --------------------------------------------------------------------------------------- added: ns a pair */

#define ADDED_MS 20

static void added_slice(const void *what, double columns[SLICES_COLUMNS]) {
    memset(columns, 0, SLICES_COLUMNS * sizeof(columns[0]));
    slices_pause_ms(SETTLE_MS);
    heap_team_run(&team, heap_slice_job, what);
    columns[0] = heap_cpu_ns(&team);
}

static bool added(int pairs) {
    printf("ns of CPU a pair of malloc() and free(), %d pairs of %d ms: off; added by heap profiling; A/A\n", pairs,
           ADDED_MS);
    for (unsigned threads = 1; threads <= HEAP_THREADS_MAX; threads++) {
        if (!heap_team_start(&team, threads))
            return false;
        for (int kind = 0; kind < HEAP_KINDS; kind++) {
            struct heap_slice slice = {&heap_kinds[kind], ADDED_MS};
            struct slices_comparison same, other;
            slices_compare(added_slice, &slice, pairs, false, &same);
            slices_compare(added_slice, &slice, pairs, true, &other);
            printf("  %u thread%s %-32s %7.2f", threads, threads > 1 ? "s" : " ", slice.kind->name, other.off[0]);
            slices_say(&other.added[0]);
            slices_say(&same.added[0]);
            puts("");
            fflush(stdout);
        }
        heap_team_stop(&team);
    }
    return true;
}

/* ---------------------------------------------------------------------------- price: of one that is chosen */

#define BURST 100u /* what the profiler takes without losses */
#define BURSTS 20u
#define PAUSE_MS 2
/* Those of a stack that are no links: clone3, start_thread, the team's, the job, heap_below; the body, and heap_pairs.
 */
#define COLD_FRAMES 6
#define WARM_FRAMES 7
#define COLD 10u              /* of a burst */
#define COLD_BYTES (4u << 20) /* more than a core's own caches hold */

struct price {
    unsigned links;
    bool cold;
};

static void warm_body(struct heap_thread *self, size_t count) {
    heap_pairs(self, count / 4);
    uint64_t cpu = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    heap_pairs(self, count);
    self->cpu_ns += heap_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    self->pairs += count;
}

static void walk(void) {
    static char space[COLD_BYTES];
    for (size_t i = 0; i < sizeof(space); i += 64)
        ((volatile char *)space)[i]++;
}

static double cold_ns[BURSTS * COLD]; /* of a slice: an interrupt weighs too much in a mean of so few */

/* One pair a time, its halves each with caches that have forgotten. */
static void cold_body(struct heap_thread *self, size_t count) {
    for (size_t i = 0; i < count; i++) {
        walk();
        uint64_t before = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        void *block = malloc(64);
        uint64_t between = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        *(volatile char *)block = 1;
        walk();
        uint64_t then = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        free(block);
        cold_ns[self->pairs++] = (double)(heap_clock_ns(CLOCK_THREAD_CPUTIME_ID) - then + between - before);
    }
}

static void price_job(struct heap_thread *self, const void *argument) {
    const struct price *price = argument;
    self->pairs = self->cpu_ns = 0;
    for (unsigned i = 0; i < BURSTS; i++) {
        heap_below(price->links, price->cold ? cold_body : warm_body, self, price->cold ? COLD : BURST);
        slices_pause_ms(PAUSE_MS);
    }
}

/* The window ends with the slice: what the profiler's threads do for it is in their column. */
static void price_slice(const void *what, double columns[SLICES_COLUMNS]) {
    bool cold = ((const struct price *)what)->cold;
    memset(columns, 0, SLICES_COLUMNS * sizeof(columns[0]));
    slices_pause_ms(SETTLE_MS);
    uint64_t own = own_ns();
    heap_team_run(&team, price_job, what);
    otelprof_flush(5000);
    columns[0] = cold ? slices_trimmed_mean(cold_ns, BURSTS * COLD) : heap_cpu_ns(&team);
    columns[1] = (double)(own_ns() - own) / (double)team.threads[0].pairs;
}

static bool price(int pairs) {
    static const int depths[] = {10, 27, 60};
    if (!heap_team_start(&team, 1))
        return false;
    printf("ns of CPU of an allocation that is chosen and freed, %d pairs of slices: off; added; A/A; added to the "
           "profiler's threads\n",
           pairs);
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        for (int cold = 0; cold < 2; cold++) {
            struct price what = {(unsigned)(depths[i] - (cold ? COLD_FRAMES : WARM_FRAMES)), cold};
            struct slices_comparison same, other;
            slices_compare(price_slice, &what, pairs, false, &same);
            slices_compare(price_slice, &what, pairs, true, &other);
            printf("  %2d frames, %s %9.1f", depths[i], cold ? "cold" : "warm", other.off[0]);
            slices_say(&other.added[0]);
            slices_say(&same.added[0]);
            if (!cold)
                slices_say(&other.added[1]);
            puts("");
            fflush(stdout);
        }
    }
    heap_team_stop(&team);
    return true;
}

/* -------------------------------------------------------------------------------------- paced: 1 GiB/s */

#define PACED_MS 700
#define PACED_SETTLE_MS 250 /* blocks allocated before the turn are gone, and those live are known */
#define TICK_NS 2000000u
#define RATE (1024.0 * 1024 * 1024) /* bytes a second, of all threads */
#define LIVE (100u << 20)
#define BLOCK_LEAST 4096u
#define BLOCK_MOST 65536u
#define BLOCKS_MAX 4096u /* of a thread: more than LIVE of the smallest usual mix */

/* Blocks of a thread that are live, the oldest at `at`. */
static struct paced {
    _Alignas(64) struct block {
        char *bytes;
        size_t size;
    } blocks[BLOCKS_MAX];
    size_t at, count, live;
    uint64_t random, allocated;
} paced_threads[HEAP_THREADS_MAX];

static size_t draw_block(struct paced *paced) {
    paced->random ^= paced->random << 13, paced->random ^= paced->random >> 7, paced->random ^= paced->random << 17;
    return BLOCK_LEAST + (size_t)((paced->random >> 20) % (BLOCK_MOST - BLOCK_LEAST + 1));
}

static void free_oldest(struct paced *paced) {
    struct block *oldest = &paced->blocks[paced->at];
    free(oldest->bytes);
    paced->live -= oldest->size;
    paced->count--;
    paced->at = (paced->at + 1) % BLOCKS_MAX;
}

static void allocate_one(struct paced *paced, size_t live) {
    struct block *block = &paced->blocks[(paced->at + paced->count) % BLOCKS_MAX];
    block->size = draw_block(paced);
    block->bytes = malloc(block->size);
    if (!block->bytes)
        return;
    *(volatile char *)block->bytes = 1;
    paced->count++;
    paced->live += block->size;
    paced->allocated += block->size;
    while (paced->live > live || paced->count == BLOCKS_MAX)
        free_oldest(paced);
}

static void paced_stretch(struct heap_thread *self, struct paced *paced, unsigned ms) {
    double share = RATE / self->team->count;
    uint64_t start = heap_clock_ns(CLOCK_MONOTONIC), end = start + ms * 1000000ull, before = paced->allocated;
    struct timespec next;
    for (uint64_t tick = start; tick < end; tick += TICK_NS) {
        while ((double)(paced->allocated - before) < share * (double)(tick + TICK_NS - start) / 1e9)
            allocate_one(paced, LIVE / self->team->count);
        next.tv_sec = (time_t)((tick + TICK_NS) / 1000000000u);
        next.tv_nsec = (long)((tick + TICK_NS) % 1000000000u);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}

static void paced_job(struct heap_thread *self, const void *argument) {
    struct paced *paced = &paced_threads[self - self->team->threads];
    unsigned ms = *(const unsigned *)argument;
    if (!paced->random)
        paced->random = 88172645463325252u + (uint64_t)(self - self->team->threads);
    uint64_t wall = heap_clock_ns(CLOCK_MONOTONIC), cpu = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    paced_stretch(self, paced, ms);
    self->cpu_ns = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    self->wall_ns = heap_clock_ns(CLOCK_MONOTONIC) - wall;
}

static void paced_end_job(struct heap_thread *self, const void *argument) {
    struct paced *paced = &paced_threads[self - self->team->threads];
    (void)argument;
    while (paced->count)
        free_oldest(paced);
}

/* In % of a core: threads that work, the profiler's, both. */
static void paced_slice(const void *what, double columns[SLICES_COLUMNS]) {
    static const unsigned settle = PACED_SETTLE_MS;
    heap_team_run(&team, paced_job, &settle);
    uint64_t wall = heap_clock_ns(CLOCK_MONOTONIC), own = own_ns();
    heap_team_run(&team, paced_job, what);
    double took = (double)(heap_clock_ns(CLOCK_MONOTONIC) - wall), work = 0;
    otelprof_flush(5000);
    own = own_ns() - own;
    for (unsigned i = 0; i < team.count; i++)
        work += (double)team.threads[i].cpu_ns;
    columns[0] = 100 * work / took;
    columns[1] = 100 * (double)own / took;
    columns[2] = columns[0] + columns[1];
}

static void paced_of(unsigned threads, int pairs) {
    static const char *const titles[SLICES_COLUMNS] = {"threads that work", "the profiler's", "in all"};
    static const unsigned ms = PACED_MS;
    struct slices_comparison same, other;
    uint64_t before = 0, after = 0, start = heap_clock_ns(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < threads; i++)
        before += paced_threads[i].allocated;
    slices_compare(paced_slice, &ms, pairs, false, &same);
    slices_compare(paced_slice, &ms, pairs, true, &other);
    for (unsigned i = 0; i < threads; i++)
        after += paced_threads[i].allocated;
    double seconds = (double)(heap_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    printf("  %u thread%s, %.2f GiB/s with what lies between slices\n", threads, threads > 1 ? "s" : "",
           (double)(after - before) / RATE / seconds);
    for (int i = 0; i < SLICES_COLUMNS; i++) {
        printf("    %-20s %6.2f", titles[i], other.off[i]);
        slices_say(&other.added[i]);
        slices_say(&same.added[i]);
        printf("  %+.2f\n", other.added[i].mean);
    }
    fflush(stdout);
}

static bool paced(int pairs) {
    printf("CPU at 1 GiB/s of 4 to 64 KiB with 100 MB live, %% of a core, %d pairs of %d ms: off; added; A/A; "
           "added, plain mean\n",
           pairs, PACED_MS);
    for (unsigned threads = 1; threads <= HEAP_THREADS_MAX; threads++) {
        if (!heap_team_start(&team, threads))
            return false;
        paced_of(threads, pairs);
        heap_team_run(&team, paced_end_job, NULL);
        heap_team_stop(&team);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- main */

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        bool (*run)(int pairs);
        const char *interval;
    } modes[] = {{"added", added, NULL}, {"price", price, "1"}, {"paced", paced, NULL}};
    int pairs = argc > 2 ? atoi(argv[2]) : 40;
    for (size_t i = 0; argc > 1 && pairs > 0 && pairs <= SLICES_PAIRS_MAX && i < sizeof(modes) / sizeof(modes[0]);
         i++) {
        if (strcmp(argv[1], modes[i].name) != 0)
            continue;
        const char *interval = argc > 3 ? argv[3] : modes[i].interval;
        if ((interval && setenv("OTELPROF_HEAP_INTERVAL", interval, 1)) || !slices_start("heap_bench", OTELPROF_HEAP))
            return EXIT_FAILURE;
        bool done = modes[i].run(pairs);
        otelprof_shutdown(5000);
        return done ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fprintf(stderr, "heap_bench added|price|paced [PAIRS [INTERVAL]]\n");
    return 2;
}

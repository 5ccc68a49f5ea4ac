// SPDX-License-Identifier: Apache-2.0
/*
 * Allocates at known sites, and counts what it does: heap_truth OUTPUT_DIR SEED MODULE
 *
 * Each site is a function of its own, called from worker() by around() and between(), on one of three threads, some
 * inside a span with a route of its own. Prints as JSON, for each site, how often which size was asked for, and which
 * blocks are live at the end of the work. All is freed then, and a last window shows that nothing is left.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "heap_truth.h"

#define INTERVAL 16384
#define WORKERS 3
#define ROUNDS 40
#define SIZES 1024               /* different ones of a site, at most */
#define VOLUME (1600 * INTERVAL) /* bytes that a site of small blocks asks for */
#define KIB ((size_t)1 << 10)
#define NOINLINE __attribute__((noinline))

struct site {
    const char *name; /* of its function */
    const char *route;
    void *(*allocate)(size_t size);
    void (*release)(void *block);
    size_t least, most; /* sizes, both inclusive */
    unsigned count;     /* of allocations */
    unsigned keep;      /* one in so many stays live to the end */
    bool realloc_chain, handed_on;
};

/* How often a size was asked for, and how many of those are live. */
struct tally {
    size_t size;
    uint64_t asked, live;
};

struct ledger {
    struct tally tallies[SIZES];
    unsigned used;
    void **kept; /* live blocks */
    size_t kept_count;
};

static void *(*module_allocate)(size_t size);
static void (*module_release)(void *block);
static volatile unsigned sink; /* keeps calls from becoming jumps */

/* `free` as data: a word that the loader fills. */
static const struct { void (*destroy)(void *block); } operations = {.destroy = free};

/* ------------------------------------------------------------------------------------------------ sites */

#define SITE(name, call)                                                                                               \
    static NOINLINE void *name(size_t size) {                                                                          \
        void *block_ = call;                                                                                           \
        sink++;                                                                                                        \
        return block_;                                                                                                 \
    }

SITE(site_8, malloc(size))
SITE(site_64, malloc(size))
SITE(site_mixed, malloc(size))
SITE(site_4k, malloc(size))
SITE(site_100k, malloc(size))
SITE(site_1m, malloc(size))
SITE(site_64m, malloc(size))
SITE(site_leak, malloc(size))
SITE(site_handed, malloc(size))
SITE(site_calloc, calloc(1, size))
SITE(site_module, module_allocate(size))

static NOINLINE void *site_aligned(size_t size) {
    static _Thread_local unsigned turn;
    void *block = NULL;
    switch (turn++ % 3) {
    case 0:
        EXPECT(posix_memalign(&block, 64, size) == 0);
        break;
    case 1:
        block = aligned_alloc(32, size);
        break;
    default:
        block = memalign(256, size);
    }
    sink++;
    return block;
}

static NOINLINE void *site_strdup(size_t size) {
    static _Thread_local char text[4096];
    memset(text, 'x', size - 1);
    text[size - 1] = 0;
    char *copy = strdup(text);
    sink++;
    return copy;
}

static NOINLINE void *site_resized(void *block, size_t size) {
    void *resized = realloc(block, size);
    sink++;
    return resized;
}

static void *site_realloc(size_t size) { return site_resized(NULL, size); }

static void destroy(void *block) { operations.destroy(block); }
static void release_module(void *block) { module_release(block); }

/* Small sizes ask for VOLUME bytes in all, so that some 1,600 are chosen; half of them stay. */
#define SMALL(size) (unsigned)(VOLUME / (size))

static struct site sites[] = {
    {"site_8", NULL, site_8, free, 8, 8, SMALL(8), 2, false, false},
    {"site_64", "/callback", site_64, destroy, 64, 64, SMALL(64), 2, false, false},
    {"site_mixed", NULL, site_mixed, free, 16, 600, SMALL(308), 2, false, false},
    {"site_4k", "/pages", site_4k, free, 4 * KIB, 4 * KIB, SMALL(4 * KIB), 2, false, false},
    {"site_100k", NULL, site_100k, free, 100000, 100000, 1000, 2, false, false},
    {"site_1m", "/large", site_1m, free, 1 << 20, 1 << 20, 40, 4, false, false},
    {"site_64m", NULL, site_64m, free, 64 << 20, 64 << 20, 12, 6, false, false},
    {"site_leak", "/leak", site_leak, free, 2000, 2000, SMALL(4000), 1, false, false},
    {"site_resized", "/resized", site_realloc, free, 100, 100, SMALL(3000), 1, true, false},
    {"site_handed", NULL, site_handed, free, 500, 500, SMALL(500), 2, false, true},
    {"site_new", "/new", site_new, release_new, 700, 700, SMALL(700), 2, false, false},
    {"site_aligned", NULL, site_aligned, free, 896, 896, SMALL(896), 2, false, false},
    {"site_calloc", "/calloc", site_calloc, free, 750, 750, SMALL(750), 2, false, false},
    {"site_strdup", NULL, site_strdup, free, 400, 400, SMALL(400), 2, false, false},
    {"site_module", "/module", site_module, release_module, 1500, 1500, SMALL(1500), 2, false, false},
};
#define SITES (sizeof(sites) / sizeof(sites[0]))

static struct ledger ledgers[SITES];

/* ------------------------------------------------------------------------------------------------- work */

static _Thread_local uint64_t random_state;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static struct tally *tally_of(struct ledger *ledger, size_t size) {
    unsigned i = 0;
    while (i < ledger->used && ledger->tallies[i].size != size)
        i++;
    if (i == ledger->used) {
        ledger->tallies[i].size = size;
        ledger->used++;
    }
    return &ledger->tallies[i];
}

/* Blocks on their way to the thread that frees them. */
static _Atomic(void *) handed[4096];

static void hand_on(void *block) {
    for (;;) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&handed[next_random() % 4096], &none, block))
            return;
        sched_yield();
    }
}

static _Atomic bool all_done;

static void *free_what_is_handed_on(void *argument) {
    (void)argument;
    for (bool last = false; !last;) {
        last = atomic_load(&all_done);
        for (int i = 0; i < 4096; i++)
            free(atomic_exchange(&handed[i], NULL));
        usleep(200);
    }
    return NULL;
}

/* Grows and shrinks the block; each step is an allocation of the new size. */
static void *through_sizes(struct ledger *ledger, void *block, size_t *size) {
    static const size_t steps[] = {900, 3000, 200, 2500, 1500};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        volatile size_t absurd = (size_t)1 << 62;
        EXPECT(site_resized(block, absurd) == NULL);
        block = site_resized(block, steps[i]);
        *size = steps[i];
        tally_of(ledger, *size)->asked++;
    }
    return block;
}

static NOINLINE void *between(const struct site *site, size_t size) {
    void *block = site->allocate(size);
    sink++;
    return block;
}

static NOINLINE void around(const struct site *site, struct ledger *ledger, unsigned number) {
    size_t size = site->least + next_random() % (site->most - site->least + 1);
    void *block = between(site, size);
    tally_of(ledger, size)->asked++;
    if (site->realloc_chain)
        block = through_sizes(ledger, block, &size);
    if (number % site->keep == 0) {
        ledger->kept[ledger->kept_count++] = block;
        tally_of(ledger, size)->live++;
    } else if (site->handed_on) {
        hand_on(block);
    } else {
        site->release(block);
    }
}

/* A round of a site's allocations, inside a span if it has a route. */
static NOINLINE void work_at(size_t number, unsigned from, unsigned to) {
    const struct site *site = &sites[number];
    uint8_t trace[16] = "a trace", span[8] = "a span";
    trace[15] = (uint8_t)(number + 1);
    span[7] = (uint8_t)(number + 1);
    struct otelprof_span_token token = {0, 0};
    if (site->route) {
        token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
        otelprof_span_attribute("http.route", site->route);
    }
    for (unsigned i = from; i < to; i++)
        around(site, &ledgers[number], i);
    if (site->route)
        otelprof_span_exit(token);
}

static uint64_t seed;

static void *worker(void *argument) {
    size_t number = (size_t)(uintptr_t)argument;
    random_state = seed * 2654435761u + number + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = number; i < SITES; i += WORKERS)
            work_at(i, sites[i].count * round / ROUNDS, sites[i].count * (round + 1) / ROUNDS);
        usleep(20000); /* the profiler keeps up */
    }
    return NULL;
}

static void work(void) {
    pthread_t workers[WORKERS], freeing;
    pthread_create(&freeing, NULL, free_what_is_handed_on, NULL);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, worker, (void *)(uintptr_t)i);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    atomic_store(&all_done, true);
    pthread_join(freeing, NULL);
}

/* ------------------------------------------------------------------------------------------------- main */

static void prepare(const char *directory, const char *module_path) {
    for (size_t i = 0; i < SITES; i++)
        ledgers[i].kept = malloc((sites[i].count / sites[i].keep + 2) * sizeof(void *));
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.profiles = OTELPROF_HEAP;
    options.window_ms = 500;
    options.start_timeout_ms = 20000;
    options.heap_interval_bytes = INTERVAL;
    options.heap_live_max = 65536;
    GIVES(0, otelprof_init(&options));
    void *module = dlopen(module_path, RTLD_NOW); /* loaded later than the hooks */
    expect(module != NULL, __LINE__, "%s", module_path);
    if (!module)
        exit(1);
    *(void **)&module_allocate = dlsym(module, "module_allocate");
    *(void **)&module_release = dlsym(module, "module_release");
    usleep(400000); /* tables for the new object */
}

static void print_site(size_t number) {
    const struct ledger *ledger = &ledgers[number];
    const char *route = sites[number].route ? sites[number].route : "";
    printf("%s\n  {\"name\": \"%s\", \"route\": \"%s\", \"trace\": \"%02x\", \"sizes\": [", number ? "," : "",
           sites[number].name, route, (unsigned)number + 1);
    for (unsigned i = 0; i < ledger->used; i++)
        printf("%s[%zu, %" PRIu64 ", %" PRIu64 "]", i ? ", " : "", ledger->tallies[i].size, ledger->tallies[i].asked,
               ledger->tallies[i].live);
    printf("]}");
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: heap_truth OUTPUT_DIR SEED MODULE\n");
        return 2;
    }
    seed = strtoull(argv[2], NULL, 10);
    prepare(argv[1], argv[3]);
    work();
    uint64_t live_ns = now_ns();
    GIVES(0, otelprof_flush(20000));
    for (size_t i = 0; i < SITES; i++)
        for (size_t j = 0; j < ledgers[i].kept_count; j++)
            sites[i].release(ledgers[i].kept[j]);
    uint64_t freed_ns = now_ns();
    GIVES(0, otelprof_flush(20000));
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    uint64_t left = stats.heap_live_blocks;
    GIVES(0, otelprof_disable(OTELPROF_HEAP));
    GIVES(0, otelprof_flush(20000));
    otelprof_stats(&stats);
    printf("{\"interval\": %d, \"live_ns\": %" PRIu64 ", \"freed_ns\": %" PRIu64 ", \"fired\": %" PRIu64
           ", \"exported\": %" PRIu64 ", \"ring_full\": %" PRIu64 ", \"lost_frees\": %" PRIu64 ", \"left\": %" PRIu64
           ", \"live_lost\": %" PRIu64 ", \"thinned\": %" PRIu64 ", \"sites\": [",
           INTERVAL, live_ns, freed_ns, stats.samples_fired, stats.samples_exported, stats.lost_ring_full,
           stats.heap_lost_frees, left, stats.heap_live_lost, stats.heap_live_thinned);
    for (size_t i = 0; i < SITES; i++)
        print_site(i);
    printf("]}\n");
    otelprof_shutdown(10000);
    return atomic_load(&expect_failures) != 0;
}

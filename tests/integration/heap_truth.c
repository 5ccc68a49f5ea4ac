// SPDX-License-Identifier: Apache-2.0
/*
 * A program that knows what it allocates: heap_truth OUTPUT_DIR SEED MODULE LINGER_S
 *
 * Three threads allocate at the sites of heap_truth_sites.c, most of them inside spans; each allocation is reached by
 * worker(), work_a_round(), serve(), allocate_one(), call_NAME() and site_NAME(). Prints as JSON how often each site
 * asked for which size, and which of these are live when the work is done. Then all is freed but a leak, which lives
 * for LINGER_S seconds more, and then that too; each time a window is ended.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"
#include "heap_truth.h"

#define NOINLINE __attribute__((noinline))
#define WORKERS 3
#define ROUNDS 60
#define MODULE_ROUND 40 /* from here on the library's site is at work */
#define PATIENCE_MS 500 /* for the profiler to take in what a round has made */
#define SITES_MAX 32
#define SMALL_MAX 4096
#define LARGE_MAX 8

/* What one thread did at one site. */
struct ledger {
    uint32_t asked[SMALL_MAX + 1], live[SMALL_MAX + 1]; /* by size */
    struct {
        size_t size;
        uint32_t asked, live;
    } large[LARGE_MAX];
    void **kept;
    size_t kept_count;
    uint64_t moved, in_place; /* by realloc */
};

static struct ledger ledgers[SITES_MAX][WORKERS];
static atomic_bool module_ready, work_done;
static uint64_t seed;

/* ----------------------------------------------------------------------------------------------- counting */

static void count(struct ledger *ledger, size_t size, uint32_t asked, uint32_t live) {
    if (size <= SMALL_MAX) {
        ledger->asked[size] += asked;
        ledger->live[size] += live;
        return;
    }
    for (int i = 0; i < LARGE_MAX; i++) {
        if (ledger->large[i].size && ledger->large[i].size != size)
            continue;
        ledger->large[i].size = size;
        ledger->large[i].asked += asked;
        ledger->large[i].live += live;
        return;
    }
    EXPECT(!"room for another size");
}

/* Memory for the books is none of the allocator's, so that it is in no profile. */
static void make_room(unsigned number) {
    const struct heap_site *site = &heap_sites[number];
    size_t bytes = (site->keep ? site->count / site->keep + 1 : 1) * sizeof(void *);
    for (int i = 0; i < WORKERS; i++) {
        void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) {
            perror("mmap");
            exit(1);
        }
        ledgers[number][i].kept = room;
    }
}

/* ----------------------------------------------------------------------- blocks that another thread frees */

struct handed {
    struct handed *next;
};

static _Atomic(struct handed *) handed_on;

static void hand_on(void *block) {
    struct handed *mine = block;
    mine->next = atomic_load(&handed_on);
    while (!atomic_compare_exchange_weak(&handed_on, &mine->next, mine))
        ;
}

static void *free_what_is_handed_on(void *argument) {
    (void)argument;
    for (bool last = false; !last; usleep(200)) {
        last = atomic_load(&work_done);
        for (struct handed *block = atomic_exchange(&handed_on, NULL), *next; block; block = next) {
            next = block->next;
            free(block);
        }
    }
    return NULL;
}

/* --------------------------------------------------------------------------------------------------- work */

static _Thread_local uint64_t random_state;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/*
 * One allocation, or a chain of them. After each step one is refused and must change nothing: after the last one too,
 * because a block that goes with the next step would not be missed.
 */
static NOINLINE void *allocate_one(const struct heap_site *site, struct ledger *ledger, size_t *size) {
    static volatile size_t absurd = (size_t)1 << 62;
    *size = site->least + next_random() % (site->most - site->least + 1);
    void *block = site->call(NULL, *size);
    EXPECT((block == NULL) == site->refused);
    if (block)
        count(ledger, *size, 1, 0);
    for (int i = 0; i < HEAP_STEPS && site->steps[i]; i++) {
        uintptr_t before = (uintptr_t)block;
        *size = site->steps[i];
        block = site->call(block, *size);
        count(ledger, *size, 1, 0);
        EXPECT(site->call(block, absurd) == NULL);
        ledger->moved += (uintptr_t)block != before;
        ledger->in_place += (uintptr_t)block == before;
    }
    return block;
}

static void enter(const struct heap_site *site, unsigned number, unsigned me, unsigned round,
                  struct otelprof_span_token *token) {
    uint8_t trace[16] = "heap truth", span[8] = "heap";
    trace[12] = span[4] = (uint8_t)(number + 1);
    if (!site->one_span) {
        trace[13] = span[5] = (uint8_t)(me + 1);
        trace[14] = span[6] = (uint8_t)(round + 1);
    }
    *token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    GIVES(0, otelprof_span_attribute("http.route", site->route));
}

/* The part of a site's work that falls into a round. */
static NOINLINE void serve(unsigned number, unsigned me, unsigned round, unsigned rounds) {
    const struct heap_site *site = &heap_sites[number];
    struct ledger *ledger = &ledgers[number][me];
    struct otelprof_span_token token = {0, 0};
    unsigned until = (unsigned)((uint64_t)site->count * (round + 1) / rounds);
    if (site->route)
        enter(site, number, me, round, &token);
    for (unsigned i = (unsigned)((uint64_t)site->count * round / rounds); i < until; i++) {
        size_t size;
        void *block = allocate_one(site, ledger, &size);
        if (site->keep && i % site->keep == 0) {
            ledger->kept[ledger->kept_count++] = block;
            count(ledger, size, 0, 1);
        } else if (site->fate == HEAP_HANDED_ON) {
            hand_on(block);
        } else {
            site->release(block);
        }
    }
    if (site->route)
        GIVES(0, otelprof_span_exit(token));
}

/* Whose turn it is at a site changes from round to round. */
static NOINLINE void work_a_round(unsigned me, unsigned round) {
    for (unsigned i = 0; i < heap_site_count; i++) {
        if ((i + round) % WORKERS != me)
            continue;
        if (heap_sites[i].when == HEAP_ALWAYS)
            serve(i, me, round, ROUNDS);
        else if (heap_sites[i].when == HEAP_MODULE_LOADED && round >= MODULE_ROUND)
            serve(i, me, round - MODULE_ROUND, ROUNDS - MODULE_ROUND);
    }
}

static uint64_t samples_taken_in(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    return stats.heap_samples;
}

/*
 * Until the profiler has shown newer figures, after a look at what hooks have recorded: it loses what does not fit
 * between two looks, and counts it, which is not what is to be seen here.
 */
static void let_it_keep_up(void) {
    uint64_t before = samples_taken_in();
    for (int i = 0; i < PATIENCE_MS && samples_taken_in() == before; i++)
        usleep(1000);
}

static void begin(unsigned me) { random_state = seed * 2654435761u + me + 1; }

static void *worker(void *argument) {
    unsigned me = (unsigned)(uintptr_t)argument;
    begin(me);
    for (unsigned round = 0; round < ROUNDS; round++) {
        while (round == MODULE_ROUND && !atomic_load(&module_ready))
            usleep(1000);
        work_a_round(me, round);
        let_it_keep_up();
    }
    return NULL;
}

/* So that a window in which nothing is live has something to say. */
static void *late_worker(void *argument) {
    (void)argument;
    begin(WORKERS);
    for (unsigned i = 0; i < heap_site_count; i++)
        if (heap_sites[i].when == HEAP_AT_THE_END)
            serve(i, 0, 0, 1);
    return NULL;
}

/* Later than the hooks, and while the threads are at work. */
static void load_module(const char *path) {
    usleep(300000);
    void *module = dlopen(path, RTLD_NOW);
    if (!module) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&heap_module_allocate = dlsym(module, "module_allocate");
    *(void **)&heap_module_release = dlsym(module, "module_release");
    usleep(400000); /* until stacks can be unwound through it */
    atomic_store(&module_ready, true);
}

static void work(const char *module_path) {
    pthread_t workers[WORKERS], freeing;
    pthread_create(&freeing, NULL, free_what_is_handed_on, NULL);
    for (uintptr_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, worker, (void *)i);
    load_module(module_path);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    atomic_store(&work_done, true);
    pthread_join(freeing, NULL);
}

/* Frees what is kept, but for what outlives, or that. */
static void release_kept(bool outliving) {
    for (unsigned i = 0; i < heap_site_count; i++) {
        if (heap_sites[i].outlives != outliving)
            continue;
        for (int j = 0; j < WORKERS; j++) {
            while (ledgers[i][j].kept_count)
                heap_sites[i].release(ledgers[i][j].kept[--ledgers[i][j].kept_count]);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- facts */

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Ends a window in which nothing is done. */
static void end_window(const char *name) {
    uint64_t from = now_ns();
    GIVES(0, otelprof_flush(20000));
    printf("\"%s\": [%" PRIu64 ", %" PRIu64 "], ", name, from, now_ns());
}

static void print_size(bool *first, size_t size, uint64_t asked, uint64_t live) {
    if (asked)
        printf("%s[%zu, %" PRIu64 ", %" PRIu64 "]", *first ? "" : ", ", size, asked, live);
    *first = *first && !asked;
}

static void print_sizes(const struct ledger *ledger) {
    bool first = true;
    for (size_t size = 0; size <= SMALL_MAX; size++) {
        uint64_t asked = 0, live = 0;
        for (int i = 0; i < WORKERS; i++) {
            asked += ledger[i].asked[size];
            live += ledger[i].live[size];
        }
        print_size(&first, size, asked, live);
    }
    for (int i = 0; i < WORKERS; i++) /* a size may stand there more than once */
        for (int j = 0; j < LARGE_MAX; j++)
            print_size(&first, ledger[i].large[j].size, ledger[i].large[j].asked, ledger[i].large[j].live);
}

static void print_site(unsigned number) {
    const struct heap_site *site = &heap_sites[number];
    const struct ledger *ledger = ledgers[number];
    uint64_t moved = 0, in_place = 0;
    for (int i = 0; i < WORKERS; i++) {
        moved += ledger[i].moved;
        in_place += ledger[i].in_place;
    }
    printf("%s\n  {\"name\": \"site_%s\", \"route\": \"%s\", \"above\": \"%s\", \"number\": %u, \"one_span\": %d, ",
           number ? "," : "", site->name, site->route ? site->route : "", site->above ? site->above : "", number + 1,
           site->one_span);
    printf("\"outlives\": %d, \"asks_more\": %d, \"moved\": %" PRIu64 ", \"in_place\": %" PRIu64
           ",\n   \"chain\": [\"site_%s\", \"call_%s\", \"allocate_one\", \"serve\", %s], \"sizes\": [",
           site->outlives, site->asks_more, moved, in_place, site->name, site->name,
           site->when == HEAP_AT_THE_END ? "\"late_worker\"" : "\"work_a_round\", \"worker\"");
    print_sizes(ledger);
    printf("]}");
}

static void print_counters(void) {
    struct otelprof_stats s = {.size = sizeof(s)};
    GIVES(0, otelprof_stats(&s));
    printf("\"fired\": %" PRIu64 ", \"chosen\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"losses\": {", s.samples_fired,
           s.heap_samples, s.samples_exported);
    printf("\"ring_full\": %" PRIu64 ", \"decode\": %" PRIu64 ", \"memory\": %" PRIu64 ", \"window_dropped\": %" PRIu64
           ", \"export_failed\": %" PRIu64 ", \"frees\": %" PRIu64 ", \"live\": %" PRIu64 ", \"thinned\": %" PRIu64
           ", \"reentered\": %" PRIu64 "}, ",
           s.lost_ring_full, s.lost_decode, s.lost_memory, s.lost_window_dropped, s.lost_export_failed,
           s.heap_lost_frees, s.heap_live_lost, s.heap_live_thinned, s.heap_reentered);
}

/* The interval by the option, by the variable, or while running: which makes no difference. */
static void start_profiler(const char *directory) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    char interval[32];
    options.output_dir = directory;
    options.profiles = OTELPROF_HEAP;
    options.window_ms = 500;
    options.start_timeout_ms = 20000;
    options.heap_live_max = 65536;
    snprintf(interval, sizeof(interval), "%d", HEAP_INTERVAL);
    if (seed % 3 == 0)
        options.heap_interval_bytes = HEAP_INTERVAL;
    else if (seed % 3 == 1)
        setenv("OTELPROF_HEAP_INTERVAL", interval, 1);
    GIVES(0, otelprof_init(&options));
    if (seed % 3 == 2) {
        GIVES(0, otelprof_heap_interval(HEAP_INTERVAL));
        GIVES(0, otelprof_flush(20000)); /* a window says the interval of its beginning */
    }
}

/* What is live when the work is done, when all but the leak is freed, and when that is freed too. */
static void run(const char *module_path, unsigned linger_s) {
    pthread_t late;
    printf("{\"interval\": %d, \"started\": %" PRIu64 ", ", HEAP_INTERVAL, now_ns());
    work(module_path);
    end_window("all_live");
    release_kept(false);
    sleep(linger_s);
    end_window("leak_live");
    release_kept(true);
    pthread_create(&late, NULL, late_worker, NULL);
    pthread_join(late, NULL);
    end_window("none_live");
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: heap_truth OUTPUT_DIR SEED MODULE LINGER_S\n");
        return 2;
    }
    seed = strtoull(argv[2], NULL, 10);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* stays there */
    EXPECT(heap_site_count <= SITES_MAX);
    for (unsigned i = 0; i < heap_site_count; i++)
        make_room(i);
    start_profiler(argv[1]);
    run(argv[3], (unsigned)atoi(argv[4]));
    GIVES(0, otelprof_disable(OTELPROF_HEAP));
    GIVES(0, otelprof_flush(20000));
    print_counters();
    GIVES(0, otelprof_shutdown(10000));
    printf("\"sites\": [");
    for (unsigned i = 0; i < heap_site_count; i++)
        print_site(i);
    printf("]}\n");
    return atomic_load(&expect_failures) != 0;
}

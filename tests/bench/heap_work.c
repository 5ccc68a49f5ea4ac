// SPDX-License-Identifier: Apache-2.0
/* Compiled without the compiler's own idea of malloc() and free(), which lets it leave out pairs. */
#include "heap_work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZES 4096u  /* a power of two */
#define BATCH 10000u /* pairs between looks at the clock; a ring is new after one */
#define SMALLEST 16u /* of mixed sizes */
#define VARIETY 512u
#define FIXED 64u

const struct heap_kind heap_kinds[HEAP_KINDS] = {
    {"64 B, last one freed", false, false},
    {"16-527 B, last one freed", true, false},
    {"64 B, oldest of 1,000 freed", false, true},
    {"16-527 B, oldest of 1,000 freed", true, true},
};

static uint16_t fixed_sizes[SIZES], mixed_sizes[SIZES];
static const uint16_t *sizes = fixed_sizes;

static void draw_sizes(void) {
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < SIZES; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        mixed_sizes[i] = (uint16_t)(SMALLEST + (state >> 20) % VARIETY);
        fixed_sizes[i] = FIXED;
    }
}

/* ------------------------------------------------------------------------------------------------ pairs */

/* As a program that uses its block: an allocator that leaves its own lines untouched has no gain from that. */
static inline void *use(void *block) {
    *(volatile char *)block = 1;
    return block;
}

__attribute__((noinline)) void heap_pairs(struct heap_thread *self, size_t count) {
    size_t drawn = self->drawn;
    for (size_t i = 0; i < count; i++)
        free(use(malloc(sizes[drawn++ % SIZES])));
    self->drawn = drawn;
}

static __attribute__((noinline)) void ring_pairs(struct heap_thread *self, size_t count) {
    size_t drawn = self->drawn, at = self->at;
    for (size_t i = 0; i < count; i++) {
        void *oldest = self->ring[at];
        self->ring[at] = use(malloc(sizes[drawn++ % SIZES]));
        free(oldest);
        at = at + 1 < HEAP_RING ? at + 1 : 0;
    }
    self->drawn = drawn, self->at = at;
}

void heap_slice_job(struct heap_thread *self, const void *argument) {
    const struct heap_slice *slice = argument;
    heap_body_fn pairs = slice->kind->ring ? ring_pairs : heap_pairs;
    pairs(self, BATCH);
    uint64_t start = heap_clock_ns(CLOCK_MONOTONIC), cpu = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (self->pairs = 0, self->cpu_ns = 0; self->cpu_ns < slice->ms * 1000000ull; self->pairs += BATCH) {
        pairs(self, BATCH);
        self->cpu_ns = heap_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    }
    self->wall_ns = heap_clock_ns(CLOCK_MONOTONIC) - start;
}

/* ----------------------------------------------------------------------------------------- depth of calls */

typedef unsigned (*link_fn)(unsigned left, heap_body_fn body, struct heap_thread *self, size_t count);
static const link_fn chain[];

/* What is done after the call keeps its frame. */
static volatile unsigned sink;

#define LINK(n)                                                                                                        \
    static __attribute__((noinline)) unsigned link_##n(unsigned left, heap_body_fn body, struct heap_thread *self,     \
                                                       size_t count) {                                                 \
        if (!left)                                                                                                     \
            body(self, count);                                                                                         \
        else                                                                                                           \
            chain[n - 9](left - 1, body, self, count);                                                                 \
        return sink * n;                                                                                               \
    }
#define NAME(n) link_##n,
#define TEN(of, p) of(p##0) of(p##1) of(p##2) of(p##3) of(p##4) of(p##5) of(p##6) of(p##7) of(p##8) of(p##9)

TEN(LINK, 1)
TEN(LINK, 2)
TEN(LINK, 3)
TEN(LINK, 4)
TEN(LINK, 5)
TEN(LINK, 6)
static const link_fn chain[HEAP_LINKS_MAX + 1] = {TEN(NAME, 1) TEN(NAME, 2) TEN(NAME, 3) TEN(NAME, 4) TEN(NAME, 5)
                                                      TEN(NAME, 6) NULL};

void heap_below(unsigned links, heap_body_fn body, struct heap_thread *self, size_t count) {
    if (links > 0 && links <= HEAP_LINKS_MAX)
        sink = chain[0](links - 1, body, self, count);
}

/* ------------------------------------------------------------------------------------------------- teams */

uint64_t heap_clock_ns(clockid_t clock) {
    struct timespec time;
    return clock_gettime(clock, &time) ? 0 : (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *body_of(void *argument) {
    struct heap_thread *self = argument;
    struct heap_team *team = self->team;
    for (pthread_barrier_wait(&team->begin); team->job; pthread_barrier_wait(&team->begin)) {
        team->job(self, team->argument);
        pthread_barrier_wait(&team->end);
    }
    for (size_t i = 0; i < HEAP_RING; i++)
        free(self->ring[i]);
    return NULL;
}

bool heap_team_start(struct heap_team *team, unsigned count) {
    draw_sizes();
    memset(team, 0, sizeof(*team));
    team->count = count;
    if (count < 1 || count > HEAP_THREADS_MAX || pthread_barrier_init(&team->begin, NULL, count + 1) ||
        pthread_barrier_init(&team->end, NULL, count + 1))
        return false;
    for (unsigned i = 0; i < count; i++) {
        team->threads[i].team = team;
        if (pthread_create(&team->threads[i].thread, NULL, body_of, &team->threads[i]))
            return false;
    }
    return true;
}

void heap_team_run(struct heap_team *team, heap_job_fn job, const void *argument) {
    team->job = job;
    team->argument = argument;
    if (job == heap_slice_job)
        sizes = ((const struct heap_slice *)argument)->kind->mixed ? mixed_sizes : fixed_sizes;
    pthread_barrier_wait(&team->begin);
    pthread_barrier_wait(&team->end);
}

void heap_team_stop(struct heap_team *team) {
    team->job = NULL;
    pthread_barrier_wait(&team->begin);
    for (unsigned i = 0; i < team->count; i++)
        pthread_join(team->threads[i].thread, NULL);
    pthread_barrier_destroy(&team->begin);
    pthread_barrier_destroy(&team->end);
}

double heap_cpu_ns(const struct heap_team *team) {
    uint64_t cpu = 0, pairs = 0;
    for (unsigned i = 0; i < team->count; i++)
        cpu += team->threads[i].cpu_ns, pairs += team->threads[i].pairs;
    return (double)cpu / (double)pairs;
}

double heap_wall_ns(const struct heap_team *team) {
    uint64_t wall = 0, pairs = 0;
    for (unsigned i = 0; i < team->count; i++)
        wall += team->threads[i].wall_ns, pairs += team->threads[i].pairs;
    return (double)wall / (double)pairs;
}

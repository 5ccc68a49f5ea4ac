// SPDX-License-Identifier: Apache-2.0
/*
 * Pairs of malloc() and free(), as heap_bench and heap_load do them. Always in threads of their own: the C library has
 * shortcuts for a process of one thread, and a profiler with threads takes them away.
 */
#ifndef HEAP_WORK_H
#define HEAP_WORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_THREADS_MAX 2
#define HEAP_RING 1000 /* blocks that live at once, of each thread */
#define HEAP_KINDS 4

/* A kind of pairs: sizes, and whether the block freed is the last one or the oldest of a ring. */
struct heap_kind {
    const char *name;
    bool mixed, ring;
};

extern const struct heap_kind heap_kinds[HEAP_KINDS];

struct heap_team;

/* A thread of a team, and what its last job took. */
struct heap_thread {
    pthread_t thread;
    struct heap_team *team;
    void *ring[HEAP_RING];
    size_t at; /* in the ring */
    size_t drawn;
    uint64_t pairs, cpu_ns, wall_ns;
};

typedef void (*heap_job_fn)(struct heap_thread *self, const void *argument);

struct heap_team {
    unsigned count;
    heap_job_fn job; /* NULL: end */
    const void *argument;
    pthread_barrier_t begin, end;
    struct heap_thread threads[HEAP_THREADS_MAX];
};

bool heap_team_start(struct heap_team *team, unsigned count);

/* All threads do the job once, at the same time. Returns when they have. */
void heap_team_run(struct heap_team *team, heap_job_fn job, const void *argument);

void heap_team_stop(struct heap_team *team);

uint64_t heap_clock_ns(clockid_t clock);

/* ns of CPU, or of wall time, a pair, over all threads. */
double heap_cpu_ns(const struct heap_team *team);
double heap_wall_ns(const struct heap_team *team);

/* A job: pairs of one kind for a stretch of the thread's CPU time, after some that do not count. */
struct heap_slice {
    const struct heap_kind *kind;
    unsigned ms;
};

void heap_slice_job(struct heap_thread *self, const void *slice);

/* `count` pairs, each block freed at once. */
void heap_pairs(struct heap_thread *self, size_t count);

/* As its caller's caller and so on see it: `body` runs below `links` calls, each of a function of its own. */
typedef void (*heap_body_fn)(struct heap_thread *self, size_t count);

#define HEAP_LINKS_MAX 60
void heap_below(unsigned links, heap_body_fn body, struct heap_thread *self, size_t count);

#endif

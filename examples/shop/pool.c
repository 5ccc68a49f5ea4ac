// SPDX-License-Identifier: Apache-2.0
/* The worker pool: a ring of task pointers below one mutex. */
#include "pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <otelprof/otelprof.h>

struct worker {
    struct pool *pool;
    pthread_t thread;
    unsigned number;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pool_fn run;
    void **ring;
    size_t limit;
    size_t head; /* the next task to take */
    size_t waiting;
    bool stopping;
    unsigned threads;
    struct worker workers[];
};

/* The next task; NULL when the pool is stopping and nothing is left. */
static void *pool_take(struct pool *pool) {
    void *task = NULL;
    pthread_mutex_lock(&pool->lock);
    while (pool->waiting == 0 && !pool->stopping) {
        pthread_cond_wait(&pool->filled, &pool->lock);
    }
    if (pool->waiting > 0) {
        task = pool->ring[pool->head];
        pool->head = (pool->head + 1) % pool->limit;
        pool->waiting--;
    }
    pthread_mutex_unlock(&pool->lock);
    return task;
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    char name[32];
    snprintf(name, sizeof name, "shop-worker-%u", worker->number);
    otelprof_thread_name(name);
    for (void *task = pool_take(worker->pool); task != NULL; task = pool_take(worker->pool)) {
        worker->pool->run(task, worker->number);
    }
    return NULL;
}

static struct pool *pool_allocate(unsigned threads, size_t limit, pool_fn run) {
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->workers[0]);
    if (pool == NULL) {
        return NULL;
    }
    pool->ring = calloc(limit, sizeof *pool->ring);
    if (pool->ring == NULL) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->run = run;
    pool->limit = limit;
    return pool;
}

struct pool *pool_start(unsigned threads, size_t limit, pool_fn run) {
    struct pool *pool = pool_allocate(threads, limit, run);
    if (pool == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->number = i;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            pool_drain(pool);
            pool_free(pool);
            return NULL;
        }
        pool->threads++;
    }
    return pool;
}

bool pool_submit(struct pool *pool, void *task) {
    pthread_mutex_lock(&pool->lock);
    bool accepted = !pool->stopping && pool->waiting < pool->limit;
    if (accepted) {
        pool->ring[(pool->head + pool->waiting) % pool->limit] = task;
        pool->waiting++;
        pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->lock);
    return accepted;
}

void pool_drain(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pool->threads = 0;
}

void pool_free(struct pool *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    free(pool->ring);
    free(pool);
}

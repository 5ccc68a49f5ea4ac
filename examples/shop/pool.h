// SPDX-License-Identifier: Apache-2.0
/* A fixed number of named worker threads and one bounded queue of tasks. */
#ifndef SHOP_POOL_H
#define SHOP_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct pool;

/* Runs one task on the worker with this number, 0 to threads - 1. */
typedef void (*pool_fn)(void *task, unsigned worker);

/* Starts `threads` workers; at most `limit` tasks wait at a time. NULL when that is not possible. */
struct pool *pool_start(unsigned threads, size_t limit, pool_fn run);

/* Gives a task to the next free worker. False when the queue is full or the pool is stopping. Any thread. */
bool pool_submit(struct pool *pool, void *task);

/* Takes no more tasks, runs those that wait, and joins the workers. pool_submit() stays safe afterwards. */
void pool_drain(struct pool *pool);

/* Frees a pool that was drained. NULL is fine. */
void pool_free(struct pool *pool);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The pools of thread entries: mapped once, never unmapped, handed out by a lock-free list. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "context/thread.h"

static _Atomic(struct otp_pool *) newest; /* written by otp_context_start() only; statistics walk it at any time */

static size_t align_up(size_t size) { return (size + 63) & ~(size_t)63; }

static struct otp_pool *pool_new(uint32_t count) {
    size_t head = align_up(sizeof(struct otp_pool));
    size_t threads = (size_t)count * sizeof(struct otp_thread);
    size_t saved = (size_t)count * OTP_ATTACHED_MAX * sizeof(struct otp_saved);
    size_t size = head + threads + saved;
    char *memory = otp_sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        otp_error_errno(OTELPROF_E_MEMORY, errno, "mmap of %zu bytes for the span state of %u threads", size, count);
        return NULL;
    }
    if (otp_sys.madvise(memory, size, MADV_WIPEONFORK)) {
        otp_error_errno(OTELPROF_E_MEMORY, errno, "madvise(MADV_WIPEONFORK) on the span state");
        munmap(memory, size);
        return NULL;
    }
    struct otp_pool *pool = (struct otp_pool *)(void *)memory;
    pool->count = count;
    pool->threads = (struct otp_thread *)(void *)(memory + head);
    pool->saved = (struct otp_saved *)(void *)(memory + head + threads);
    return pool;
}

struct otp_pool *otp_pool_get(uint32_t count) {
    struct otp_pool *first = atomic_load_explicit(&newest, memory_order_acquire);
    for (struct otp_pool *pool = first; pool; pool = pool->older)
        if (pool->count == count)
            return pool;
    struct otp_pool *pool = pool_new(count);
    if (pool) {
        pool->older = first;
        atomic_store_explicit(&newest, pool, memory_order_release);
    }
    return pool;
}

void otp_pool_forget(void) { atomic_store_explicit(&newest, NULL, memory_order_relaxed); }

/* Takes the first entry off the free list; NULL if it is empty. Its upper half keeps a slow pop from succeeding on a
 * list that changed and changed back. */
static struct otp_thread *pop(struct otp_pool *pool) {
    uint64_t head = atomic_load_explicit(&pool->free, memory_order_acquire);
    for (;;) {
        uint32_t first = (uint32_t)head;
        if (!first)
            return NULL;
        struct otp_thread *thread = &pool->threads[first - 1];
        uint32_t next = atomic_load_explicit(&thread->next, memory_order_relaxed);
        uint64_t after = ((head >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(&pool->free, &head, after, memory_order_acquire,
                                                  memory_order_acquire))
            return thread;
    }
}

/* The next entry that nobody has had yet. */
static struct otp_thread *fresh(struct otp_pool *pool) {
    uint32_t number = atomic_load_explicit(&pool->used, memory_order_relaxed);
    do {
        if (number >= pool->count)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&pool->used, &number, number + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    struct otp_thread *thread = &pool->threads[number];
    thread->pool = pool;
    thread->number = number;
    thread->place = (uint64_t)number << 8;
    thread->saved = &pool->saved[(size_t)number * OTP_ATTACHED_MAX];
    return thread;
}

struct otp_thread *otp_pool_claim(struct otp_pool *pool, uint32_t tid) {
    struct otp_thread *thread = pop(pool);
    if (!thread)
        thread = fresh(pool);
    if (!thread)
        return NULL;
    uint64_t claims = atomic_load_explicit(&thread->owner, memory_order_relaxed) >> 32;
    atomic_store_explicit(&thread->owner, (claims + 1) << 32 | tid, memory_order_release);
    return thread;
}

bool otp_pool_disown(struct otp_thread *thread, uint64_t owner) {
    return atomic_compare_exchange_strong_explicit(&thread->owner, &owner, owner & ~(uint64_t)UINT32_MAX,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void otp_pool_put(struct otp_thread *thread) {
    struct otp_pool *pool = thread->pool;
    uint64_t head = atomic_load_explicit(&pool->free, memory_order_relaxed);
    uint64_t after;
    do {
        atomic_store_explicit(&thread->next, (uint32_t)head, memory_order_relaxed);
        after = ((head >> 32) + 1) << 32 | (thread->number + 1);
    } while (
        !atomic_compare_exchange_weak_explicit(&pool->free, &head, after, memory_order_release, memory_order_relaxed));
}

uint64_t otp_pool_sum(enum otp_thread_counter counter) {
    uint64_t sum = 0;
    for (struct otp_pool *pool = atomic_load_explicit(&newest, memory_order_acquire); pool; pool = pool->older) {
        uint32_t used = atomic_load_explicit(&pool->used, memory_order_relaxed);
        for (uint32_t i = 0; i < used; i++)
            sum += atomic_load_explicit(&pool->threads[i].counters[counter], memory_order_relaxed);
    }
    return sum;
}

// SPDX-License-Identifier: Apache-2.0
/* Start, stop, sweep and statistics of span context. */
#include "context/lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork_guard.h"
#include "base/sys.h"
#include "context/index.h"

#define STRIPES 8
#define STARTS_PER_BLOCK 64

struct otp_live otp_live_off;
_Atomic(struct otp_live *) otp_live_now = &otp_live_off;

/* Descriptions of starts are kept for ever, because a thread may still be looking at an old one. A block of them is
 * wiped in a child, where their memory does not exist. */
static struct otp_live *block;
static uint32_t block_used;

/* Threads without a slot count at each enter: several lines, so that they do not fight for one. */
static struct { _Alignas(64) _Atomic uint64_t count; } without_slot[STRIPES];
static _Atomic uint64_t registered;
static _Atomic uint64_t common[OTP_THREAD_COUNTERS]; /* of threads without an entry */

void otp_lifecycle_registered(void) { atomic_fetch_add_explicit(&registered, 1, memory_order_relaxed); }

void otp_lifecycle_no_slot(void) {
    /* Threads differ in where their variables are, in steps of pages. */
    uintptr_t where = (uintptr_t)&otp_thread_self;
    atomic_fetch_add_explicit(&without_slot[(where >> 12) % STRIPES].count, 1, memory_order_relaxed);
}

void otp_thread_count(enum otp_thread_counter counter) {
    struct otp_thread *self = otp_thread_self;
    if (!self || !self->pool) {
        atomic_fetch_add_explicit(&common[counter], 1, memory_order_relaxed);
        return;
    }
    uint64_t count = atomic_load_explicit(&self->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&self->counters[counter], count + 1, memory_order_relaxed);
}

static struct otp_live *new_live(void) {
    if (!block || block_used == STARTS_PER_BLOCK) {
        size_t size = STARTS_PER_BLOCK * sizeof(struct otp_live);
        void *memory = otp_sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            otp_error_errno(OTELPROF_E_MEMORY, errno, "mmap of %zu bytes for span context", size);
            return NULL;
        }
        if (otp_sys.madvise(memory, size, MADV_WIPEONFORK)) {
            otp_error_errno(OTELPROF_E_MEMORY, errno, "madvise(MADV_WIPEONFORK) on span context");
            munmap(memory, size);
            return NULL;
        }
        block = memory;
        block_used = 0;
    }
    return &block[block_used++];
}

int otp_context_start(const struct otp_context_memory *memory) {
    if (!memory->slots || !memory->index || !memory->control || !memory->slot_count || memory->slot_count > 65536 ||
        memory->index_size < 2 * memory->slot_count || (memory->index_size & (memory->index_size - 1)))
        return otp_error(OTELPROF_E_INVALID, "span context: memory of %u slots and %u places makes no sense",
                         memory->slot_count, memory->index_size);
    if (!otp_fork_guard_mine())
        return otp_error(OTELPROF_E_STATE, "span context: the fork guard is not armed");
    struct otp_pool *pool = otp_pool_get(memory->slot_count);
    if (!pool)
        return OTELPROF_E_MEMORY;
    struct otp_live *live = new_live();
    if (!live)
        return OTELPROF_E_MEMORY;
    live->memory = *memory;
    live->pool = pool;
    otp_index_clear(memory);
    atomic_store_explicit(&otp_live_now, live, memory_order_release);
    return 0;
}

void otp_context_stop(void) { atomic_store_explicit(&otp_live_now, &otp_live_off, memory_order_release); }

void otp_context_forked_child(void) {
    atomic_store_explicit(&otp_live_now, &otp_live_off, memory_order_relaxed);
    block = NULL;
    otp_pool_forget();
    for (int i = 0; i < STRIPES; i++)
        atomic_store_explicit(&without_slot[i].count, 0, memory_order_relaxed);
    atomic_store_explicit(&registered, 0, memory_order_relaxed);
    for (int i = 0; i < OTP_THREAD_COUNTERS; i++)
        atomic_store_explicit(&common[i], 0, memory_order_relaxed);
    if (otp_thread_self) {
        *otp_outside_variable() = NULL; /* this thread has touched it before, so this allocates nothing */
        otp_thread_self = NULL;
    }
}

void otp_context_sweep(void) {
    struct otp_live *live = atomic_load_explicit(&otp_live_now, memory_order_acquire);
    if (!otp_fork_guard_mine() || !live->pool)
        return;
    int saved = errno;
    pid_t process = getpid();
    uint32_t used = atomic_load_explicit(&live->pool->used, memory_order_relaxed);
    for (uint32_t i = 0; i < used; i++) {
        struct otp_thread *thread = &live->pool->threads[i];
        uint64_t owner = atomic_load_explicit(&thread->owner, memory_order_acquire);
        uint32_t tid = (uint32_t)owner;
        if (!tid || syscall(SYS_tgkill, process, tid, 0) == 0 || errno != ESRCH)
            continue;
        if (!otp_pool_disown(thread, owner))
            continue; /* it was claimed anew meanwhile */
        otp_index_leave(&live->memory, tid, i);
        __atomic_store_n(&live->memory.slots[i].owner_tid, 0, __ATOMIC_RELEASE);
        otp_pool_put(thread);
    }
    errno = saved;
}

static uint64_t total(enum otp_thread_counter counter) {
    return atomic_load_explicit(&common[counter], memory_order_relaxed) + otp_pool_sum(counter);
}

void otp_context_stats(struct otelprof_stats *stats) {
    stats->threads_without_slot = 0;
    for (int i = 0; i < STRIPES; i++)
        stats->threads_without_slot += atomic_load_explicit(&without_slot[i].count, memory_order_relaxed);
    stats->threads_registered = atomic_load_explicit(&registered, memory_order_relaxed);
    stats->spans_invalid = total(OTP_COUNT_INVALID);
    stats->spans_out_of_order = total(OTP_COUNT_OUT_OF_ORDER);
    stats->spans_too_deep = total(OTP_COUNT_TOO_DEEP);
    stats->attributes_dropped = total(OTP_COUNT_ATTRIBUTES_DROPPED);
    stats->attributes_cut = total(OTP_COUNT_ATTRIBUTES_CUT);
}

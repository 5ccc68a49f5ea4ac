// SPDX-License-Identifier: Apache-2.0
/* The slow part of the span calls: a thread's first call, its last moment, and calls after a stop or in a child. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fork_guard.h"
#include "context/index.h"
#include "context/lifecycle.h"
#include "context/process_context.h"
#include "context/record.h"
#include "context/thread.h"

_Thread_local struct otp_thread *otp_thread_self __attribute__((tls_model("initial-exec")));
void (*otp_context_child_call)(void);

static pthread_key_t end_key;
static bool end_key_made;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;

/* Gives the entry back. Not for an entry that was wiped in a child. */
static void leave(struct otp_thread *self) {
    uint64_t owner = atomic_load_explicit(&self->owner, memory_order_relaxed);
    if (!(uint32_t)owner || !otp_pool_disown(self, owner))
        return;
    if (self->live) {
        otp_index_leave(&self->live->memory, (uint32_t)owner, self->number);
        __atomic_store_n(&self->slot->owner_tid, 0, __ATOMIC_RELEASE);
        self->slot = NULL;
    }
    otp_pool_put(self);
}

/* Runs at the end of each thread that has an entry or a name. A span call in a later destructor brings both back, and
 * the C library then calls this once more; what is left after its fourth round is the sweep's. */
static void thread_ended(void *value) {
    (void)value;
    otp_thread_name_end();
    struct otp_thread *self = otp_thread_self;
    otp_thread_self = NULL;
    if (!self || !self->pool)
        return;
    if (self->live) {
        const struct otp_level none = {0};
        otp_record_show(self, &none, NULL, 0);
    }
    leave(self);
}

static void make_end_key(void) { end_key_made = pthread_key_create(&end_key, thread_ended) == 0; }

void otp_thread_watch_end(void) {
    pthread_once(&end_key_once, make_end_key);
    if (end_key_made)
        (void)pthread_setspecific(end_key, &end_key); /* without it the sweep finds what the thread leaves */
}

/* A fresh start for an entry: slot, empty context, tokens above all that this entry ever gave. */
static void prepare(struct otp_thread *self, struct otp_live *live, uint32_t tid) {
    struct otp_slot *slot = &live->memory.slots[self->number];
    if (self->slot)
        __atomic_store_n(&self->slot->owner_tid, 0, __ATOMIC_RELEASE); /* of an earlier start; still mapped, and ours */
    self->slot = slot;
    self->live = live;
    self->depth = 0;
    self->attached = 0;
    self->attrs_size = self->attrs_synced[0] = self->attrs_synced[1] = 0;
    /* A change of generation takes more than a nanosecond, so the clock is ahead of every generation, and so of every
     * token, that was given before: also by a parent of this process, or by entry `number` of another pool. */
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (now > self->generation)
        self->generation = now;
    self->generation += (self->generation ^ __atomic_load_n(&slot->generation, __ATOMIC_RELAXED)) & 1;
    /* The first touch of these variables may allocate in the C library: now, and not in the middle of a span. */
    void *volatile *outside = otp_outside_variable();
    *outside = NULL;
    self->outside = otp_process_context_foreign() ? &self->unseen : outside;
    (void)*(const volatile char *)otp_error_text();

    otp_record_show(self, &self->levels[0], NULL, 0);
    __atomic_store_n(&slot->owner_tid, tid, __ATOMIC_RELEASE);
}

/* Enters `self` into the index. An entry under our id that is not ours was left by a thread that ended without its
 * destructor; its slot comes back now, because the sweep takes the two of us for one. */
static bool enter_index(struct otp_thread *self, const struct otp_live *live, uint32_t tid) {
    int64_t replaced = otp_index_enter(&live->memory, tid, self->number);
    if (replaced >= 0 && replaced < live->pool->count && replaced != self->number) {
        struct otp_thread *stale = &live->pool->threads[replaced];
        uint64_t owner = atomic_load_explicit(&stale->owner, memory_order_acquire);
        if ((uint32_t)owner == tid && otp_pool_disown(stale, owner)) {
            __atomic_store_n(&live->memory.slots[replaced].owner_tid, 0, __ATOMIC_RELEASE);
            otp_pool_put(stale);
        }
    }
    return replaced != -2;
}

static struct otp_thread *enroll(struct otp_live *live) {
    struct otp_thread *self = otp_thread_self;
    if (self && self->pool != live->pool) {
        if (self->pool)
            leave(self);
        self = otp_thread_self = NULL;
    }
    uint32_t tid;
    if (self) {
        tid = (uint32_t)atomic_load_explicit(&self->owner, memory_order_relaxed);
    } else {
        tid = (uint32_t)gettid();
        self = otp_pool_claim(live->pool, tid);
    }
    if (self) {
        prepare(self, live, tid);
        if (enter_index(self, live, tid)) {
            otp_thread_self = self;
            otp_thread_watch_end();
            otp_lifecycle_registered();
            return self;
        }
        leave(self);
        otp_thread_self = NULL;
    }
    otp_lifecycle_no_slot();
    return NULL;
}

/* True if a start is in force here. Otherwise nothing of the calling thread stays visible. */
static bool in_force(struct otp_live *live) {
    struct otp_thread *self = otp_thread_self;
    if (!otp_fork_guard_mine()) {
        if (self) {
            *otp_outside_variable() = NULL; /* touched before by this thread: allocates nothing */
            otp_thread_self = NULL;
        }
        if (otp_fork_word && otp_context_child_call)
            otp_context_child_call();
        return false;
    }
    if (self && self->pool && self->live != live)
        *self->outside = NULL;
    return live->pool != NULL;
}

struct otp_thread *otp_thread_enroll(void) {
    int saved = errno;
    struct otp_live *live = atomic_load_explicit(&otp_live_now, memory_order_acquire);
    struct otp_thread *self = in_force(live) ? enroll(live) : NULL;
    errno = saved;
    return self;
}

bool otp_thread_in_force(void) {
    int saved = errno;
    bool yes = in_force(atomic_load_explicit(&otp_live_now, memory_order_acquire));
    errno = saved;
    return yes;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What one thread keeps for its span calls, and the pool that these structures come from. Private to this room.
 *
 * A thread owns one entry of the pool from its first span call to its end, over stops and starts. Entry n goes with
 * slot n of the shared memory, so that claiming the entry claims the slot. Pools are mappings that the kernel wipes in
 * a child (MADV_WIPEONFORK): an inherited pointer to an entry stays readable there and is seen to be nobody's.
 */
#ifndef OTP_CONTEXT_THREAD_H
#define OTP_CONTEXT_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "context/context.h"

#define OTP_LEVELS_MAX 32
#define OTP_ATTACHED_MAX 8

/* One start of the room. Lives in memory that is wiped in a child, where its pointers are NULL. */
struct otp_live {
    struct otp_context_memory memory;
    struct otp_pool *pool;
};

/* One level of nesting. Level 0 is "no span". */
struct otp_level {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint64_t serial; /* of the token that ends this level */
    uint8_t trace_flags;
    uint8_t valid;           /* 0: level 0, or an empty context was attached */
    uint8_t attrs_base;      /* size of the attributes when the level was entered: what its end leaves */
    uint8_t attached_before; /* attached contexts around it */
};
_Static_assert(OTP_RECORD_ATTRS_MAX <= UINT8_MAX, "sizes of attributes fit a byte");

/* Attributes that an attached context has replaced. */
struct otp_saved {
    uint8_t size;
    uint8_t attrs[OTP_RECORD_ATTRS_MAX];
};

/* Counters that only the owner writes; kept when the entry goes to another thread. */
enum otp_thread_counter {
    OTP_COUNT_INVALID,
    OTP_COUNT_OUT_OF_ORDER,
    OTP_COUNT_TOO_DEEP,
    OTP_COUNT_ATTRIBUTES_DROPPED,
    OTP_COUNT_ATTRIBUTES_CUT,
    OTP_THREAD_COUNTERS,
};

struct otp_thread {
    _Alignas(64) struct otp_live *live; /* the start that `slot` belongs to */
    struct otp_slot *slot;
    void *volatile *outside; /* otel_thread_ctx_v1 of this thread */
    uint64_t place;          /* number << 8: upper part of the tokens */
    uint64_t generation;     /* low half: the slot's. Only ever grows, over owners too: no two tokens are equal */
    uint32_t depth;          /* index of the present level */
    uint8_t attrs_size;      /* of the active context */
    uint8_t attrs_synced[2]; /* how much of the active attributes each record holds already */
    uint8_t attached;        /* contexts attached now */
    uint32_t number;         /* of the entry and of the slot */
    struct otp_level levels[OTP_LEVELS_MAX + 1];

    struct otp_pool *pool;
    struct otp_saved *saved; /* OTP_ATTACHED_MAX of them */
    void *volatile unseen;   /* stands in for otel_thread_ctx_v1 if that belongs to another library */
    _Atomic uint64_t owner;  /* low half: thread id, 0 for none; high half: how often it was claimed */
    _Atomic uint32_t next;   /* in the list of free entries: number + 1 */
    _Atomic uint64_t counters[OTP_THREAD_COUNTERS];
};

struct otp_pool {
    uint32_t count;        /* 0 in a child */
    _Atomic uint32_t used; /* entries that were claimed at least once: those below this number */
    _Atomic uint64_t free; /* low half: number + 1 of the first free entry; high half: changes at every push and pop */
    struct otp_pool *older;
    struct otp_thread *threads;
    struct otp_saved *saved;
};

/* The start in force; &otp_live_off when there is none. Never NULL, so that a wiped otp_thread.live never equals it. */
extern _Atomic(struct otp_live *) otp_live_now;
extern struct otp_live otp_live_off;

/* The calling thread's entry. In static TLS: a read is one load, and never allocates. */
extern _Thread_local struct otp_thread *otp_thread_self __attribute__((tls_model("initial-exec")));

/* A pool of `count` entries: one of before, or a new one. NULL with the error kept if there is no memory. */
struct otp_pool *otp_pool_get(uint32_t count);

/* Forgets all pools, in a child. Async-signal-safe. */
void otp_pool_forget(void);

/* Claims an entry for `tid`; NULL if all are taken. Lock-free. */
struct otp_thread *otp_pool_claim(struct otp_pool *pool, uint32_t tid);

/* Ends the ownership `owner` (a value of otp_thread.owner). True for the one caller who may then clean up and must call
 * otp_pool_put(). */
bool otp_pool_disown(struct otp_thread *thread, uint64_t owner);
void otp_pool_put(struct otp_thread *thread);

/* Sum of a counter over all entries of all pools. */
uint64_t otp_pool_sum(enum otp_thread_counter counter);

/*
 * The slow part of every span call: the calling thread's entry, registered with the start in force; NULL if there is
 * none in force, in a child, or without a free slot (counted). Keeps errno.
 */
struct otp_thread *otp_thread_enroll(void);

/* True if a start is in force in this process. Notices a child, and hides what the thread showed before. Keeps errno.
 */
bool otp_thread_in_force(void);

/* Adds 1 to a counter of the calling thread, or to the common one for a thread without an entry. */
void otp_thread_count(enum otp_thread_counter counter);

/* Arranges for the calling thread's entry and name to be released at its end. */
void otp_thread_watch_end(void);

/* At a thread's end: the name is not in use any more. */
void otp_thread_name_end(void);

/* The address of the calling thread's otel_thread_ctx_v1. The first call on a thread may allocate in the C library. */
void *volatile *otp_outside_variable(void);

static inline struct otp_thread *otp_thread_ready(void) {
    struct otp_thread *self = otp_thread_self;
    if (__builtin_expect(self != NULL, 1) &&
        __builtin_expect(self->live == atomic_load_explicit(&otp_live_now, memory_order_relaxed), 1))
        return self;
    return NULL;
}

#endif

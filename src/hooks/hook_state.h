// SPDX-License-Identifier: Apache-2.0
/*
 * What every hook looks at first: which types are on, by which tables stacks are walked, and the counters. It lies in
 * pages that the kernel wipes in a forked child, where all hooks are off therefore, also after _Fork() or clone().
 *
 * A hook that records something does so between otp_hook_enter() and otp_hook_leave(). Who takes something away (a
 * type, the tables, the list of stacks) first makes it invisible and then waits with otp_hook_wait() until no hook is
 * left that may have seen it. None of this allocates, locks, or makes a system call on a thread of the host.
 */
#ifndef OTP_HOOKS_HOOK_STATE_H
#define OTP_HOOKS_HOOK_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "unwind/tables.h"
#include "unwind/walk.h"

enum otp_hook_type {
    OTP_HOOK_HEAP = 1,
    OTP_HOOK_LOCK = 2,
};

enum otp_hook_counter {
    OTP_HOOK_CHOSEN,        /* allocations chosen, and made */
    OTP_HOOK_RING_FULL,     /* of those: lost, no buffer was free */
    OTP_HOOK_UNTRACKED,     /* of those: recorded, but not to be followed until freed: no room */
    OTP_HOOK_LOST_FREE,     /* an address came again while its block was taken for live */
    OTP_HOOK_UNBOUNDED,     /* walks that ended with the page: whose stack it is was not known */
    OTP_HOOK_REENTERED,     /* allocations inside a hook (a signal handler that allocates): never chosen */
    OTP_HOOK_WAITS,         /* waits chosen, and over */
    OTP_HOOK_WAITS_FULL,    /* of those: lost, no buffer was free */
    OTP_HOOK_RELEASES_FULL, /* releases of locks that chosen threads waited for: lost, no buffer was free */
    OTP_HOOK_UNPUBLISHED,   /* waits that no unlocker could see: no place was free */
    OTP_HOOK_COUNTERS,
};

/* A range of addresses that hold stacks, see stack_ranges.h. */
struct otp_stack_list;

struct otp_hook_state {
    _Atomic uint32_t enabled;          /* enum otp_hook_type */
    _Atomic uint64_t interval;         /* mean distance of samples in bytes */
    _Atomic uint64_t wait_interval[2]; /* the same in ns of waiting, by enum otp_wait_class */
    _Atomic uint32_t release_thinning; /* of wanted releases one in 2 to the power of this gets a stack, at most */
    _Atomic uint64_t seed;             /* one up for each thread that draws */
    _Atomic uint64_t run;              /* differs each time that it is enabled, and from process to process */
    _Atomic(const struct otp_tables_memory *) tables; /* NULL: walks have no tables */
    _Atomic(const struct otp_walker *) walker;        /* who walks instead of us; NULL: nobody */
    _Atomic(const struct otp_stack_list *) stacks;    /* NULL: none known */
    _Atomic bool objects_changed;                     /* the program loaded or unloaded something */
    _Atomic bool stacks_wanted;                       /* a stack was in no range */
    _Atomic uint32_t phase;                           /* which of `readers` those count in who come now */
    struct {
        _Alignas(64) _Atomic uint64_t count;
    } readers[2];
    _Alignas(64) _Atomic uint64_t counters[OTP_HOOK_COUNTERS];
};

/* Never NULL: an idle one before otp_hook_state_make(). */
extern _Atomic(struct otp_hook_state *) otp_hook_state_now __attribute__((visibility("hidden")));

static inline struct otp_hook_state *otp_hook_state(void) {
    return atomic_load_explicit(&otp_hook_state_now, memory_order_acquire);
}

/* Makes it, or finds the one of before. 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL. One caller at a time. */
int otp_hook_state_make(void);

/* Each run of the program, and each worker of it, is another sample of the same events: threads seed anew. */
void otp_hook_new_run(void);

/* Waits, at most until the deadline (CLOCK_MONOTONIC), for all hooks that are at work. False: some still are. */
bool otp_hook_wait(uint64_t deadline_ns);

/*
 * Walks use these tables from now on, and this walker, if there is one (both copied; what they point to must stay until
 * otp_hook_hide_tables() has said true).
 * Hiding waits until the deadline for walks that use them: false if one may still, and then the memory that they point
 * to must stay for good. On the profiler thread.
 */
void otp_hook_show_tables(const struct otp_tables_memory *tables, const struct otp_walker *walker);
bool otp_hook_hide_tables(uint64_t deadline_ns);

/* True once after the program has loaded or unloaded an object. */
bool otp_hook_objects_changed(void);

/* From now on no hook begins to use the walker. Any thread. */
void otp_hook_drop_walker(void);

static inline bool otp_hook_on(enum otp_hook_type type) {
    return (atomic_load(&otp_hook_state()->enabled) & type) != 0;
}

static inline unsigned otp_hook_enter(void) {
    unsigned phase = atomic_load_explicit(&otp_hook_state()->phase, memory_order_relaxed) & 1;
    atomic_fetch_add(&otp_hook_state()->readers[phase].count, 1); /* before all loads of what is visible */
    return phase;
}

static inline void otp_hook_leave(unsigned phase) {
    atomic_fetch_sub_explicit(&otp_hook_state()->readers[phase].count, 1, memory_order_release);
}

static inline void otp_hook_count(enum otp_hook_counter counter) {
    atomic_fetch_add_explicit(&otp_hook_state()->counters[counter], 1, memory_order_relaxed);
}

static inline uint64_t otp_hook_counted(enum otp_hook_counter counter) {
    return atomic_load_explicit(&otp_hook_state()->counters[counter], memory_order_relaxed);
}

#endif

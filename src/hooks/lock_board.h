// SPDX-License-Identifier: Apache-2.0
/*
 * Where threads that wait for a lock and threads that let go of it meet, without ever waiting for each other.
 *
 * A waiter raises a count by hash of the lock, and posts from when on its wait is chosen. Who lets go of a lock looks
 * at the count, which is all that nearly every release pays; if it is not 0, it posts a notice: when, and under which
 * number. Who gets the lock reads the notice of the release that made it free. A read/write lock has two notices, of
 * readers and of writers: readers wait for writers only, and other readers let go meanwhile.
 *
 * Fixed in size: where no place is free a waiter is not seen, and where two locks share a place, the later notice
 * stays. In a forked child everything is empty. Any thread, without locks; but for what says otherwise.
 */
#ifndef OTP_HOOKS_LOCK_BOARD_H
#define OTP_HOOKS_LOCK_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OTP_LOCK_COUNTS 2048u
#define OTP_LOCK_NOWHERE UINT32_MAX

enum otp_release_class {
    OTP_RELEASE_SHARED,    /* by a reader */
    OTP_RELEASE_EXCLUSIVE, /* by anybody else */
    OTP_RELEASE_CLASSES,
};

/* Bits of a notice's number that its poster sets. Neither: there will be a record of the release. */
#define OTP_RELEASE_SAYS_WHO 1u /* there will be none, but the notice says who it was */
#define OTP_RELEASE_NO_RECORD 2u
#define OTP_RELEASE_NUMBER_STEP 4u
#define OTP_RELEASE_NUMBER_MASK (~(uint64_t)(OTP_RELEASE_NUMBER_STEP - 1))

struct otp_release_notice {
    uint64_t number;  /* but for those bits never 0 */
    uint64_t time_ns; /* CLOCK_MONOTONIC */
};

/* Who released, of a release that no record was made of. */
#define OTP_RELEASER_WORDS 32
struct otp_releaser {
    uint64_t caller;                      /* address in the function that released */
    uint64_t size;                        /* bytes of the context; 0: none */
    uint64_t context[OTP_RELEASER_WORDS]; /* struct otp_thread_record (bpf/context_slot.h), perhaps cut short */
};

/* Never NULL. */
extern _Atomic(_Atomic uint32_t *) otp_lock_counts __attribute__((visibility("hidden")));

static inline uint32_t otp_lock_hash(uint64_t lock) { return (uint32_t)(lock * 0x9e3779b97f4a7c15u >> 53); }

/* False: surely nobody waits for the lock who has posted it. */
static inline bool otp_lock_waited_for(const volatile void *lock) {
    _Atomic uint32_t *counts = atomic_load_explicit(&otp_lock_counts, memory_order_relaxed);
    return atomic_load_explicit(&counts[otp_lock_hash((uintptr_t)lock)], memory_order_relaxed) != 0;
}

/* 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL. One caller at a time. */
int otp_lock_board_make(void);

/*
 * Posts a waiter whose wait is chosen if it is released later than `chosen_from_ns`. Returns its place, or
 * OTP_LOCK_NOWHERE: then no release looks at it, but notices are posted. Either way otp_lock_unpost() must follow.
 */
uint32_t otp_lock_post(uint64_t lock, uint64_t chosen_from_ns);
void otp_lock_unpost(uint64_t lock, uint32_t place);

/* True if there is a waiter of the lock whose wait is chosen when it is released at that time. */
bool otp_lock_chosen(uint64_t lock, uint64_t time_ns);

/* The first of 2^32 numbers that no other thread gets: its notices have every OTP_RELEASE_NUMBER_STEP-th of these. */
uint64_t otp_release_numbers(void);

/* `who` released it, if the number says that the notice tells; else NULL. */
void otp_release_post(uint64_t lock, enum otp_release_class class, const struct otp_release_notice *notice,
                      const struct otp_releaser *who);

/* The last notice of the lock. False: there is none. */
bool otp_release_last(uint64_t lock, enum otp_release_class class, struct otp_release_notice *notice);

/* Who it was that posted this notice. False: another lock's notice has taken its place. */
bool otp_release_who(uint64_t lock, enum otp_release_class class, const struct otp_release_notice *notice,
                     struct otp_releaser *who);

#endif

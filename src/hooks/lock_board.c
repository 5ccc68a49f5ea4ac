// SPDX-License-Identifier: Apache-2.0
#include "hooks/lock_board.h"

#include <stddef.h>

#include "hooks/hook_memory.h"

#define GROUPS 256u /* of waiters' places, by hash */
#define PLACES 16u  /* in a group */
#define NOTICES 1024u
#define RESERVED 1u /* in place of a lock: its owner is filling the place */

struct waiter {
    _Atomic uint64_t lock; /* 0: free */
    _Atomic uint64_t chosen_from_ns;
};

/* Written by whoever has the lock; where locks share a place `check` tells whether all words belong together. */
struct notice {
    _Atomic uint64_t lock, number, time_ns, check;
    _Atomic uint64_t mark, caller, size, context[OTP_RELEASER_WORDS];
};

struct board {
    _Atomic uint32_t counts[OTP_LOCK_COUNTS];
    struct waiter waiters[GROUPS][PLACES];
    struct notice notices[OTP_RELEASE_CLASSES][NOTICES];
    _Atomic uint64_t numbers;
};

static _Atomic uint32_t no_counts[OTP_LOCK_COUNTS];
_Atomic(_Atomic uint32_t *) otp_lock_counts = no_counts;
static _Atomic(struct board *) made;

int otp_lock_board_make(void) {
    void *memory;
    if (atomic_load(&made))
        return 0;
    int result = otp_hook_memory_new(sizeof(struct board), "the waiters for locks", &memory);
    if (result)
        return result;
    struct board *board = memory;
    atomic_store(&made, board);
    atomic_store_explicit(&otp_lock_counts, board->counts, memory_order_release);
    return 0;
}

static struct board *board_now(void) { return atomic_load_explicit(&made, memory_order_acquire); }

/* ------------------------------------------------------------------------------------------------ waiters */

static struct waiter *group_of(struct board *board, uint64_t lock) {
    return board->waiters[otp_lock_hash(lock) % GROUPS];
}

uint32_t otp_lock_post(uint64_t lock, uint64_t chosen_from_ns) {
    struct board *board = board_now();
    struct waiter *group = group_of(board, lock);
    uint32_t place = OTP_LOCK_NOWHERE;
    for (uint32_t i = 0; i < PLACES && place == OTP_LOCK_NOWHERE; i++) {
        uint64_t free_place = 0;
        if (atomic_load_explicit(&group[i].lock, memory_order_relaxed) ||
            !atomic_compare_exchange_strong(&group[i].lock, &free_place, RESERVED))
            continue;
        atomic_store_explicit(&group[i].chosen_from_ns, chosen_from_ns, memory_order_relaxed);
        atomic_store_explicit(&group[i].lock, lock, memory_order_release);
        place = i;
    }
    atomic_fetch_add(&board->counts[otp_lock_hash(lock)], 1);
    return place;
}

void otp_lock_unpost(uint64_t lock, uint32_t place) {
    struct board *board = board_now();
    if (place != OTP_LOCK_NOWHERE)
        atomic_store_explicit(&group_of(board, lock)[place].lock, 0, memory_order_release);
    /* In a child that a handler forked here the count is 0. */
    _Atomic uint32_t *count = &board->counts[otp_lock_hash(lock)];
    uint32_t before = atomic_load_explicit(count, memory_order_relaxed);
    while (before && !atomic_compare_exchange_weak(count, &before, before - 1))
        ;
}

/* No further than there are waiters: most often the first place has the only one. */
bool otp_lock_chosen(uint64_t lock, uint64_t time_ns) {
    struct board *board = board_now();
    struct waiter *group = group_of(board, lock);
    uint32_t left = atomic_load_explicit(&board->counts[otp_lock_hash(lock)], memory_order_relaxed);
    for (uint32_t i = 0; i < PLACES && left; i++) {
        if (atomic_load_explicit(&group[i].lock, memory_order_acquire) != lock)
            continue;
        if (time_ns > atomic_load_explicit(&group[i].chosen_from_ns, memory_order_relaxed))
            return true;
        left--;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ notices */

uint64_t otp_release_numbers(void) {
    return (atomic_fetch_add_explicit(&board_now()->numbers, 1, memory_order_relaxed) + 1) << 32;
}

static uint64_t check_of(uint64_t lock, const struct otp_release_notice *notice) {
    return lock ^ (notice->time_ns * 0x9e3779b97f4a7c15u) ^ (notice->number << 32 | notice->number >> 32);
}

static struct notice *notice_of(uint64_t lock, enum otp_release_class class) {
    return &board_now()->notices[class][otp_lock_hash(lock) % NOTICES];
}

static uint64_t words_of(uint64_t size) {
    return (size < sizeof(((struct otp_releaser *)0)->context) ? size + 7
                                                               : sizeof(((struct otp_releaser *)0)->context)) /
           8;
}

/* Of all that a notice says of its releaser: where locks share a place, two may write it at once. */
static uint64_t mark_of(uint64_t lock, uint64_t number, const struct otp_releaser *who) {
    uint64_t mark = lock ^ number << 1 ^ who->caller * 0x9e3779b97f4a7c15u ^ who->size << 56;
    for (uint64_t i = 0; i < words_of(who->size); i++)
        mark = (mark << 7 | mark >> 57) ^ who->context[i] * 0xd6e8feb86659fd93u;
    return mark;
}

static void post_releaser(struct notice *to, uint64_t lock, uint64_t number, const struct otp_releaser *who) {
    atomic_store_explicit(&to->caller, who->caller, memory_order_relaxed);
    atomic_store_explicit(&to->size, who->size, memory_order_relaxed);
    for (uint64_t i = 0; i < words_of(who->size); i++)
        atomic_store_explicit(&to->context[i], who->context[i], memory_order_relaxed);
    atomic_store_explicit(&to->mark, mark_of(lock, number, who), memory_order_relaxed);
}

void otp_release_post(uint64_t lock, enum otp_release_class class, const struct otp_release_notice *notice,
                      const struct otp_releaser *who) {
    struct notice *to = notice_of(lock, class);
    if (who)
        post_releaser(to, lock, notice->number, who);
    atomic_store_explicit(&to->lock, lock, memory_order_relaxed);
    atomic_store_explicit(&to->number, notice->number, memory_order_relaxed);
    atomic_store_explicit(&to->time_ns, notice->time_ns, memory_order_relaxed);
    atomic_store_explicit(&to->check, check_of(lock, notice), memory_order_release);
}

bool otp_release_last(uint64_t lock, enum otp_release_class class, struct otp_release_notice *notice) {
    struct notice *from = notice_of(lock, class);
    uint64_t check = atomic_load_explicit(&from->check, memory_order_acquire);
    notice->number = atomic_load_explicit(&from->number, memory_order_relaxed);
    notice->time_ns = atomic_load_explicit(&from->time_ns, memory_order_relaxed);
    return atomic_load_explicit(&from->lock, memory_order_relaxed) == lock && notice->number &&
           check == check_of(lock, notice);
}

bool otp_release_who(uint64_t lock, enum otp_release_class class, const struct otp_release_notice *notice,
                     struct otp_releaser *who) {
    struct notice *from = notice_of(lock, class);
    uint64_t mark = atomic_load_explicit(&from->mark, memory_order_relaxed);
    who->caller = atomic_load_explicit(&from->caller, memory_order_relaxed);
    who->size = atomic_load_explicit(&from->size, memory_order_relaxed);
    for (uint64_t i = 0; i < words_of(who->size); i++)
        who->context[i] = atomic_load_explicit(&from->context[i], memory_order_relaxed);
    return who->size <= sizeof(who->context) && mark == mark_of(lock, notice->number, who);
}

// SPDX-License-Identifier: Apache-2.0
/* Circles among waits, and which of them are deadlocks. */
#include "core/deadlock_watch.h"

#include <stdio.h>
#include <string.h>

#include "test_main.h"

#define MANY 64

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % limit;
}

static struct otp_wait_edge edge(uint32_t waiter, uint32_t owner) {
    return (struct otp_wait_edge){.waiter = waiter, .owner = owner, .lock = owner * 64, .switches = waiter + 7};
}

/* A thread is in a circle if following the owners from it leads back to it. */
static bool in_circle(const uint32_t owner[MANY], uint32_t thread) {
    uint32_t at = thread;
    for (int i = 0; i < MANY; i++) {
        at = at < MANY ? owner[at] : UINT32_MAX;
        if (at == thread)
            return true;
    }
    return false;
}

START_TEST(circles_among_random_waits) {
    for (int round = 0; round < 5000; round++) {
        uint32_t owner[MANY];
        struct otp_wait_edge edges[MANY];
        size_t count = 0;
        uint32_t waiting = random_below(MANY + 1);
        memset(owner, 0xff, sizeof(owner));
        for (uint32_t i = 0; i < waiting; i++) {
            uint32_t waiter = random_below(MANY);
            if (owner[waiter] != UINT32_MAX)
                continue;
            owner[waiter] = random_below(MANY + 8); /* some of them nobody's */
            edges[count++] = edge(waiter, owner[waiter]);
        }
        uint32_t circles = otp_lock_wait_cycles(edges, count), largest = 0;
        for (size_t i = 0; i < count; i++) {
            ck_assert(i == 0 || edges[i - 1].waiter < edges[i].waiter);
            ck_assert_int_eq(edges[i].cycle != 0, in_circle(owner, edges[i].waiter));
            if (edges[i].cycle) /* who holds the lock is in the same circle */
                ck_assert_uint_eq(otp_lock_wait_find(edges, count, edges[i].owner)->cycle, edges[i].cycle);
            largest = edges[i].cycle > largest ? edges[i].cycle : largest;
        }
        ck_assert_uint_eq(largest, circles);
    }
}
END_TEST

static struct {
    uint32_t number;
    size_t edges, calls;
    struct otp_wait_edge first;
} told;

static void on_deadlock(void *user, uint32_t number, const struct otp_wait_edge *edges, size_t count) {
    (void)user;
    told.number = number;
    told.edges = count;
    told.calls++;
    told.first = edges[0];
}

static bool suspect(struct otp_deadlock_watch *watch, const struct otp_wait_edge *edges, size_t count) {
    struct otp_wait_edge copy[16];
    if (count)
        memcpy(copy, edges, count * sizeof(*edges));
    return otp_deadlock_watch_suspect(watch, copy, count);
}

static void verify(struct otp_deadlock_watch *watch, const struct otp_wait_edge *edges, size_t count) {
    struct otp_wait_edge copy[16];
    memcpy(copy, edges, count * sizeof(*edges));
    otp_deadlock_watch_verify(watch, copy, count, on_deadlock, NULL);
}

START_TEST(a_deadlock_is_told_once) {
    struct otp_deadlock_watch watch = {.found = 0};
    const struct otp_wait_edge edges[] = {edge(9, 3), edge(3, 5), edge(5, 3), edge(7, 8)};
    memset(&told, 0, sizeof(told));
    for (int snapshot = 0; snapshot < 3; snapshot++) {
        ck_assert_int_eq(suspect(&watch, edges, 4), snapshot == 0);
        if (snapshot == 0)
            verify(&watch, edges, 4);
        ck_assert_uint_eq(told.calls, 1);
        ck_assert_uint_eq(told.edges, 2);
        ck_assert_uint_eq(told.number, 1);
        ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 3), 1);
        ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 5), 1);
        ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 9), 0); /* waits for it, but is not in it */
        ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 7), 0);
    }
    ck_assert(!suspect(&watch, NULL, 0)); /* somebody cancelled the threads */
    ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 3), 0);
    ck_assert_uint_eq(watch.found, 1);
    otp_deadlock_watch_free(&watch);
    ck_assert_uint_eq(watch.found, 1);
}
END_TEST

/* Any thing that has changed in between means that they did not all wait at once. */
START_TEST(what_changes_is_no_deadlock) {
    for (int change = 0; change < 5; change++) {
        struct otp_deadlock_watch watch = {.found = 0};
        struct otp_wait_edge edges[] = {edge(1, 2), edge(2, 3), edge(3, 1)};
        size_t count = 3;
        memset(&told, 0, sizeof(told));
        ck_assert(suspect(&watch, edges, count));
        if (change == 1)
            edges[1].switches++;
        else if (change == 2)
            edges[1].lock++;
        else if (change == 3)
            edges[2].owner = 2; /* still a circle, but another one */
        else if (change == 4)
            count = 2;
        verify(&watch, edges, count);
        ck_assert_uint_eq(told.calls, change == 0);
        ck_assert_uint_eq(watch.found, change == 0);
        ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 2), change == 0);
        verify(&watch, edges, count); /* nothing is suspected any more */
        ck_assert_uint_eq(told.calls, change == 0);
        otp_deadlock_watch_free(&watch);
    }
}
END_TEST

START_TEST(several_at_once) {
    struct otp_deadlock_watch watch = {.found = 0};
    struct otp_wait_edge edges[] = {edge(1, 1), edge(12, 13), edge(13, 12), edge(4, 5), edge(5, 6), edge(6, 4)};
    memset(&told, 0, sizeof(told));
    ck_assert(suspect(&watch, edges, 6));
    verify(&watch, edges, 6);
    ck_assert_uint_eq(told.calls, 3);
    ck_assert_uint_eq(watch.found, 3);
    uint32_t of[] = {otp_deadlock_watch_of(&watch, 1), otp_deadlock_watch_of(&watch, 12),
                     otp_deadlock_watch_of(&watch, 5)};
    ck_assert_uint_eq(of[0] + of[1] + of[2], 6);
    edges[3].switches++; /* one is over, and another one comes */
    ck_assert(suspect(&watch, edges, 6));
    ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 6), 0);
    ck_assert_uint_eq(otp_deadlock_watch_of(&watch, 13), of[1]);
    verify(&watch, edges, 6);
    ck_assert_uint_eq(told.calls, 4);
    ck_assert_uint_eq(told.number, 4);
    ck_assert_uint_eq(told.first.waiter, 4);
    otp_deadlock_watch_free(&watch);
}
END_TEST

OTP_TEST_MAIN("deadlock_watch", 60, circles_among_random_waits, a_deadlock_is_told_once, what_changes_is_no_deadlock,
              several_at_once)

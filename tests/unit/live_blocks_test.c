// SPDX-License-Identifier: Apache-2.0
#include "hooks/live_blocks.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_main.h"

#define MAX 1000u

/* An address as an allocator gives it; nothing is there. */
static void *block(uint64_t number) { return (void *)(uintptr_t)(0x7f0000000000u + number * 16); }

static uint32_t put(void *address, uint64_t *word) {
    bool lost;
    uint32_t place = otp_live_put(address, word, &lost);
    ck_assert(!lost);
    return place;
}

static void expect_empty(void) {
    ck_assert_uint_eq(otp_live_count(), 0);
    for (uint32_t i = 0; i < OTP_LIVE_FILTER; i++)
        ck_assert_uint_eq(atomic_load(&otp_live_filter)[i], 0);
}

START_TEST(without_a_table) {
    uint64_t word;
    bool lost;
    ck_assert(!otp_live_maybe(block(1)) && !otp_live_maybe(NULL));
    ck_assert_uint_eq(otp_live_put(block(1), &word, &lost), OTP_LIVE_NOWHERE);
    ck_assert(!otp_live_remove(block(1)));
    ck_assert_uint_eq(otp_live_hold(block(1), &word), OTP_LIVE_NOWHERE);
    ck_assert(!otp_live_is(0, 0));
    otp_live_clear();
    ck_assert_uint_eq(otp_live_places(), 0);
}
END_TEST

START_TEST(in_and_out) {
    uint64_t word, other;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    uint32_t place = put(block(1), &word);
    ck_assert_uint_lt(place, otp_live_places());
    ck_assert(otp_live_maybe(block(1)) && otp_live_is(place, word));
    ck_assert(!otp_live_remove(block(2)) && !otp_live_remove(NULL));
    ck_assert(otp_live_remove(block(1)) && !otp_live_is(place, word));
    ck_assert(!otp_live_remove(block(1)));
    ck_assert(!otp_live_maybe(block(1)));
    /* The same address at the same place is another block. */
    ck_assert_uint_eq(put(block(1), &other), place);
    ck_assert(!otp_live_is(place, word) && otp_live_is(place, other));
    otp_live_forget(place, word);
    ck_assert(otp_live_is(place, other));
    otp_live_forget(place, other);
    ck_assert(!otp_live_is(place, other));
    ck_assert(!otp_live_is(OTP_LIVE_NOWHERE, 0) && !otp_live_is(otp_live_places(), 0));
    expect_empty();
}
END_TEST

START_TEST(addresses_that_do_not_fit) {
    uint64_t word;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    ck_assert_uint_eq(put((void *)0x7f0000000001, &word), OTP_LIVE_NOWHERE);
    ck_assert_uint_eq(put((void *)0x1000000000000, &word), OTP_LIVE_NOWHERE);
    ck_assert_uint_eq(put(NULL, &word), OTP_LIVE_NOWHERE);
    ck_assert_uint_ne(put((void *)0xfffffffffff8, &word), OTP_LIVE_NOWHERE);
    ck_assert(otp_live_remove((void *)0xfffffffffff8));
    expect_empty();
}
END_TEST

START_TEST(an_address_that_comes_again) {
    uint64_t first, second;
    bool lost;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    uint32_t place = put(block(5), &first);
    uint32_t now = otp_live_put(block(5), &second, &lost);
    ck_assert(lost && otp_live_is(now, second) && !otp_live_is(place, first));
    ck_assert_uint_eq(otp_live_count(), 1);
    ck_assert(otp_live_remove(block(5)) && !otp_live_remove(block(5)));
    expect_empty();
}
END_TEST

START_TEST(reallocations) {
    uint64_t word, held, next;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    uint32_t place = put(block(7), &word);
    /* One that fails. */
    ck_assert_uint_eq(otp_live_hold(block(7), &held), place);
    ck_assert(held == word && otp_live_is(place, word));
    ck_assert(!otp_live_remove(block(7)));
    ck_assert_uint_eq(otp_live_hold(block(7), &next), OTP_LIVE_NOWHERE);
    otp_live_restore(place, held);
    /* One that moves, while another thread gets the old address. */
    ck_assert_uint_eq(otp_live_hold(block(7), &held), place);
    uint32_t others = put(block(7), &next);
    ck_assert(others != place && otp_live_is(others, next));
    otp_live_forget(place, held);
    ck_assert(!otp_live_is(place, word) && otp_live_is(others, next));
    /* One whose block is forgotten meanwhile. */
    ck_assert_uint_eq(otp_live_hold(block(7), &held), others);
    otp_live_forget(others, next);
    otp_live_restore(others, held);
    ck_assert(!otp_live_remove(block(7)));
    expect_empty();
}
END_TEST

START_TEST(full) {
    uint64_t word;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    for (uint32_t i = 0; i < MAX; i++)
        ck_assert_uint_ne(put(block(i * 7919), &word), OTP_LIVE_NOWHERE);
    ck_assert_uint_eq(put(block(1), &word), OTP_LIVE_NOWHERE);
    ck_assert_uint_eq(otp_live_count(), MAX);
    ck_assert(otp_live_remove(block(0)));
    ck_assert_uint_ne(put(block(1), &word), OTP_LIVE_NOWHERE);
    otp_live_clear();
    expect_empty();
}
END_TEST

/* All blocks that could be there are found among many; a table for more takes the place of one for less. */
START_TEST(many) {
    const uint32_t count = 100000;
    uint64_t word;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    ck_assert_int_eq(otp_live_make(count), 0);
    uint32_t before = otp_live_places();
    ck_assert_int_eq(otp_live_make(10), 0);
    ck_assert_uint_eq(otp_live_places(), before);
    uint32_t nowhere = 0;
    for (uint32_t i = 0; i < count; i++)
        nowhere += put(block(i * 3), &word) == OTP_LIVE_NOWHERE;
    ck_assert_uint_eq(nowhere, 0);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert(!otp_live_remove(block(i * 3 + 1)));
        ck_assert(otp_live_maybe(block(i * 3)) && otp_live_remove(block(i * 3)));
    }
    ck_assert_uint_eq(otp_live_count(), 0);
}
END_TEST

#define THREADS 4
#define ROUNDS 50000

/* Puts in and takes out, holds and restores; every 8th block is left to another thread, or to main(). */
static _Atomic(void *) handed[THREADS];

static void free_what_was_handed(size_t number) {
    void *left = atomic_exchange(&handed[number], NULL);
    if (left)
        ck_assert(otp_live_maybe(left) && otp_live_remove(left));
}

static bool hand_on(size_t number, void *own) {
    void *none = NULL;
    size_t to = (number + 1) % THREADS;
    if (!atomic_compare_exchange_strong(&handed[to], &none, own))
        return false;
    while (atomic_load(&handed[to]) == own)
        free_what_was_handed(number);
    return true;
}

static void *storm(void *argument) {
    size_t number = (size_t)(uintptr_t)argument;
    uint64_t rounds = getenv("OTP_TEST_VALGRIND") ? ROUNDS / 25 : ROUNDS; /* where one thread runs at a time */
    for (uint64_t i = 0; i < rounds; i++) {
        void *own = block((i % 300 * THREADS + number) * 5);
        uint64_t word, held;
        uint32_t place = put(own, &word);
        ck_assert_uint_ne(place, OTP_LIVE_NOWHERE);
        if (i % 3 == 0) {
            ck_assert_uint_eq(otp_live_hold(own, &held), place);
            otp_live_restore(place, held);
        }
        if (i % 8 || !hand_on(number, own))
            ck_assert(otp_live_maybe(own) && otp_live_remove(own));
    }
    return NULL;
}

START_TEST(threads) {
    pthread_t ids[THREADS];
    ck_assert_int_eq(otp_live_make(4 * MAX), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, storm, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(ids[i], NULL)) {
            for (size_t j = 0; j < THREADS; j++)
                free_what_was_handed(j);
            usleep(1000);
        }
    }
    ck_assert_uint_eq(otp_live_count(), 0);
    expect_empty();
}
END_TEST

START_TEST(a_child_has_none) {
    uint64_t word;
    int status;
    ck_assert_int_eq(otp_live_make(MAX), 0);
    uint32_t place = put(block(3), &word);
    pid_t child = fork();
    if (!child) {
        bool good = !otp_live_maybe(block(3)) && !otp_live_remove(block(3)) && otp_live_count() == 0 &&
                    !otp_live_is(place, word) && otp_live_make(MAX) == 0 && put(block(3), &word) != OTP_LIVE_NOWHERE &&
                    otp_live_remove(block(3));
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(otp_live_is(place, word));
}
END_TEST

OTP_TEST_MAIN("live_blocks", 120, without_a_table, in_and_out, addresses_that_do_not_fit, an_address_that_comes_again,
              reallocations, full, many, threads, a_child_has_none)

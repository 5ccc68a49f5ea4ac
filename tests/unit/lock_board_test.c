// SPDX-License-Identifier: Apache-2.0
#include "hooks/lock_board.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_main.h"

#define LOCK 0x5555aaaa1000u

static const void *at(uint64_t lock) { return (const void *)(uintptr_t)lock; }

/* Another lock that shares its count with LOCK, and with that all its places. */
static uint64_t colliding(void) {
    uint64_t other = LOCK + 8;
    while (otp_lock_hash(other) != otp_lock_hash(LOCK))
        other += 8;
    return other;
}

START_TEST(before_it_is_made) { ck_assert(!otp_lock_waited_for(at(LOCK))); }
END_TEST

START_TEST(waiters_come_and_go) {
    uint32_t places[40];
    ck_assert_int_eq(otp_lock_board_make(), 0);
    ck_assert_int_eq(otp_lock_board_make(), 0);
    for (uint32_t i = 0; i < 40; i++)
        places[i] = otp_lock_post(LOCK, 1000 + i);
    ck_assert(otp_lock_waited_for(at(LOCK)));
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 40; i++)
        seen += places[i] != OTP_LOCK_NOWHERE;
    ck_assert_uint_eq(seen, 16); /* the others are not seen, and counted all the same */
    ck_assert(!otp_lock_chosen(LOCK, 1000));
    ck_assert(otp_lock_chosen(LOCK, 1001));
    otp_lock_unpost(LOCK, places[0]);
    ck_assert(!otp_lock_chosen(LOCK, 1001)); /* the next one is chosen from 1001 on */
    ck_assert(otp_lock_chosen(LOCK, 1002));
    ck_assert(otp_lock_post(LOCK, 5) != OTP_LOCK_NOWHERE);
    ck_assert(otp_lock_chosen(LOCK, 6));
    for (uint32_t i = 1; i < 40; i++)
        otp_lock_unpost(LOCK, places[i]);
    ck_assert(otp_lock_waited_for(at(LOCK)));
    otp_lock_unpost(LOCK, places[0]); /* whose place the last one had got */
    ck_assert(!otp_lock_waited_for(at(LOCK)));
    otp_lock_unpost(LOCK, OTP_LOCK_NOWHERE); /* one too many changes nothing */
    ck_assert(!otp_lock_waited_for(at(LOCK)));
}
END_TEST

START_TEST(locks_that_share_places) {
    uint64_t other = colliding();
    struct otp_release_notice notice = {2, 100}, later = {4, 200}, found;
    struct otp_releaser who = {.caller = 0x1234, .size = 12}, read;
    ck_assert_int_eq(otp_lock_board_make(), 0);
    uint32_t place = otp_lock_post(LOCK, 50);
    ck_assert(otp_lock_waited_for(at(other))); /* it looks, and finds nobody of its own */
    ck_assert(!otp_lock_chosen(other, 1000));
    otp_lock_unpost(LOCK, place);
    ck_assert(!otp_release_last(LOCK, OTP_RELEASE_EXCLUSIVE, &found));
    otp_release_post(LOCK, OTP_RELEASE_EXCLUSIVE, &notice, NULL);
    ck_assert(otp_release_last(LOCK, OTP_RELEASE_EXCLUSIVE, &found));
    ck_assert(found.number == 2 && found.time_ns == 100);
    ck_assert(!otp_release_last(LOCK, OTP_RELEASE_SHARED, &found));
    ck_assert(!otp_release_last(other, OTP_RELEASE_EXCLUSIVE, &found));
    memcpy(who.context, "twelve bytes", 12);
    otp_release_post(other, OTP_RELEASE_EXCLUSIVE, &later, &who);
    ck_assert(!otp_release_last(LOCK, OTP_RELEASE_EXCLUSIVE, &found)); /* the later notice stays */
    ck_assert(otp_release_last(other, OTP_RELEASE_EXCLUSIVE, &found) && found.number == 4);
    ck_assert(otp_release_who(other, OTP_RELEASE_EXCLUSIVE, &later, &read));
    ck_assert(read.caller == 0x1234 && read.size == 12 && !memcmp(read.context, "twelve bytes", 12));
    ck_assert(!otp_release_who(other, OTP_RELEASE_EXCLUSIVE, &notice, &read));
    ck_assert(!otp_release_who(LOCK, OTP_RELEASE_EXCLUSIVE, &later, &read));
}
END_TEST

#define ROUNDS 20000

/* Two locks that share a place, each with one releaser: what is read of one is never made of both. */
static void *release_and_read(void *lock_of_mine) {
    uint64_t lock = *(const uint64_t *)lock_of_mine, numbers = otp_release_numbers();
    for (uint64_t i = 1; i < ROUNDS; i++) {
        struct otp_release_notice notice = {numbers + i * OTP_RELEASE_NUMBER_STEP, i * 3}, found;
        struct otp_releaser who = {.caller = lock + i, .size = sizeof(who.context)}, read;
        for (int j = 0; j < OTP_RELEASER_WORDS; j++)
            who.context[j] = lock + i;
        otp_release_post(lock, OTP_RELEASE_EXCLUSIVE, &notice, &who);
        if (!otp_release_last(lock, OTP_RELEASE_EXCLUSIVE, &found) || found.number != notice.number)
            continue;
        ck_assert_uint_eq(found.time_ns, i * 3);
        if (!otp_release_who(lock, OTP_RELEASE_EXCLUSIVE, &found, &read))
            continue;
        ck_assert(read.caller == lock + i && !memcmp(read.context, who.context, sizeof(who.context)));
    }
    return NULL;
}

START_TEST(never_of_both) {
    uint64_t locks[] = {LOCK, colliding()};
    pthread_t threads[2];
    ck_assert_int_eq(otp_lock_board_make(), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, release_and_read, &locks[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(in_a_child) {
    int status = 0;
    ck_assert_int_eq(otp_lock_board_make(), 0);
    uint32_t place = otp_lock_post(LOCK, 1);
    pid_t pid = fork();
    if (!pid) {
        bool empty = !otp_lock_waited_for(at(LOCK)) && !otp_lock_chosen(LOCK, 100);
        otp_lock_unpost(LOCK, place);
        _exit(empty && !otp_lock_waited_for(at(LOCK)) ? 0 : 1);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
    ck_assert(otp_lock_chosen(LOCK, 100));
}
END_TEST

OTP_TEST_MAIN("lock_board", 60, before_it_is_made, waiters_come_and_go, locks_that_share_places, never_of_both,
              in_a_child)

// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_ring.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_main.h"

#define MANY 6000

struct seen {
    uint64_t values[MANY];
    size_t count;
};

static void take(void *user, const void *record, size_t size) {
    struct seen *seen = user;
    ck_assert_uint_eq(size, 8);
    ck_assert_uint_lt(seen->count, MANY);
    memcpy(&seen->values[seen->count++], record, 8);
}

START_TEST(before_it_is_made) {
    struct seen seen = {.count = 0};
    ck_assert_ptr_null(otp_hook_ring_take(OTP_HOOK_SMALL));
    ck_assert_uint_eq(otp_hook_ring_drain(take, &seen), 0);
}
END_TEST

START_TEST(in_order) {
    struct seen seen = {.count = 0};
    ck_assert_int_eq(otp_hook_ring_make(), 0);
    for (int round = 0; round < 3; round++) {
        seen.count = 0;
        for (uint64_t i = 0; i < 100; i++) {
            uint64_t *buffer = otp_hook_ring_take(i % 3 ? OTP_HOOK_SMALL : OTP_HOOK_LARGE);
            *buffer = i;
            otp_hook_ring_put(buffer, 8);
            if (i % 10 == 0)
                ck_assert_int_eq(otp_hook_ring_make(), 0);
        }
        ck_assert_uint_eq(otp_hook_ring_drain(take, &seen), 100);
        for (uint64_t i = 0; i < 100; i++)
            ck_assert_uint_eq(seen.values[i], i);
    }
}
END_TEST

START_TEST(all_in_use) {
    static void *held[MANY];
    struct seen seen = {.count = 0};
    size_t count[OTP_HOOK_SIZES] = {0}, all = 0;
    ck_assert_int_eq(otp_hook_ring_make(), 0);
    for (int size = 0; size < OTP_HOOK_SIZES; size++) {
        for (void *buffer; (buffer = otp_hook_ring_take((enum otp_hook_size)size)); count[size]++) {
            memset(buffer, 0xaa, otp_hook_ring_room((enum otp_hook_size)size));
            held[all++] = buffer;
        }
    }
    ck_assert_uint_gt(count[OTP_HOOK_SMALL], 500);
    ck_assert_uint_gt(count[OTP_HOOK_LARGE], 20);
    for (size_t i = 0; i < all; i++) {
        if (i % 2)
            otp_hook_ring_drop(held[i]);
        else
            otp_hook_ring_put(held[i], 8);
    }
    ck_assert_uint_eq(otp_hook_ring_drain(take, &seen), (all + 1) / 2);
    for (int size = 0; size < OTP_HOOK_SIZES; size++) {
        size_t again = 0;
        while (otp_hook_ring_take((enum otp_hook_size)size))
            again++;
        ck_assert_uint_eq(again, count[size]);
    }
}
END_TEST

#define THREADS 4
#define RECORDS 100000

static _Atomic int at_work = THREADS;

static void *produce(void *argument) {
    uint64_t number = (uint64_t)(uintptr_t)argument;
    for (uint64_t i = 0; i < RECORDS; i++) {
        uint64_t *buffer;
        while (!(buffer = otp_hook_ring_take(i % 20 ? OTP_HOOK_SMALL : OTP_HOOK_LARGE)))
            sched_yield();
        buffer[0] = number << 32 | i;
        buffer[1] = ~buffer[0];
        if (i % 7)
            otp_hook_ring_put(buffer, 16);
        else
            otp_hook_ring_drop(buffer);
    }
    atomic_fetch_sub(&at_work, 1);
    return NULL;
}

static uint64_t last[THREADS], received;

static void check(void *user, const void *record, size_t size) {
    uint64_t values[2];
    (void)user;
    ck_assert_uint_eq(size, 16);
    memcpy(values, record, 16);
    ck_assert_uint_eq(values[1], ~values[0]);
    uint64_t thread = values[0] >> 32, number = values[0] & 0xffffffff;
    ck_assert_uint_lt(thread, THREADS);
    ck_assert(number > last[thread] || !last[thread]);
    last[thread] = number;
    received++;
}

/* Each thread's records come in the order in which it made them, whole, and none is lost. */
START_TEST(threads) {
    pthread_t ids[THREADS];
    uint64_t dropped = (uint64_t)THREADS * ((RECORDS + 6) / 7);
    ck_assert_int_eq(otp_hook_ring_make(), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, produce, (void *)(uintptr_t)i), 0);
    while (atomic_load(&at_work))
        otp_hook_ring_drain(check, NULL);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    otp_hook_ring_drain(check, NULL);
    uint64_t made = (uint64_t)THREADS * RECORDS;
    ck_assert_uint_eq(received, made - dropped);
}
END_TEST

START_TEST(a_child_has_none) {
    struct seen seen = {.count = 0};
    int status;
    ck_assert_int_eq(otp_hook_ring_make(), 0);
    uint64_t *buffer = otp_hook_ring_take(OTP_HOOK_SMALL);
    *buffer = 1;
    otp_hook_ring_put(buffer, 8);
    pid_t child = fork();
    if (!child) {
        bool good = !otp_hook_ring_take(OTP_HOOK_SMALL) && otp_hook_ring_drain(take, &seen) == 0 &&
                    otp_hook_ring_make() == 0 && otp_hook_ring_take(OTP_HOOK_SMALL);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(otp_hook_ring_drain(take, &seen), 1);
}
END_TEST

OTP_TEST_MAIN("hook_ring", 120, before_it_is_made, in_order, all_in_use, threads, a_child_has_none)

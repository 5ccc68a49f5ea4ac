// SPDX-License-Identifier: Apache-2.0
/* What the profiler thread keeps of locks: names, where each was waited for first, waits that look for their end. */
#include "core/lock_book.h"
#include "core/lock_names.h"
#include "core/lock_pairs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_main.h"

#define SECOND 1000000000u

START_TEST(names) {
    char name[OTP_LOCK_NAME_MAX + 1], text[100];
    otp_lock_names_get(77, name);
    ck_assert_str_eq(name, "");
    for (uint64_t i = 1; i <= OTP_LOCK_NAMES_MAX; i++) {
        snprintf(text, sizeof(text), "lock %d", (int)i);
        ck_assert(otp_lock_names_set(i * 64, text));
    }
    ck_assert(!otp_lock_names_set(1, "one too many"));
    ck_assert(otp_lock_names_set(64, "renamed"));
    otp_lock_names_get(64, name);
    ck_assert_str_eq(name, "renamed");
    for (uint64_t i = 2; i <= OTP_LOCK_NAMES_MAX; i += 2)
        ck_assert(otp_lock_names_set(i * 64, i % 4 ? NULL : ""));
    otp_lock_names_get(128, name);
    ck_assert_str_eq(name, "");
    for (uint64_t i = 3; i <= OTP_LOCK_NAMES_MAX; i += 2) { /* behind those that went */
        otp_lock_names_get(i * 64, name);
        snprintf(text, sizeof(text), "lock %d", (int)i);
        ck_assert_str_eq(name, text);
    }
    for (uint64_t i = 0; i < 10000; i++) { /* coming and going for ever */
        ck_assert(otp_lock_names_set(1000000 + i, "x"));
        ck_assert(otp_lock_names_set(1000000 + i, NULL));
    }
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    text[61] = '\xc3'; /* a character that would be cut in two, and bytes that are none */
    text[62] = '\xa4';
    ck_assert(otp_lock_names_set(1, text));
    otp_lock_names_get(1, name);
    ck_assert_uint_le(strlen(name), OTP_LOCK_NAME_MAX);
    ck_assert(otp_lock_names_set(2, "\xff"));
    otp_lock_names_get(2, name);
    ck_assert_str_eq(name, "\xef\xbf\xbd");
}
END_TEST

static void *rename_for_ever(void *stop) {
    for (uint64_t i = 0; !atomic_load((_Atomic bool *)stop); i++)
        otp_lock_names_set(64 + i % 8 * 64,
                           i % 3 ? "a name that takes a while to copy, as long as a name may be at most" : NULL);
    return NULL;
}

/* Names are given before the profiler starts too, and so are children born. */
START_TEST(names_across_forks) {
    _Atomic bool stop = false;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, rename_for_ever, (void *)&stop), 0);
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0) {
            char name[OTP_LOCK_NAME_MAX + 1];
            alarm(20);
            otp_lock_names_get(128, name);
            _exit(!otp_lock_names_set(4096, "child's"));
        }
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(first_sites) {
    struct otp_lock_book *book = otp_lock_book_new();
    ck_assert_ptr_null(otp_lock_book_find(book, 5));
    ck_assert_uint_eq(otp_lock_book_waited(book, 5, 100)->site, 100);
    ck_assert_uint_eq(otp_lock_book_waited(book, 5, 200)->site, 100);
    uint32_t told = 0, kept = 0;
    for (uint64_t lock = 1; lock <= 3000; lock++) {
        const struct otp_lock_entry *entry = otp_lock_book_waited(book, lock * 16, lock);
        kept += entry != NULL;
        told += entry && entry->told;
    }
    ck_assert_uint_eq(kept, 1023);
    ck_assert_uint_eq(told, 63); /* and the first lock: 64 addresses a window */
    for (int i = 0; i < 6; i++) {
        otp_lock_book_end_window(book);
        ck_assert_uint_eq(otp_lock_book_waited(book, 5, 300)->site, 100);
        ck_assert(otp_lock_book_waited(book, 5, 300)->told);
    }
    ck_assert_ptr_nonnull(otp_lock_book_find(book, 16));
    otp_lock_book_end_window(book);
    ck_assert_ptr_null(otp_lock_book_find(book, 16)); /* nobody has waited for it in a while */
    ck_assert_uint_eq(otp_lock_book_waited(book, 16, 7)->site, 7);
    otp_lock_book_free(book);
}
END_TEST

static struct {
    unsigned count;
    double delay;
    char first[8];
    size_t size;
} paired;

static void on_pair(void *user, const void *record, size_t size, const struct otp_lock_credit *credit) {
    ck_assert_ptr_eq(user, &paired);
    paired.count++;
    paired.delay += credit->delay_ns;
    paired.size = size;
    memcpy(paired.first, record, sizeof(paired.first));
}

static void wait_for(struct otp_lock_pairs *pairs, uint64_t release, uint64_t now) {
    const struct otp_lock_credit credit = {release, 2, 10};
    otp_lock_pairs_wait(pairs, &credit, now, on_pair, &paired);
}

static void release(struct otp_lock_pairs *pairs, uint64_t number, uint64_t now) {
    otp_lock_pairs_release(pairs, number, "release", 8, now, on_pair, &paired);
}

START_TEST(either_order) {
    struct otp_lock_pairs *pairs = otp_lock_pairs_new();
    release(pairs, 2, SECOND);
    wait_for(pairs, 2, SECOND);
    wait_for(pairs, 2, SECOND); /* of readers, one release ends the waits of many */
    ck_assert_uint_eq(paired.count, 2);
    ck_assert_str_eq(paired.first, "release");
    wait_for(pairs, 4, SECOND);
    wait_for(pairs, 4, SECOND);
    wait_for(pairs, 6, SECOND);
    release(pairs, 4, SECOND);
    ck_assert_uint_eq(paired.count, 4);
    ck_assert(paired.delay > 39.9 && paired.delay < 40.1);
    wait_for(pairs, 4, SECOND);
    ck_assert_uint_eq(paired.count, 5);
    ck_assert_uint_eq(otp_lock_pairs_give_up(pairs, SECOND), 0);
    ck_assert_uint_eq(otp_lock_pairs_give_up(pairs, SECOND + 1), 1); /* the one for 6 */
    release(pairs, 6, 2 * SECOND);
    wait_for(pairs, 2, 2 * SECOND); /* given up with its time */
    ck_assert_uint_eq(paired.count, 5);
    ck_assert_uint_eq(otp_lock_pairs_give_up(pairs, UINT64_MAX), 1);
    otp_lock_pairs_free(pairs);
}
END_TEST

START_TEST(more_than_there_is_room_for) {
    struct otp_lock_pairs *pairs = otp_lock_pairs_new();
    static char large[5000];
    for (uint64_t i = 1; i <= 5000; i++) {
        otp_lock_pairs_release(pairs, i * 2, large, sizeof(large), i, on_pair, &paired);
        wait_for(pairs, (i + 100000) * 2, i);
    }
    ck_assert_uint_eq(otp_lock_pairs_crowded_out(pairs), 5000 - 1024);
    wait_for(pairs, 2, 1); /* the oldest have gone */
    ck_assert_uint_eq(paired.count, 0);
    wait_for(pairs, 10000, 1);
    ck_assert_uint_eq(paired.count, 1);
    ck_assert_uint_eq(paired.size, sizeof(large));
    otp_lock_pairs_free(pairs);
}
END_TEST

OTP_TEST_MAIN("lock_keeping", 60, names, names_across_forks, first_sites, either_order, more_than_there_is_room_for)

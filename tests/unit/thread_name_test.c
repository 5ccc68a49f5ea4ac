// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "context_fixture.h"

static void kernel_name(char name[17]) {
    memset(name, 0, 17);
    ck_assert_int_eq(prctl(PR_GET_NAME, name), 0);
}

static void expect(const char *full, const char *kernel) {
    char name[17];
    char found[64];
    kernel_name(name);
    ck_assert_str_eq(name, kernel);
    ck_assert_uint_eq(otp_context_thread_name((uint32_t)gettid(), name, found, sizeof(found)), strlen(full));
    ck_assert_str_eq(found, full);
}

START_TEST(names_before_any_start) {
    ck_assert_int_eq(otelprof_thread_name(NULL), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_thread_name(""), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_thread_name("short"), 0);
    expect("short", "short");
    ck_assert_int_eq(otelprof_thread_name("a rather long name of a worker"), 0);
    expect("a rather long name of a worker", "a rather long n");
    ck_assert_int_eq(otelprof_thread_name("short again"), 0);
    expect("short again", "short again");
    ck_assert_int_eq(otelprof_thread_name("fourteen bytes\xc3\xa9 and more"), 0);
    expect("fourteen bytes\xc3\xa9 and more", "fourteen bytes"); /* no half characters */
    ck_assert_int_eq(otelprof_thread_name("bad \xff byte"), 0);
    expect("bad \xef\xbf\xbd byte", "bad \xef\xbf\xbd byte");
}
END_TEST

START_TEST(long_names_are_cut_at_63_bytes) {
    char name[100];
    char found[64];
    char kernel[17];
    memset(name, 'x', sizeof(name));
    name[99] = 0;
    ck_assert_int_eq(otelprof_thread_name(name), 0);
    kernel_name(kernel);
    ck_assert_uint_eq(otp_context_thread_name((uint32_t)gettid(), kernel, found, sizeof(found)), 63);
    ck_assert_uint_eq(otp_context_thread_name((uint32_t)gettid(), kernel, found, 63), 0); /* no room */
}
END_TEST

START_TEST(a_name_given_by_other_means_wins) {
    char found[64];
    ck_assert_int_eq(otelprof_thread_name("a rather long name of a worker"), 0);
    ck_assert_uint_eq(otp_context_thread_name((uint32_t)gettid(), "other", found, sizeof(found)), 0);
    ck_assert_uint_eq(otp_context_thread_name((uint32_t)gettid() + 1, "a rather long n", found, sizeof(found)), 0);
    ck_assert_uint_eq(otp_context_thread_name(0, "", found, sizeof(found)), 0);
}
END_TEST

static void *named(void *argument) {
    char name[64];
    uintptr_t number = (uintptr_t)argument;
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "worker-%04zu of the pool, round %d", (size_t)number % 10000, i);
        ck_assert_int_eq(otelprof_thread_name(name), 0);
    }
    return (void *)(uintptr_t)gettid();
}

static _Atomic bool done;

static void *look(void *argument) {
    (void)argument;
    while (!atomic_load(&done)) {
        uint32_t base = (uint32_t)getpid();
        for (uint32_t tid = base; tid < base + 4000; tid++) {
            char found[64];
            if (otp_context_thread_name(tid, "worker-0001 of ", found, sizeof(found)))
                ck_assert_int_eq(strncmp(found, "worker-0001 of the pool, round ", 31), 0);
        }
    }
    return NULL;
}

START_TEST(names_of_many_threads_come_and_go) {
    pthread_t looking;
    ck_assert_int_eq(pthread_create(&looking, NULL, look, NULL), 0);
    for (uintptr_t i = 0; i < 4000; i++) {
        pthread_t thread;
        void *tid;
        ck_assert_int_eq(pthread_create(&thread, NULL, named, (void *)(i % 3)), 0);
        pthread_join(thread, &tid);
        /* The last samples of a thread are read after it has ended. */
        char found[64];
        char kernel[17];
        snprintf(kernel, sizeof(kernel), "worker-%04zu of ", (size_t)(i % 3));
        ck_assert_uint_gt(otp_context_thread_name((uint32_t)(uintptr_t)tid, kernel, found, sizeof(found)), 0);
        ck_assert_str_eq(found + 15, "the pool, round 49");
    }
    atomic_store(&done, true);
    pthread_join(looking, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("thread_name");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, names_before_any_start);
    tcase_add_test(all, long_names_are_cut_at_63_bytes);
    tcase_add_test(all, a_name_given_by_other_means_wins);
    tcase_add_test(all, names_of_many_threads_come_and_go);
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

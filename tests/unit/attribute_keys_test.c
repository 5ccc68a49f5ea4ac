// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"
#include "context/attribute_keys.h"
#include "context_fixture.h"

/* Each test is a process of its own (Check forks), so the table is empty at its start. */

START_TEST(numbers_in_order_and_for_ever) {
    ck_assert_uint_eq(otp_attribute_keys_count(), 0);
    for (int i = 0; i < OTP_ATTRIBUTE_KEYS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "key.%d", i);
        ck_assert_int_eq(otelprof_attribute_key(name), i);
        ck_assert_uint_eq(otp_attribute_keys_count(), (unsigned)i + 1);
    }
    ck_assert_int_eq(otelprof_attribute_key("one too many"), OTELPROF_E_LIMIT);
    ck_assert_str_ne(otelprof_last_error(), "");
    for (int i = 0; i < OTP_ATTRIBUTE_KEYS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "key.%d", i);
        ck_assert_int_eq(otelprof_attribute_key(name), i);
        ck_assert_str_eq(otp_attribute_key_name((uint32_t)i), name);
    }
    ck_assert_ptr_null(otp_attribute_key_name(OTP_ATTRIBUTE_KEYS_MAX));
}
END_TEST

START_TEST(refuses_names_without_meaning) {
    char longest[OTP_ATTRIBUTE_NAME_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[OTP_ATTRIBUTE_NAME_MAX + 1] = 0;
    ck_assert_int_eq(otelprof_attribute_key(NULL), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_attribute_key(""), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_attribute_key(longest), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_attribute_key("bad\xff"), OTELPROF_E_INVALID);
    longest[OTP_ATTRIBUTE_NAME_MAX] = 0;
    ck_assert_int_eq(otelprof_attribute_key(longest), 0);
    ck_assert_int_eq(otelprof_attribute_key("gr\xc3\xb6\xc3\x9f"
                                            "e"),
                     1);
    ck_assert_uint_eq(otp_attribute_keys_count(), 2);
}
END_TEST

START_TEST(allow_list_holds_for_old_and_new_keys) {
    int route = otelprof_attribute_key("http.route");
    int user = otelprof_attribute_key("user.id");
    ck_assert(otp_attribute_key_allowed((uint32_t)user));
    ck_assert_int_eq(otp_attribute_keys_allow(" http.route ,\tuser.tier,"), 0);
    ck_assert(otp_attribute_key_allowed((uint32_t)route));
    ck_assert(!otp_attribute_key_allowed((uint32_t)user));
    ck_assert(otp_attribute_key_allowed((uint32_t)otelprof_attribute_key("user.tier")));
    ck_assert(!otp_attribute_key_allowed((uint32_t)otelprof_attribute_key("user")));
    ck_assert(!otp_attribute_key_allowed((uint32_t)otelprof_attribute_key("http.route.x")));
    ck_assert_int_eq(otp_attribute_keys_allow(NULL), 0);
    ck_assert(otp_attribute_key_allowed((uint32_t)user));
    ck_assert(!otp_attribute_key_allowed(200));
}
END_TEST

#define THREADS 16
static pthread_barrier_t barrier;

static void *add_keys(void *argument) {
    int *numbers = argument;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof(name), "shared.%d", (i * 37) % 100);
        numbers[(i * 37) % 100] = otelprof_attribute_key(name);
    }
    return NULL;
}

START_TEST(threads_agree_on_numbers) {
    static int numbers[THREADS][100];
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&threads[t], NULL, add_keys, numbers[t]), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    ck_assert_uint_eq(otp_attribute_keys_count(), 100);
    for (int t = 1; t < THREADS; t++)
        ck_assert_mem_eq(numbers[t], numbers[0], sizeof(numbers[0]));
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
static void *no_memory(size_t size) {
    (void)size;
    return NULL;
}

START_TEST(out_of_memory_changes_nothing) {
    otp_sys.malloc = no_memory;
    ck_assert_int_eq(otelprof_attribute_key("a"), OTELPROF_E_MEMORY);
    ck_assert_int_eq(otp_attribute_keys_allow("b"), OTELPROF_E_MEMORY);
    ck_assert_uint_eq(otp_attribute_keys_count(), 0);
    otp_sys.malloc = otp_sys_real.malloc;
    ck_assert_int_eq(otelprof_attribute_key("a"), 0);
    ck_assert(otp_attribute_key_allowed(0));
}
END_TEST
#endif

int main(void) {
    Suite *suite = suite_create("attribute_keys");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, numbers_in_order_and_for_ever);
    tcase_add_test(all, refuses_names_without_meaning);
    tcase_add_test(all, allow_list_holds_for_old_and_new_keys);
    tcase_add_test(all, threads_agree_on_numbers);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_test(all, out_of_memory_changes_nothing);
#endif
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

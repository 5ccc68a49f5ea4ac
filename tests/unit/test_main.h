// SPDX-License-Identifier: Apache-2.0
/* The main function of a program with one test case. */
#ifndef OTP_TEST_MAIN_H
#define OTP_TEST_MAIN_H

#include <check.h>
#include <stdlib.h>

static inline int otp_test_main(const char *name, double timeout_s, const TTest *const *tests, size_t count) {
    Suite *suite = suite_create(name);
    TCase *group = tcase_create(name);
    tcase_set_timeout(group, timeout_s);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define OTP_TEST_MAIN(name, timeout_s, ...)                                                                            \
    int main(void) {                                                                                                   \
        const TTest *const tests[] = {__VA_ARGS__};                                                                    \
        return otp_test_main(name, timeout_s, tests, sizeof(tests) / sizeof(tests[0]));                                \
    }

#endif

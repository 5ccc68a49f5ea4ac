// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "context_fixture.h"

static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static int parse(const char *text, size_t length) {
    /* A copy of just these bytes, so that AddressSanitizer sees a read past them. */
    char *copy = malloc(length ? length : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, length);
    uint8_t trace[16];
    uint8_t span[8];
    uint8_t flags = 0x55;
    memset(trace, 0x55, sizeof(trace));
    memset(span, 0x55, sizeof(span));
    int result = otelprof_traceparent_parse(copy, length, trace, span, &flags);
    free(copy);
    if (result) {
        ck_assert_int_eq(result, OTELPROF_E_INVALID);
        for (int i = 0; i < 16; i++)
            ck_assert_uint_eq(trace[i], 0x55);
        for (int i = 0; i < 8; i++)
            ck_assert_uint_eq(span[i], 0x55);
        ck_assert_uint_eq(flags, 0x55);
    }
    return result;
}

START_TEST(parses_the_example) {
    uint8_t trace[16];
    uint8_t span[8];
    uint8_t flags;
    ck_assert_int_eq(otelprof_traceparent_parse(good, sizeof(good) - 1, trace, span, &flags), 0);
    ck_assert_uint_eq(trace[0], 0x4b);
    ck_assert_uint_eq(trace[15], 0x36);
    ck_assert_uint_eq(span[0], 0x00);
    ck_assert_uint_eq(span[7], 0xb7);
    ck_assert_uint_eq(flags, 1);
    char again[OTELPROF_TRACEPARENT_SIZE];
    ck_assert_int_eq(otelprof_traceparent_format(trace, span, flags, again), 0);
    ck_assert_str_eq(again, good);
}
END_TEST

static const struct {
    const char *text;
    int result;
    uint8_t flags;
} cases[] = {
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", 0, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", 0, 3},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", 0, 3}, /* unknown bits are ignored */
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ", -1, 0},
    {"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", -1, 0},
    {"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0, 1},
    {"fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-may-come", 0, 1},
    {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", 0, 1},
    {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", -1, 0},
    {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", -1, 0},
    {"0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01xx", -1, 0},
    {".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", -1, 0},
    {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01", -1, 0},
    {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", -1, 0},
    {"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", -1, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g", -1, 0},
    {"", -1, 0},
};

START_TEST(follows_the_table) {
    const char *text = cases[_i].text;
    int result = parse(text, strlen(text));
    ck_assert_msg((result == 0) == (cases[_i].result == 0), "%s: %d", text, result);
    if (result)
        return;
    uint8_t trace[16];
    uint8_t span[8];
    uint8_t flags;
    ck_assert_int_eq(otelprof_traceparent_parse(text, strlen(text), trace, span, &flags), 0);
    ck_assert_uint_eq(flags, cases[_i].flags);
}
END_TEST

START_TEST(every_prefix_is_refused) {
    for (size_t length = 0; length < sizeof(good) - 1; length++)
        ck_assert_int_eq(parse(good, length), OTELPROF_E_INVALID);
}
END_TEST

START_TEST(every_wrong_byte_is_refused) {
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        char text[sizeof(good)];
        memcpy(text, good, sizeof(good));
        text[at] = 'X';
        ck_assert_int_eq(parse(text, sizeof(good) - 1), OTELPROF_E_INVALID);
        text[at] = '\0';
        ck_assert_int_eq(parse(text, sizeof(good) - 1), OTELPROF_E_INVALID);
    }
}
END_TEST

START_TEST(refuses_null_and_zero_ids) {
    uint8_t trace[16] = {0};
    uint8_t span[8] = {0};
    uint8_t flags;
    char out[OTELPROF_TRACEPARENT_SIZE] = "untouched";
    ck_assert_int_eq(otelprof_traceparent_parse(NULL, 55, trace, span, &flags), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_parse(good, 55, NULL, span, &flags), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_parse(good, 55, trace, NULL, &flags), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_parse(good, 55, trace, span, NULL), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_format(trace, SPAN_1, 1, out), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_format(TRACE_A, span, 1, out), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_traceparent_format(NULL, SPAN_1, 1, out), OTELPROF_E_INVALID);
    ck_assert_str_eq(out, "untouched");
    ck_assert_int_eq(otelprof_traceparent_format(TRACE_A, SPAN_1, 0xff, out), 0);
    ck_assert_str_eq(out + 52, "-03");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("traceparent");
    TCase *all = tcase_create("all");
    tcase_add_test(all, parses_the_example);
    tcase_add_loop_test(all, follows_the_table, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(all, every_prefix_is_refused);
    tcase_add_test(all, every_wrong_byte_is_refused);
    tcase_add_test(all, refuses_null_and_zero_ids);
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

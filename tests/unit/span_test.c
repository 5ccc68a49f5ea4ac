// SPDX-License-Identifier: Apache-2.0
/* Span calls on one thread, seen through the shared memory as the programs and outside readers see it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/sys.h"
#include "context/attribute_keys.h"
#include "context/thread.h"
#include "context_fixture.h"

static struct otp_context_memory memory;

static void check_span(const uint8_t trace_id[16], const uint8_t span_id[8]) {
    const struct otp_thread_record *record = fixture_record(&memory);
    ck_assert_ptr_nonnull(record);
    ck_assert_mem_eq(record->trace_id, trace_id, 16);
    ck_assert_mem_eq(record->span_id, span_id, 8);
    ck_assert_ptr_eq(otel_thread_ctx_v1, record);
}

static void check_no_span(void) {
    ck_assert_ptr_null(fixture_record(&memory));
    ck_assert_ptr_null(otel_thread_ctx_v1);
}

static void check_value(int key, const char *expected) {
    char value[256];
    const struct otp_thread_record *record = fixture_record(&memory);
    ck_assert_ptr_nonnull(record);
    int length = fixture_value(record, key, value);
    if (!expected) {
        ck_assert_int_eq(length, -1);
        return;
    }
    ck_assert_int_eq(length, (int)strlen(expected));
    ck_assert_str_eq(value, expected);
}

START_TEST(before_start_nothing_happens) {
    struct otelprof_span_token token = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_uint_eq(token.place, 0);
    ck_assert_uint_eq(token.serial, 0);
    ck_assert_int_eq(otelprof_span_exit(token), OTELPROF_E_ORDER);
    ck_assert_int_eq(otelprof_span_attribute("a", "b"), OTELPROF_E_STATE);
    struct otelprof_context context;
    memset(&context, 0xff, sizeof(context));
    otelprof_context_capture(&context);
    ck_assert_uint_eq(context.opaque[0], 0);
    token = otelprof_context_attach(&context);
    ck_assert_uint_eq(token.serial, 0);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
    ck_assert_uint_eq(fixture_stats().threads_without_slot, 0);
}
END_TEST

START_TEST(nesting_restores_the_outer_span) {
    memory = fixture_start(16);
    errno = 12345;
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, OTELPROF_FLAG_SAMPLED);
    check_span(TRACE_A, SPAN_1);
    ck_assert_uint_eq(fixture_record(&memory)->trace_flags, OTELPROF_FLAG_SAMPLED);
    struct otelprof_span_token two = otelprof_span_enter(TRACE_A, SPAN_2, 3);
    check_span(TRACE_A, SPAN_2);
    struct otelprof_span_token three = otelprof_span_enter(TRACE_B, SPAN_3, 0);
    check_span(TRACE_B, SPAN_3);
    ck_assert_uint_eq(fixture_record(&memory)->trace_flags, 0);
    ck_assert_int_eq(otelprof_span_exit(three), 0);
    check_span(TRACE_A, SPAN_2);
    ck_assert_uint_eq(fixture_record(&memory)->trace_flags, 3);
    ck_assert_int_eq(otelprof_span_exit(two), 0);
    check_span(TRACE_A, SPAN_1);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
    check_no_span();
    ck_assert_int_eq(errno, 12345);
    ck_assert_uint_eq(memory.control->registrations, 1);
    ck_assert_uint_eq(fixture_stats().threads_registered, 1);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
}
END_TEST

START_TEST(wrong_order_and_twice) {
    memory = fixture_start(16);
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    struct otelprof_span_token two = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    struct otelprof_span_token three = otelprof_span_enter(TRACE_A, SPAN_3, 1);
    ck_assert_int_eq(otelprof_span_exit(two), 0); /* ends three too */
    check_span(TRACE_A, SPAN_1);
    ck_assert_int_eq(otelprof_span_exit(three), OTELPROF_E_ORDER);
    ck_assert_int_eq(otelprof_span_exit(two), OTELPROF_E_ORDER);
    check_span(TRACE_A, SPAN_1);
    struct otelprof_span_token again = otelprof_span_enter(TRACE_B, SPAN_2, 1);
    ck_assert_int_eq(otelprof_span_exit(two), OTELPROF_E_ORDER); /* same depth, another span */
    check_span(TRACE_B, SPAN_2);
    ck_assert_int_eq(otelprof_span_exit(again), 0);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
    ck_assert_int_eq(otelprof_span_exit(one), OTELPROF_E_ORDER);
    struct otelprof_span_token forged = {one.place & ~(uint64_t)0xff, one.serial + 5};
    ck_assert_int_eq(otelprof_span_exit(forged), OTELPROF_E_ORDER);
    check_no_span();
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 5);
    ck_assert_str_ne(otelprof_last_error(), "");
}
END_TEST

START_TEST(invalid_ids) {
    memory = fixture_start(16);
    const uint8_t zero[16] = {0};
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_uint_eq(otelprof_span_enter(NULL, SPAN_1, 1).serial, 0);
    ck_assert_uint_eq(otelprof_span_enter(TRACE_A, NULL, 1).serial, 0);
    ck_assert_uint_eq(otelprof_span_enter(zero, SPAN_1, 1).serial, 0);
    struct otelprof_span_token none = otelprof_span_enter(TRACE_A, zero, 1);
    check_span(TRACE_A, SPAN_1);
    ck_assert_int_eq(otelprof_span_exit(none), OTELPROF_E_ORDER);
    ck_assert_uint_eq(fixture_stats().spans_invalid, 4);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

START_TEST(too_deep_is_counted_and_harmless) {
    memory = fixture_start(16);
    struct otelprof_span_token tokens[40];
    for (int i = 0; i < 40; i++) {
        uint8_t span[8] = {(uint8_t)(i + 1)};
        tokens[i] = otelprof_span_enter(TRACE_A, span, 1);
    }
    ck_assert_uint_eq(fixture_stats().spans_too_deep, 8);
    ck_assert_uint_eq(fixture_record(&memory)->span_id[0], 32);
    for (int i = 39; i >= 32; i--)
        ck_assert_int_eq(otelprof_span_exit(tokens[i]), OTELPROF_E_ORDER);
    for (int i = 31; i >= 0; i--) {
        ck_assert_uint_eq(fixture_record(&memory)->span_id[0], (unsigned)i + 1);
        ck_assert_int_eq(otelprof_span_exit(tokens[i]), 0);
    }
    check_no_span();
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
}
END_TEST

START_TEST(attributes_are_inherited_and_overridden) {
    memory = fixture_start(16);
    int route = otelprof_attribute_key("http.route");
    int user = otelprof_attribute_key("user.tier");
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("http.route", "/a"), 0);
    check_value(route, "/a");
    struct otelprof_span_token two = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    check_value(route, "/a");
    check_value(user, NULL);
    ck_assert_int_eq(otelprof_span_attribute_key(route, "/b", 2), 0);
    ck_assert_int_eq(otelprof_span_attribute_key(user, "gold", 4), 0);
    check_value(route, "/b");
    check_value(user, "gold");
    struct otelprof_span_token three = otelprof_span_enter(TRACE_A, SPAN_3, 1);
    check_value(route, "/b");
    check_value(user, "gold");
    ck_assert_int_eq(otelprof_span_attribute("user.tier", ""), 0);
    check_value(user, "");
    ck_assert_int_eq(otelprof_span_exit(three), 0);
    check_value(user, "gold");
    ck_assert_int_eq(otelprof_span_exit(two), 0);
    check_span(TRACE_A, SPAN_1);
    check_value(route, "/a");
    check_value(user, NULL);
    two = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    ck_assert_int_eq(otelprof_span_attribute("user.tier", "silver"), 0);
    three = otelprof_span_enter(TRACE_A, SPAN_3, 1);
    check_value(user, "silver");
    ck_assert_int_eq(otelprof_span_exit(one), 0);
    check_no_span();
    one = otelprof_span_enter(TRACE_B, SPAN_1, 1);
    check_value(route, NULL);
    check_value(user, NULL);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

/* The model: the attribute string a correct implementation has, kept by plain copies at each level. */
START_TEST(random_walk_equals_the_model) {
    memory = fixture_start(16);
    struct {
        uint8_t span;
        char values[4][32];
    } model[33];
    struct otelprof_span_token tokens[33];
    memset(model, 0, sizeof(model));
    int keys[4];
    for (int k = 0; k < 4; k++) {
        char name[8] = {'k', (char)('0' + k), 0};
        keys[k] = otelprof_attribute_key(name);
    }
    uint32_t random = 1u + (uint32_t)_i;
    int depth = 0;
    for (int step = 0; step < 5000; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t choice = random >> 24;
        if (choice < 90 && depth < 32) {
            uint8_t span[8] = {(uint8_t)(random >> 8 | 1)};
            tokens[depth + 1] = otelprof_span_enter(TRACE_A, span, 1);
            model[depth + 1] = model[depth];
            model[++depth].span = span[0];
        } else if (choice < 180 && depth > 0) {
            int to = choice < 100 ? (int)((random >> 8) % (unsigned)depth) : depth - 1;
            ck_assert_int_eq(otelprof_span_exit(tokens[to + 1]), 0);
            depth = to;
        } else if (depth > 0 && fixture_record(&memory)->attrs_size < 200) {
            int k = (int)(random >> 8) & 3;
            snprintf(model[depth].values[k], sizeof(model[depth].values[k]), "%x", random >> (random & 15));
            ck_assert_int_eq(
                otelprof_span_attribute_key(keys[k], model[depth].values[k], strlen(model[depth].values[k])), 0);
        }
        if (depth == 0) {
            check_no_span();
            continue;
        }
        ck_assert_uint_eq(fixture_record(&memory)->span_id[0], model[depth].span);
        for (int k = 0; k < 4; k++)
            check_value(keys[k], model[depth].values[k][0] ? model[depth].values[k] : NULL);
    }
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
}
END_TEST

START_TEST(attribute_errors_and_limits) {
    memory = fixture_start(16);
    int key = otelprof_attribute_key("k");
    ck_assert_int_eq(otelprof_span_attribute_key(key, "x", 1), OTELPROF_E_STATE);
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute_key(-1, "x", 1), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_span_attribute_key(77, "x", 1), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_span_attribute_key(256, "x", 1), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_span_attribute_key(key, NULL, 1), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_span_attribute("k", NULL), OTELPROF_E_INVALID);
    ck_assert_int_eq(otelprof_span_attribute(NULL, "v"), OTELPROF_E_INVALID);
    ck_assert_uint_eq(fixture_stats().attributes_dropped, 0);

    char value[220];
    memset(value, 'v', sizeof(value));
    ck_assert_int_eq(otelprof_span_attribute_key(key, value, 201), 0);
    ck_assert_uint_eq(fixture_stats().attributes_cut, 1);
    ck_assert_uint_eq(fixture_record(&memory)->attrs[1], 200);
    int other = otelprof_attribute_key("other");
    ck_assert_int_eq(otelprof_span_attribute_key(other, value, 24), 0); /* 202 + 26 = 228: full */
    ck_assert_uint_eq(fixture_record(&memory)->attrs_size, OTP_RECORD_ATTRS_MAX);
    ck_assert_int_eq(otelprof_span_attribute("third", ""), OTELPROF_E_LIMIT);
    ck_assert_uint_eq(fixture_stats().attributes_dropped, 1);
    ck_assert_int_eq(otelprof_span_attribute("k", "short"), 0); /* its own old value makes room */
    check_value(key, "short");
    ck_assert_uint_eq(fixture_record(&memory)->attrs_size, 26 + 7);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(otelprof_span_attribute("k", "again and again"), 0);
    check_value(key, "again and again");
    ck_assert_uint_eq(fixture_stats().attributes_dropped, 1);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
    check_no_span();
}
END_TEST

START_TEST(making_room_keeps_what_outer_spans_have) {
    memory = fixture_start(16);
    int key = otelprof_attribute_key("k");
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("k", "outer"), 0);
    struct otelprof_span_token two = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(otelprof_span_attribute("k", "inner value of some length"), 0);
    check_value(key, "inner value of some length");
    struct otelprof_span_token three = otelprof_span_enter(TRACE_A, SPAN_3, 1);
    check_value(key, "inner value of some length");
    ck_assert_int_eq(otelprof_span_exit(three), 0);
    check_value(key, "inner value of some length");
    ck_assert_int_eq(otelprof_span_exit(two), 0);
    check_value(key, "outer");
    check_span(TRACE_A, SPAN_1);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

START_TEST(values_are_cut_at_a_character_and_cleaned) {
    memory = fixture_start(16);
    int key = otelprof_attribute_key("k");
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    char value[256];
    for (int lead = 196; lead <= 200; lead++) {
        memset(value, 'a', (size_t)lead);
        memcpy(value + lead, "\xf0\x9f\x98\x80", 5);
        ck_assert_int_eq(otelprof_span_attribute("k", value), 0);
        char found[256];
        int length = fixture_value(fixture_record(&memory), key, found);
        ck_assert_int_eq(length, lead == 196 ? 200 : lead);
        ck_assert_mem_eq(found, value, (size_t)length);
    }
    ck_assert_uint_eq(fixture_stats().attributes_cut, 4);
    ck_assert_int_eq(otelprof_span_attribute("k", "a\xff"
                                                  "b"),
                     0);
    check_value(key, "a\xef\xbf\xbd"
                     "b");
    memset(value, 0xff, 200); /* grows when cleaned */
    ck_assert_int_eq(otelprof_span_attribute_key(key, value, 200), 0);
    char found[256];
    ck_assert_int_eq(fixture_value(fixture_record(&memory), key, found), 198);
    ck_assert_uint_eq(fixture_stats().attributes_cut, 5);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

START_TEST(keys_off_the_allow_list_are_dropped_silently) {
    memory = fixture_start(16);
    ck_assert_int_eq(otp_attribute_keys_allow("http.route"), 0);
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("user.email", "secret"), 0);
    ck_assert_int_eq(otelprof_span_attribute("http.route", "/x"), 0);
    ck_assert_uint_eq(fixture_record(&memory)->attrs_size, 4);
    ck_assert_uint_eq(fixture_stats().attributes_dropped, 0);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

START_TEST(no_room_for_a_key_is_counted) {
    memory = fixture_start(16);
    for (int i = 0; i < 256; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        ck_assert_int_eq(otelprof_attribute_key(name), i);
    }
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("k256", "v"), OTELPROF_E_LIMIT);
    ck_assert_uint_eq(fixture_stats().attributes_dropped, 1);
    ck_assert_int_eq(otelprof_span_attribute("k255", "v"), 0);
    check_value(255, "v");
    ck_assert_int_eq(otelprof_span_exit(one), 0);
}
END_TEST

START_TEST(stop_and_restart_make_tokens_stale) {
    memory = fixture_start(16);
    struct otelprof_span_token old = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    otp_context_stop();
    ck_assert_uint_eq(otelprof_span_enter(TRACE_A, SPAN_2, 1).serial, 0);
    ck_assert_ptr_null(otel_thread_ctx_v1);
    ck_assert_int_eq(otelprof_span_exit(old), OTELPROF_E_ORDER);
    ck_assert_int_eq(otelprof_span_attribute("a", "b"), OTELPROF_E_STATE);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 1);
    struct otp_context_memory before = memory;
    memory = _i == 0 ? fixture_memory(16) : _i == 1 ? before : fixture_memory(32);
    ck_assert_int_eq(otp_context_start(&memory), 0);
    ck_assert_ptr_null(fixture_slot(&memory, (uint32_t)gettid()));
    ck_assert_int_eq(otelprof_span_exit(old), OTELPROF_E_ORDER);
    struct otelprof_span_token fresh = otelprof_span_enter(TRACE_B, SPAN_2, 1);
    check_span(TRACE_B, SPAN_2);
    ck_assert_int_eq(otelprof_span_exit(old), OTELPROF_E_ORDER);
    check_span(TRACE_B, SPAN_2);
    ck_assert_int_eq(otelprof_span_exit(fresh), 0);
    check_no_span();
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 3);
}
END_TEST

START_TEST(many_restarts) {
    struct otp_context_memory first = fixture_memory(16);
    ck_assert_int_eq(otp_fork_guard_arm(), 0);
    for (int i = 0; i < 500; i++) {
        memory = first;
        ck_assert_int_eq(otp_context_start(&memory), 0);
        struct otelprof_span_token token = otelprof_span_enter(TRACE_A, SPAN_1, 1);
        check_span(TRACE_A, SPAN_1);
        if (i % 3)
            ck_assert_int_eq(otelprof_span_exit(token), 0);
        otp_context_stop();
    }
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
}
END_TEST

START_TEST(start_refuses_memory_without_sense) {
    memory = fixture_memory(16);
    ck_assert_int_eq(otp_context_start(&memory), OTELPROF_E_STATE); /* guard not armed */
    ck_assert_int_eq(otp_fork_guard_arm(), 0);
    struct otp_context_memory wrong = memory;
    wrong.index_size = 16;
    ck_assert_int_eq(otp_context_start(&wrong), OTELPROF_E_INVALID);
    wrong.index_size = 48;
    ck_assert_int_eq(otp_context_start(&wrong), OTELPROF_E_INVALID);
    wrong = memory;
    wrong.slots = NULL;
    ck_assert_int_eq(otp_context_start(&wrong), OTELPROF_E_INVALID);
    ck_assert_uint_eq(otelprof_span_enter(TRACE_A, SPAN_1, 1).serial, 0);
}
END_TEST

START_TEST(generation_never_is_zero) {
    memory = fixture_start(1);
    struct otelprof_span_token outer = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    /* 2^31 pairs take too long here: the entry is moved close to the step over 0, keeping the valid record. */
    struct otp_thread *self = otp_thread_self;
    self->generation = (self->generation | UINT32_MAX) - 6 - (~self->generation & 1);
    memory.slots[0].generation = (uint32_t)self->generation;
    check_span(TRACE_A, SPAN_1);
    uint32_t before = memory.slots[0].generation;
    for (int i = 0; i < 20; i++) {
        struct otelprof_span_token token = otelprof_span_enter(TRACE_B, SPAN_2, 1);
        ck_assert_uint_ne(memory.slots[0].generation, 0);
        check_span(TRACE_B, SPAN_2);
        ck_assert_int_eq(otelprof_span_exit(token), 0);
        ck_assert_uint_ne(memory.slots[0].generation, 0);
        check_span(TRACE_A, SPAN_1);
    }
    ck_assert_uint_lt(memory.slots[0].generation, before); /* it did go over the top */
    ck_assert_int_eq(otelprof_span_exit(outer), 0);
    check_no_span();
}
END_TEST

/* ------------------------------------------------------------------- contexts that are taken along */

static struct otelprof_context carried;
static struct otelprof_span_token foreign_token;

static void *other_thread(void *argument) {
    (void)argument;
    int key = otelprof_attribute_key("http.route");
    check_no_span();
    ck_assert_int_eq(otelprof_span_exit(foreign_token), OTELPROF_E_ORDER);
    struct otelprof_span_token own = otelprof_span_enter(TRACE_B, SPAN_3, 0);
    ck_assert_int_eq(otelprof_span_attribute("own", "1"), 0);
    struct otelprof_span_token token = otelprof_context_attach(&carried);
    check_span(TRACE_A, SPAN_1);
    ck_assert_uint_eq(fixture_record(&memory)->trace_flags, 3);
    check_value(key, "/a");
    check_value(otelprof_attribute_key("own"), NULL);
    struct otelprof_span_token inner = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    check_value(key, "/a");
    ck_assert_int_eq(otelprof_span_attribute("http.route", "/inner"), 0);
    ck_assert_int_eq(otelprof_span_exit(inner), 0);
    check_value(key, "/a");
    ck_assert_int_eq(otelprof_context_detach(token), 0);
    check_span(TRACE_B, SPAN_3);
    check_value(otelprof_attribute_key("own"), "1");
    check_value(key, NULL);
    ck_assert_int_eq(otelprof_context_detach(token), OTELPROF_E_ORDER);
    ck_assert_int_eq(otelprof_span_exit(own), 0);
    check_no_span();
    return NULL;
}

START_TEST(a_context_goes_to_another_thread) {
    memory = fixture_start(16);
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 3);
    ck_assert_int_eq(otelprof_span_attribute("http.route", "/a"), 0);
    otelprof_context_capture(&carried);
    foreign_token = one;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, NULL);
    check_span(TRACE_A, SPAN_1);
    ck_assert_int_eq(otelprof_span_exit(one), 0);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 2);
}
END_TEST

START_TEST(attached_contexts_nest_and_restore) {
    memory = fixture_start(16);
    int key = otelprof_attribute_key("level");
    struct otelprof_context contexts[10];
    struct otelprof_context empty;
    otelprof_context_capture(&empty);
    for (int i = 0; i < 10; i++) {
        uint8_t span[8] = {(uint8_t)(100 + i)};
        char value[8] = {(char)('a' + i), 0};
        struct otelprof_span_token token = otelprof_span_enter(TRACE_B, span, 1);
        ck_assert_int_eq(otelprof_span_attribute("level", value), 0);
        otelprof_context_capture(&contexts[i]);
        ck_assert_int_eq(otelprof_span_exit(token), 0);
    }
    struct otelprof_span_token base = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("level", "base"), 0);
    struct otelprof_span_token tokens[10];
    for (int i = 0; i < 10; i++)
        tokens[i] = otelprof_context_attach(&contexts[i]);
    ck_assert_uint_eq(tokens[8].serial, 0);
    ck_assert_uint_eq(tokens[9].serial, 0);
    ck_assert_uint_eq(fixture_stats().spans_too_deep, 2);
    check_value(key, "h");
    ck_assert_int_eq(otelprof_context_detach(tokens[7]), 0);
    check_value(key, "g");
    ck_assert_int_eq(otelprof_context_detach(tokens[2]), 0); /* ends five at once */
    check_value(key, "b");
    struct otelprof_span_token nothing = otelprof_context_attach(&empty);
    check_no_span();
    ck_assert_int_eq(otelprof_span_attribute("level", "x"), OTELPROF_E_STATE);
    struct otelprof_span_token inside = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    check_value(key, NULL);
    ck_assert_int_eq(otelprof_span_exit(inside), 0);
    check_no_span();
    ck_assert_int_eq(otelprof_context_detach(nothing), 0);
    check_value(key, "b");
    ck_assert_int_eq(otelprof_context_detach(tokens[0]), 0);
    check_value(key, "base");
    check_span(TRACE_A, SPAN_1);
    tokens[0] = otelprof_context_attach(&contexts[3]);
    for (int i = 0; i < 100; i++) /* makes room in the attached attributes, not in those below */
        ck_assert_int_eq(otelprof_span_attribute("level", "a value of some length"), 0);
    check_value(key, "a value of some length");
    ck_assert_int_eq(otelprof_span_exit(base), 0); /* ends the attached one too */
    check_no_span();
    ck_assert_int_eq(otelprof_context_detach(tokens[0]), OTELPROF_E_ORDER);
}
END_TEST

START_TEST(a_context_that_was_never_captured) {
    memory = fixture_start(16);
    struct otelprof_context garbage;
    memset(&garbage, 0xa5, sizeof(garbage));
    ck_assert_uint_eq(otelprof_context_attach(&garbage).serial, 0);
    ck_assert_uint_eq(otelprof_context_attach(NULL).serial, 0);
    otelprof_context_capture(NULL);
    ck_assert_uint_eq(fixture_stats().spans_invalid, 2);
    check_no_span();
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
static int calls_left;

static void *failing_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    if (calls_left-- == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return otp_sys_real.mmap(address, length, protection, flags, fd, offset);
}

static int failing_madvise(void *address, size_t length, int advice) {
    if (calls_left-- == 0) {
        errno = EINVAL;
        return -1;
    }
    return otp_sys_real.madvise(address, length, advice);
}

START_TEST(start_survives_each_failure) {
    memory = fixture_memory(16);
    ck_assert_int_eq(otp_fork_guard_arm(), 0);
    for (int call = 0; call < 2; call++) {
        calls_left = call;
        if (_i == 0)
            otp_sys.mmap = failing_mmap;
        else
            otp_sys.madvise = failing_madvise;
        ck_assert_int_eq(otp_context_start(&memory), OTELPROF_E_MEMORY);
        otp_sys.mmap = otp_sys_real.mmap;
        otp_sys.madvise = otp_sys_real.madvise;
        ck_assert_uint_eq(otelprof_span_enter(TRACE_A, SPAN_1, 1).serial, 0);
    }
    ck_assert_int_eq(otp_context_start(&memory), 0);
    ck_assert_uint_ne(otelprof_span_enter(TRACE_A, SPAN_1, 1).serial, 0);
    check_span(TRACE_A, SPAN_1);
}
END_TEST
#endif

int main(void) {
    Suite *suite = suite_create("span");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, before_start_nothing_happens);
    tcase_add_test(all, nesting_restores_the_outer_span);
    tcase_add_test(all, wrong_order_and_twice);
    tcase_add_test(all, invalid_ids);
    tcase_add_test(all, too_deep_is_counted_and_harmless);
    tcase_add_test(all, attributes_are_inherited_and_overridden);
    tcase_add_loop_test(all, random_walk_equals_the_model, 0, 8);
    tcase_add_test(all, attribute_errors_and_limits);
    tcase_add_test(all, making_room_keeps_what_outer_spans_have);
    tcase_add_test(all, values_are_cut_at_a_character_and_cleaned);
    tcase_add_test(all, keys_off_the_allow_list_are_dropped_silently);
    tcase_add_test(all, no_room_for_a_key_is_counted);
    tcase_add_loop_test(all, stop_and_restart_make_tokens_stale, 0, 3);
    tcase_add_test(all, many_restarts);
    tcase_add_test(all, start_refuses_memory_without_sense);
    tcase_add_test(all, generation_never_is_zero);
    tcase_add_test(all, a_context_goes_to_another_thread);
    tcase_add_test(all, attached_contexts_nest_and_restore);
    tcase_add_test(all, a_context_that_was_never_captured);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_loop_test(all, start_survives_each_failure, 0, 2);
#endif
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

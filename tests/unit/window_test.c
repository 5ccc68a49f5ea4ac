// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>

#include "base/sys.h"
#include "base/utf8.h"
#include "failing_calls.h"
#include "profile/counters.h"
#include "profile_fixture.h"

#define KB ((size_t)1 << 10)

static const struct otp_frame_ref three[] = {
    {.address = 0x1010, .mapping = 0}, {.address = 0x1020, .mapping = 0}, {.address = 0x2030, .mapping = 1}};

START_TEST(equal_samples_are_one_group) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_sample sample = fixture_sample(three, 3);
    for (uint64_t i = 0; i < 5000; i++) {
        sample.time_unix_ns = START_NS + i;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
    }
    sample.cpu = 4;
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
    ck_assert_uint_eq(otp_window_group_count(window), 2);
    ck_assert_uint_eq(otp_window_stack_count(window), 1);
    ck_assert_uint_eq(otp_window_group_at(window, 0).events, 5000);
    ck_assert_double_eq(otp_window_group_at(window, 0).value, 5000);
    struct otp_timestamps at = otp_window_timestamps(window, 0);
    uint64_t times[777], expected = START_NS;
    for (uint32_t taken; (taken = otp_timestamps_take(&at, times, 777));)
        for (uint32_t i = 0; i < taken; i++)
            ck_assert_uint_eq(times[i], expected++);
    ck_assert_uint_eq(expected, START_NS + 5000);
    otp_window_free(window);
}
END_TEST

START_TEST(detail_decides_what_tells_samples_apart) {
    static const struct {
        enum otelprof_detail detail;
        uint32_t groups;
        bool timed, thread;
    } rows[] = {{OTELPROF_DETAIL_FULL, 4, true, true},
                {OTELPROF_DETAIL_NAMED, 1, true, false},
                {OTELPROF_DETAIL_MERGED, 1, false, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct otp_window *window = fixture_mapped_window(rows[i].detail, 0);
        struct otp_sample sample = fixture_sample(three, 3);
        for (uint32_t j = 0; j < 4; j++) {
            sample.tid = 10 + j;
            otp_window_add(window, &sample);
        }
        uint64_t time;
        struct otp_timestamps at = otp_window_timestamps(window, 0);
        ck_assert_uint_eq(otp_window_group_count(window), rows[i].groups);
        ck_assert_uint_eq(otp_timestamps_take(&at, &time, 1), rows[i].timed);
        ck_assert_int_eq(fixture_attribute(window, 0, "thread.id") != NULL, rows[i].thread);
        ck_assert_int_eq(fixture_attribute(window, 0, "cpu.logical_number") != NULL, rows[i].thread);
        ck_assert_str_eq(fixture_attribute(window, 0, "thread.name"), "worker");
        ck_assert_double_eq(otp_window_group_at(window, 0).value, 4.0 / rows[i].groups);
        otp_window_free(window);
    }
}
END_TEST

START_TEST(span_becomes_link_and_attributes) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_sample sample = fixture_sample(three, 3);
    struct otp_thread_record record = fixture_record(7, "/users/{id}");
    sample.context = &record;
    sample.context_size = sizeof(record);
    otp_window_add(window, &sample);
    struct otp_sample_group group = otp_window_group_at(window, 0);
    ck_assert_uint_eq(group.link, 0);
    ck_assert_mem_eq(otp_window_link_at(window, 0)->trace_id, record.trace_id, 16);
    ck_assert_mem_eq(otp_window_link_at(window, 0)->span_id, record.span_id, 8);
    ck_assert_str_eq(fixture_attribute(window, 0, "http.route"), "/users/{id}");
    ck_assert_str_eq(fixture_attribute(window, 0, "thread.id"), "42");
    ck_assert_str_eq(fixture_attribute(window, 0, "cpu.logical_number"), "3");
    ck_assert_ptr_null(fixture_attribute(window, 0, "otelprof.stack.stop"));

    record.valid = 0;
    otp_window_add(window, &sample);
    ck_assert_uint_eq(otp_window_group_at(window, 1).link, OTP_NO_LINK);
    ck_assert_ptr_null(fixture_attribute(window, 1, "http.route"));

    record = fixture_record(0, "/static"); /* attributes without ids */
    otp_window_add(window, &sample);
    ck_assert_uint_eq(otp_window_group_at(window, 2).link, OTP_NO_LINK);
    ck_assert_str_eq(fixture_attribute(window, 2, "http.route"), "/static");
    otp_window_free(window);
}
END_TEST

START_TEST(hostile_attribute_bytes) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *route; /* what http.route is then */
    } rows[] = {
        {"\0\3abc\0\2xy", 9, "xy"},                                        /* the last of a key counts */
        {"\0\3abc\7\2xy", 9, "abc"},                                       /* unknown key: left out */
        {"\0\3abc\0\4xy", 9, "abc"},                                       /* does not fit: the end */
        {"\0\3abc\0", 6, "abc"},                                           /* half an entry */
        {"\0\0", 2, ""},                                                   /* empty value */
        {"\0\3a\xff\xc0", 5, "a\xef\xbf\xbd\xef\xbf\xbd"},                 /* no UTF-8 */
        {"\0\4\xed\xa0\x80z", 6, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"}, /* a surrogate */
        {"\0\2\xe2\x82", 4, "\xef\xbf\xbd\xef\xbf\xbd"},                   /* cut within a character */
        {"", 0, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
        struct otp_sample sample = fixture_sample(three, 3);
        struct otp_thread_record record = fixture_record(1, NULL);
        memcpy(record.attrs, rows[i].bytes, rows[i].size);
        record.attrs_size = (uint16_t)rows[i].size;
        sample.context = &record;
        sample.context_size = OTP_RECORD_HEADER + rows[i].size;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
        const char *route = fixture_attribute(window, 0, "http.route");
        ck_assert_msg(rows[i].route ? route && !strcmp(route, rows[i].route) : !route, "row %zu: %s", i,
                      route ? route : "none");
        otp_window_free(window);
    }
}
END_TEST

START_TEST(record_sizes_that_lie) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_thread_record record = fixture_record(1, "/a");
    struct otp_sample sample = fixture_sample(three, 3);
    for (size_t size = 0; size <= sizeof(record); size++) {
        char *copy = malloc(size ? size : 1); /* the sanitizer sees reads past it */
        memcpy(copy, &record, size);
        if (size >= OTP_RECORD_HEADER)
            memset(copy + 26, 0xff, 2); /* attrs_size far too large */
        sample.context = copy;
        sample.context_size = size;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
        free(copy);
    }
    ck_assert_uint_eq(otp_window_counts(window)->samples, sizeof(record) + 1);
    otp_window_free(window);
}
END_TEST

START_TEST(a_full_record_of_entries) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_thread_record record = fixture_record(1, NULL);
    struct otp_sample sample = fixture_sample(three, 3);
    for (int i = 0; i < OTP_RECORD_ATTRS_MAX; i += 2)
        record.attrs[i] = (uint8_t)(i / 2 % 3); /* empty values, three keys over and over */
    record.attrs_size = OTP_RECORD_ATTRS_MAX;
    sample.context = &record;
    sample.context_size = sizeof(record);
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
    uint32_t count;
    otp_window_attribute_set_at(window, 0, &count);
    ck_assert_uint_eq(count, 5); /* route, user, and ours: the thread's name wins over the record's */
    ck_assert_str_eq(fixture_attribute(window, 0, "thread.name"), "worker");
    otp_window_free(window);
}
END_TEST

START_TEST(stops_and_thread_names) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_sample sample = fixture_sample(three, 3);
    sample.stop = OTP_STOP_READ_FAULT;
    sample.thread_name = "bad\xfe";
    otp_window_add(window, &sample);
    ck_assert_str_eq(fixture_attribute(window, 0, "otelprof.stack.stop"), "read_fault");
    ck_assert_str_eq(fixture_attribute(window, 0, "thread.name"), "bad\xef\xbf\xbd");
    sample.stop = 200;
    sample.thread_name = NULL;
    sample.tid = 0;
    otp_window_add(window, &sample);
    ck_assert_str_eq(fixture_attribute(window, 1, "otelprof.stack.stop"), "unknown");
    ck_assert_ptr_null(fixture_attribute(window, 1, "thread.name"));
    ck_assert_ptr_null(fixture_attribute(window, 1, "thread.id"));
    otp_window_free(window);
}
END_TEST

START_TEST(frames_of_all_kinds) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref deep[OTP_SAMPLE_FRAMES_MAX + 5];
    memset(deep, 0x55, sizeof(deep)); /* padding must not matter */
    for (uint32_t i = 0; i < OTP_SAMPLE_FRAMES_MAX + 5; i++) {
        deep[i].address = 0x1000;
        deep[i].mapping = i % 2 ? 0 : 99; /* 99 is no mapping */
        deep[i].kind = i % 2 ? OTP_FRAME_KERNEL : OTP_FRAME_UNKNOWN;
    }
    struct otp_sample sample = fixture_sample(deep, OTP_SAMPLE_FRAMES_MAX + 5);
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
    ck_assert_uint_eq(otp_window_frame_count(window), 3); /* two and the marker */
    uint32_t count;
    const uint32_t *frames = otp_window_stack_at(window, 0, &count);
    ck_assert_uint_eq(count, OTP_SAMPLE_FRAMES_MAX);
    ck_assert_int_eq(otp_window_frame_at(window, frames[count - 1])->kind, OTP_FRAME_TRUNCATED);
    ck_assert_uint_eq(otp_window_frame_at(window, frames[0])->mapping, OTP_NO_MAPPING);
    sample.frame_count = 0;
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
    otp_window_stack_at(window, 1, &count);
    ck_assert_uint_eq(count, 0);
    otp_window_free(window);
}
END_TEST

START_TEST(mappings_are_kept_once) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    for (uint32_t i = 0; i < 300; i++)
        ck_assert_uint_eq(fixture_mapping(window, 3 + i % 100, "/lib/x.so"), 2 + i % 100);
    ck_assert_uint_eq(fixture_mapping(window, 1, "/bin/other"), 0);
    ck_assert_str_eq(otp_window_mapping_at(window, 0)->path, "/bin/one");
    ck_assert_uint_eq(otp_window_mapping_at(window, 50)->start, 0x1000 * 51);
    ck_assert_uint_eq(otp_window_mapping_count(window), 102);
    otp_window_free(window);
}
END_TEST

/* One group's timestamps take memory evenly, so that each step is seen by itself. */
static void fill(struct otp_window *window, const struct otp_sample *sample, size_t bytes) {
    while (otp_window_size(window) < bytes)
        ck_assert_int_eq(otp_window_add(window, sample), 0);
}

START_TEST(memory_steps) {
    const size_t limit = 2000 * KB;
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, limit);
    struct otp_thread_record record = fixture_record(1, "/a");
    struct otp_sample filler = fixture_sample(three, 3), sample = filler;
    const struct otp_window_counts *counts = otp_window_counts(window);
    sample.context = &record;
    sample.context_size = sizeof(record);

    fill(window, &filler, limit / 2);
    ck_assert_uint_eq(counts->detail_lowered, 0);
    otp_window_add(window, &sample);
    uint32_t group = otp_window_group_count(window) - 1;
    ck_assert_ptr_nonnull(fixture_attribute(window, group, "thread.id"));

    fill(window, &filler, limit * 65 / 100);
    uint64_t lowered = counts->detail_lowered;
    otp_window_add(window, &sample);
    group = otp_window_group_count(window) - 1;
    ck_assert_uint_eq(counts->detail_lowered, lowered + 1);
    ck_assert_ptr_null(fixture_attribute(window, group, "thread.id"));
    ck_assert_ptr_null(fixture_attribute(window, group, "cpu.logical_number"));
    ck_assert_str_eq(fixture_attribute(window, group, "thread.name"), "worker");
    ck_assert_uint_ne(otp_window_group_at(window, group).link, OTP_NO_LINK);

    fill(window, &filler, limit * 85 / 100);
    otp_window_add(window, &sample);
    group = otp_window_group_count(window) - 1;
    ck_assert_uint_eq(otp_window_group_at(window, group).link, OTP_NO_LINK);
    ck_assert_str_eq(fixture_attribute(window, group, "http.route"), "/a");
    ck_assert_uint_eq(counts->stacks_cut, 0);

    fill(window, &filler, limit * 95 / 100);
    uint64_t cut = counts->stacks_cut, lost = counts->lost_memory;
    otp_window_add(window, &sample);
    group = otp_window_group_count(window) - 1;
    uint32_t frame_count;
    const uint32_t *frames = otp_window_stack_at(window, otp_window_group_at(window, group).stack, &frame_count);
    ck_assert_uint_eq(counts->stacks_cut, cut + 1);
    ck_assert_uint_eq(frame_count, 2);
    ck_assert_uint_eq(otp_window_frame_at(window, frames[0])->address, three[0].address);
    ck_assert_int_eq(otp_window_frame_at(window, frames[1])->kind, OTP_FRAME_TRUNCATED);
    ck_assert_uint_eq(lost, 0);
    ck_assert_uint_le(otp_window_size(window), limit + KB);
    otp_window_free(window);
}
END_TEST

/* Samples that are all different: whatever the tables do near the limit, each sample is kept or counted. */
START_TEST(different_samples_at_the_limit) {
    const size_t limit = 2000 * KB;
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, limit);
    const uint64_t added = 60000;
    for (uint64_t i = 1; i <= added; i++) {
        struct otp_frame_ref frames[] = {{.address = 0x1010 + i % 7}, {.address = i}, {.address = i + 1}};
        struct otp_thread_record record = fixture_record(i, "/a");
        struct otp_sample sample = fixture_sample(frames, 3);
        sample.context = &record;
        sample.context_size = sizeof(record);
        sample.tid = (uint32_t)i;
        otp_window_add(window, &sample);
        ck_assert_uint_le(otp_window_size(window), limit + KB);
    }
    const struct otp_window_counts *counts = otp_window_counts(window);
    ck_assert_uint_eq(counts->samples + counts->lost_memory, added);
    ck_assert_uint_gt(counts->stacks_cut, 0);
    ck_assert_uint_ge(counts->detail_lowered, counts->stacks_cut);
    uint64_t events = 0;
    for (uint32_t i = 0; i < otp_window_group_count(window); i++)
        events += otp_window_group_at(window, i).events;
    ck_assert_uint_eq(events, counts->samples);
    otp_window_free(window);
}
END_TEST

START_TEST(full_memory_loses_samples_and_counts_them) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 128 * KB);
    struct otp_sample sample = fixture_sample(three, 3);
    uint64_t lost = 0;
    for (uint32_t i = 0; i < 50000; i++)
        lost += otp_window_add(window, &sample) == OTELPROF_E_MEMORY;
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_eq(otp_window_counts(window)->lost_memory, lost);
    ck_assert_uint_eq(otp_window_counts(window)->samples, 50000 - lost);
    uint64_t events = 0;
    for (uint32_t i = 0; i < otp_window_group_count(window); i++)
        events += otp_window_group_at(window, i).events;
    ck_assert_uint_eq(events, 50000 - lost);
    otp_window_free(window);
}
END_TEST

/* ---- the heap's kinds: two groups from each sample */

static void expect_group(const struct otp_window *window, uint32_t number, enum otp_profile_kind type, uint64_t events,
                         double value) {
    ck_assert_uint_lt(number, otp_window_group_count(window));
    struct otp_sample_group group = otp_window_group_at(window, number);
    ck_assert_int_eq(group.type, type);
    ck_assert_uint_eq(group.events, events);
    ck_assert_double_eq_tol(group.value, value, 1e-9);
}

START_TEST(a_heap_sample_makes_two_groups) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_thread_record record = fixture_record(7, "/a");
    for (int i = 0; i < 3; i++) {
        struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_ALLOC_OBJECTS, three, 3, 1.25, 4096.5);
        sample.context = &record;
        sample.context_size = sizeof(record);
        sample.tid = 10 + (uint32_t)i; /* does not tell them apart */
        sample.cpu = (uint32_t)i;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
    }
    ck_assert_uint_eq(otp_window_group_count(window), 2);
    expect_group(window, 0, OTP_PROFILE_ALLOC_OBJECTS, 3, 3.75);
    expect_group(window, 1, OTP_PROFILE_ALLOC_SPACE, 0, 12289.5);
    struct otp_sample_group group = otp_window_group_at(window, 0), twin = otp_window_group_at(window, 1);
    ck_assert_uint_eq(group.stack, twin.stack);
    ck_assert_uint_eq(group.attribute_set, twin.attribute_set);
    ck_assert_uint_eq(group.link, twin.link);
    ck_assert_uint_ne(group.link, OTP_NO_LINK);
    ck_assert_str_eq(fixture_attribute(window, 0, "http.route"), "/a");
    ck_assert_str_eq(fixture_attribute(window, 0, "thread.name"), "worker");
    ck_assert_ptr_null(fixture_attribute(window, 0, "thread.id"));
    ck_assert_ptr_null(fixture_attribute(window, 0, "cpu.logical_number"));
    ck_assert_ptr_null(fixture_attribute(window, 0, "otelprof.heap.age"));
    ck_assert_ptr_null(otp_window_timestamps(window, 0).chunk);
    ck_assert_ptr_null(otp_window_timestamps(window, 1).chunk);
    ck_assert_uint_eq(otp_window_counts(window)->samples, 3);
    ck_assert_uint_eq(otp_window_counts(window)->states, 0);
    otp_window_free(window);
}
END_TEST

START_TEST(a_state_is_no_event) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_MERGED, 0);
    static const char *const ages[] = {"1m-10m", "", NULL, "1m-10m"};
    for (size_t i = 0; i < 4; i++) {
        struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_INUSE_OBJECTS, three, 3, 2, 100);
        const struct otp_extra age = {.key = "otelprof.heap.age", .text = ages[i]};
        sample.extras = &age;
        sample.extra_count = ages[i] != NULL;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
    }
    struct otp_sample sample = fixture_sample(three, 3); /* CPU time beside it: equal in all but the type */
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
    ck_assert_uint_eq(otp_window_group_count(window), 5);
    expect_group(window, 0, OTP_PROFILE_INUSE_OBJECTS, 0, 4);
    expect_group(window, 1, OTP_PROFILE_INUSE_SPACE, 0, 200);
    expect_group(window, 2, OTP_PROFILE_INUSE_OBJECTS, 0, 4);
    expect_group(window, 3, OTP_PROFILE_INUSE_SPACE, 0, 200);
    expect_group(window, 4, OTP_PROFILE_CPU, 1, 1);
    ck_assert_str_eq(fixture_attribute(window, 0, "otelprof.heap.age"), "1m-10m");
    ck_assert_str_eq(fixture_attribute(window, 1, "otelprof.heap.age"), "1m-10m");
    ck_assert_ptr_null(fixture_attribute(window, 2, "otelprof.heap.age"));
    const struct otp_window_counts *counts = otp_window_counts(window);
    ck_assert_uint_eq(counts->states, 4);
    ck_assert_uint_eq(counts->samples, 1);
    otp_window_free(window);
}
END_TEST

START_TEST(types_and_their_twins) {
    for (int i = 0; i < OTP_PROFILE_KINDS; i++) {
        const struct otp_profile_type *type = &otp_profile_types[i], *twin = &otp_profile_types[type->twin];
        ck_assert_int_eq(twin->twin, type->twin); /* a twin has none of its own */
        ck_assert_int_eq(twin->no_events, type->no_events);
        ck_assert_str_eq(twin->period_name, type->period_name);
        ck_assert_str_eq(twin->period_unit, type->period_unit);
        ck_assert(type == twin || (type->always_merged && twin->always_merged && !type->counts && !twin->counts));
    }
}
END_TEST

/* What a sample of the heap has not, it does not lose; its link and its stack it does. */
START_TEST(heap_samples_in_scarce_memory) {
    static const struct {
        size_t percent;
        uint64_t lowered, cut;
    } rows[] = {{50, 0, 0}, {65, 0, 0}, {85, 1, 0}, {95, 1, 1}};
    const size_t limit = 2000 * KB;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, limit);
        struct otp_thread_record record = fixture_record(1, "/a");
        struct otp_sample filler = fixture_sample(three, 3);
        struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_INUSE_OBJECTS, three, 3, 1, 10);
        sample.context = &record;
        sample.context_size = sizeof(record);
        fill(window, &filler, limit * rows[i].percent / 100);
        struct otp_window_counts before = *otp_window_counts(window), after;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
        after = *otp_window_counts(window);
        ck_assert_uint_eq(after.detail_lowered - before.detail_lowered, rows[i].lowered);
        ck_assert_uint_eq(after.stacks_cut - before.stacks_cut, rows[i].cut);
        ck_assert_uint_eq(after.states, 1);
        ck_assert_uint_eq(after.samples, before.samples);
        otp_window_free(window);
    }
}
END_TEST

/* The twin's value is three times the first group's, for each pair: none has taken a sample alone. */
static void expect_pairs(const struct otp_window *window, double *sum, uint32_t *half_made) {
    uint32_t count = otp_window_group_count(window);
    double values[2] = {0, 0};
    *half_made = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct otp_sample_group group = otp_window_group_at(window, i), next = {.type = OTP_PROFILE_KINDS};
        values[group.type != otp_profile_types[group.type].twin ? 0 : 1] += group.value;
        if (group.type == otp_profile_types[group.type].twin)
            continue;
        if (i + 1 < count) /* they are made one after the other */
            next = otp_window_group_at(window, i + 1);
        if (next.type == otp_profile_types[group.type].twin) {
            ck_assert_uint_eq(next.stack, group.stack);
            ck_assert_uint_eq(next.attribute_set, group.attribute_set);
            ck_assert_double_eq(next.value, 3 * group.value);
        } else {
            ck_assert_double_eq(group.value, 0);
            ck_assert_uint_eq(group.events, 0);
            ++*half_made;
        }
    }
    ck_assert_double_eq(values[1], 3 * values[0]);
    *sum = values[0];
}

/* Adds `added` different samples, and expects that each is in both groups or counted as lost. */
static uint32_t add_different_pairs(struct otp_window *window, enum otp_profile_kind type, uint64_t added) {
    for (uint64_t i = 0; i < added; i++) {
        struct otp_frame_ref frames[] = {{.address = 0x1010 + i}};
        struct otp_sample sample = fixture_heap_sample(type, frames, 1, 0.5, 1.5);
        otp_window_add(window, &sample);
    }
    const struct otp_window_counts *counts = otp_window_counts(window);
    bool no_events = otp_profile_types[type].no_events;
    uint64_t kept = no_events ? counts->states : counts->samples;
    ck_assert_uint_eq(kept + (no_events ? counts->states_lost : counts->lost_memory), added);
    ck_assert_uint_eq(no_events ? counts->samples + counts->lost_memory : counts->states + counts->states_lost, 0);
    double sum;
    uint32_t half_made;
    expect_pairs(window, &sum, &half_made);
    ck_assert_double_eq(sum, (double)kept / 2);
    return half_made;
}

START_TEST(memory_ends_between_twins) {
    static const enum otp_profile_kind types[] = {OTP_PROFILE_ALLOC_OBJECTS, OTP_PROFILE_INUSE_OBJECTS};
    static char path[4000];
    uint32_t half_made = 0;
    memset(path, 'p', sizeof(path) - 1);
    for (size_t limit = 64 * KB; limit <= 1024 * KB; limit += 64 * KB)
        for (size_t i = 0; i < 40; i++) { /* paths of other lengths: the end comes at another place */
            struct otp_window_config config = fixture_config(OTELPROF_DETAIL_FULL, limit);
            struct otp_window *window = otp_window_new(&config, START_NS);
            if (!window)
                continue;
            fixture_mapping(window, 1, path + i * 99);
            half_made += add_different_pairs(window, types[i % 2], limit / 128);
            otp_window_free(window);
        }
    ck_assert_uint_gt(half_made, 0); /* it did end there */
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
START_TEST(allocations_fail_between_twins) {
    bool made = false;
    for (int n = 0; n < 60 && !made; n++) {
        failing_calls_after(n);
        struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
        if (window)
            add_different_pairs(window, OTP_PROFILE_ALLOC_OBJECTS, 2000);
        made = failing_calls_end();
        otp_window_free(window);
    }
    ck_assert(made);
}
END_TEST

START_TEST(each_allocation_fails_once) {
    bool made = false;
    for (int n = 0; n < 40 && !made; n++) {
        failing_calls_after(n);
        struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
        for (uint32_t i = 0; window && i < 2000; i++) {
            struct otp_frame_ref frames[] = {{.address = i, .mapping = fixture_mapping(window, i, "/x")}};
            struct otp_sample sample = fixture_sample(frames, 1);
            otp_window_add(window, &sample);
        }
        made = failing_calls_end();
        if (window)
            ck_assert_uint_eq(otp_window_counts(window)->samples + otp_window_counts(window)->lost_memory, 2000);
        otp_window_free(window);
    }
    ck_assert(made);
}
END_TEST
#endif

START_TEST(times_hold_all_timestamps) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    otp_window_close(window, START_NS, NULL);
    ck_assert_uint_eq(otp_window_start(window), START_NS);
    ck_assert_uint_eq(otp_window_end(window), START_NS + 1);
    struct otp_sample sample = fixture_sample(three, 3);
    sample.time_unix_ns = START_NS - 5;
    otp_window_add(window, &sample);
    sample.time_unix_ns = START_NS + 2 * SECOND_NS;
    otp_window_add(window, &sample);
    sample.time_unix_ns = 0; /* the start */
    otp_window_add(window, &sample);
    otp_window_close(window, START_NS + SECOND_NS, NULL);
    ck_assert_uint_eq(otp_window_start(window), START_NS - 5);
    ck_assert_uint_eq(otp_window_end(window), START_NS + 2 * SECOND_NS + 1);
    otp_window_free(window);
}
END_TEST

START_TEST(counters_add_and_subtract) {
    struct otelprof_stats before = {.samples_fired = 5, .lost_memory = 2}, now = before, delta, sum = {0};
    now.samples_fired = 15;
    now.stack_stops[OTELPROF_STOP_NO_ROWS] = 3;
    now.modules_uncovered = 1;
    before.modules_uncovered = 4; /* fell: never a huge number */
    otp_counters_delta(&delta, &now, &before);
    ck_assert_uint_eq(delta.samples_fired, 10);
    ck_assert_uint_eq(delta.lost_memory, 0);
    ck_assert_uint_eq(delta.modules_uncovered, 0);
    otp_counters_add(&sum, &delta);
    otp_counters_add(&sum, &delta);
    ck_assert_uint_eq(sum.samples_fired, 20);
    ck_assert_uint_eq(sum.stack_stops[OTELPROF_STOP_NO_ROWS], 6);
    for (size_t i = 0; i < otp_counters_count; i++)
        for (size_t j = 0; j < i; j++) {
            ck_assert_uint_ne(otp_counters[i].offset, otp_counters[j].offset);
            ck_assert_str_ne(otp_counters[i].name, otp_counters[j].name);
        }
}
END_TEST

START_TEST(utf8_is_cut_at_characters) {
    char to[8];
    ck_assert_uint_eq(otp_utf8_clean(to, sizeof(to), "abc\xe2\x82\xac\xe2\x82\xac", 9), 6);
    ck_assert_str_eq(to, "abc\xe2\x82\xac");
    ck_assert_uint_eq(otp_utf8_clean(to, 1, "abc", 3), 0);
    ck_assert_str_eq(to, "");
    ck_assert(otp_utf8_valid("\xf4\x8f\xbf\xbf", 4));
    ck_assert(!otp_utf8_valid("\xf4\x90\x80\x80", 4)); /* past U+10FFFF */
    ck_assert(!otp_utf8_valid("\xe0\x9f\xbf", 3));     /* overlong */
    ck_assert(!otp_utf8_valid("a\0b", 3));
    ck_assert(otp_utf8_valid("", 0));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("window");
    TCase *tests = tcase_create("window");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, equal_samples_are_one_group);
    tcase_add_test(tests, detail_decides_what_tells_samples_apart);
    tcase_add_test(tests, span_becomes_link_and_attributes);
    tcase_add_test(tests, hostile_attribute_bytes);
    tcase_add_test(tests, record_sizes_that_lie);
    tcase_add_test(tests, a_full_record_of_entries);
    tcase_add_test(tests, stops_and_thread_names);
    tcase_add_test(tests, frames_of_all_kinds);
    tcase_add_test(tests, mappings_are_kept_once);
    tcase_add_test(tests, memory_steps);
    tcase_add_test(tests, different_samples_at_the_limit);
    tcase_add_test(tests, full_memory_loses_samples_and_counts_them);
    tcase_add_test(tests, a_heap_sample_makes_two_groups);
    tcase_add_test(tests, a_state_is_no_event);
    tcase_add_test(tests, types_and_their_twins);
    tcase_add_test(tests, heap_samples_in_scarce_memory);
    tcase_add_test(tests, memory_ends_between_twins);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_test(tests, allocations_fail_between_twins);
    tcase_add_test(tests, each_allocation_fails_once);
#endif
    tcase_add_test(tests, times_hold_all_timestamps);
    tcase_add_test(tests, counters_add_and_subtract);
    tcase_add_test(tests, utf8_is_cut_at_characters);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

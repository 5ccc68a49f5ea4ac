// SPDX-License-Identifier: Apache-2.0
/* Blocks in the table of live blocks and what is known of them; sums are judged as statistics where chance is in them.
 */
#include "core/live_set.h"

#include <math.h>

#include "core/sample_weight.h"
#include "hooks/live_blocks.h"
#include "profile_fixture.h"
#include "test_main.h"

#define MAX 4096u
#define R 65536u

static const struct otp_frame_ref stack_a[] = {{.address = 0x1010, .mapping = 0}, {.address = 0x2030, .mapping = 1}};
static const struct otp_frame_ref stack_b[] = {{.address = 0x1020, .mapping = 0}, {.address = 0x99, .kind = 3}};

static struct otp_live_set *set;
static uint64_t next_address = 0x7f0000000000;

static struct otp_window *begin(void) {
    ck_assert_int_eq(otp_live_make(MAX), 0);
    set = otp_live_set_new(MAX, otp_live_places(), 1);
    ck_assert_ptr_nonnull(set);
    return fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
}

static void *address_of(uint64_t word) { return (void *)(uintptr_t)((word & (((uint64_t)1 << 45) - 1)) << 3); }

/* A block as a hook leaves it. */
static struct otp_live_block new_block(uint64_t size, uint64_t interval, uint64_t time_ns) {
    bool lost;
    struct otp_live_block block = {.size = size, .interval = interval, .time_ns = time_ns};
    block.place = otp_live_put((void *)(uintptr_t)next_address, &block.word, &lost);
    next_address += 16;
    return block;
}

static struct otp_live_block add(struct otp_window *window, const struct otp_frame_ref *frames, uint64_t size,
                                 uint64_t time_ns, const struct otp_thread_record *record) {
    struct otp_live_block block = new_block(size, R, time_ns);
    struct otp_sample sample = {.type = OTP_PROFILE_ALLOC_OBJECTS, .frames = frames, .frame_count = 2};
    if (record) {
        sample.context = record;
        sample.context_size = OTP_RECORD_HEADER + record->attrs_size;
    }
    otp_live_set_add(set, &block, &sample, window);
    return block;
}

/* Sums of a kind over the groups of a window; only those with a link if `linked`. */
static double sum(const struct otp_window *window, enum otp_profile_kind kind, bool linked) {
    double value = 0;
    for (uint32_t i = 0; i < otp_window_group_count(window); i++) {
        struct otp_sample_group group = otp_window_group_at(window, i);
        if (group.type == kind && (!linked || group.link != OTP_NO_LINK))
            value += group.value;
    }
    return value;
}

static uint32_t groups(const struct otp_window *window, enum otp_profile_kind kind) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < otp_window_group_count(window); i++)
        count += otp_window_group_at(window, i).type == kind;
    return count;
}

static void expect_sums(double objects, double bytes) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    otp_live_set_sweep(set);
    otp_live_set_show(set, window, START_NS);
    ck_assert_double_eq_tol(sum(window, OTP_PROFILE_INUSE_OBJECTS, false), objects, objects * 1e-9 + 1e-9);
    ck_assert_double_eq_tol(sum(window, OTP_PROFILE_INUSE_SPACE, false), bytes, bytes * 1e-9 + 1e-9);
    otp_window_free(window);
}

START_TEST(until_it_is_freed) {
    struct otp_window *window = begin();
    double small = otp_sample_weight(64, R), large = otp_sample_weight(1 << 20, R);
    struct otp_live_block one = add(window, stack_a, 64, START_NS, NULL);
    struct otp_live_block two = add(window, stack_b, 1 << 20, START_NS, NULL);
    expect_sums(small + large, small * 64 + large * (1 << 20));
    ck_assert(otp_live_remove(address_of(one.word)));
    expect_sums(large, large * (1 << 20));
    /* Freed before its record came. */
    struct otp_live_block gone = new_block(64, R, START_NS);
    ck_assert(otp_live_remove(address_of(gone.word)));
    struct otp_sample sample = {.frames = stack_a, .frame_count = 2};
    otp_live_set_add(set, &gone, &sample, window);
    expect_sums(large, large * (1 << 20));
    ck_assert(otp_live_remove(address_of(two.word)));
    expect_sums(0, 0);
    ck_assert_uint_eq(otp_live_set_count(set), 0);
    otp_window_free(window);
    otp_live_set_free(set);
}
END_TEST

/* A block whose place another takes before anybody looks. */
START_TEST(a_place_that_is_taken_again) {
    struct otp_window *window = begin();
    for (int i = 0; i < 1000; i++) {
        struct otp_live_block block = add(window, stack_a, 64, START_NS, NULL);
        ck_assert(otp_live_remove(address_of(block.word)));
        next_address -= 16;
    }
    ck_assert_uint_eq(otp_live_set_count(set), 1);
    ck_assert_uint_eq(otp_live_set_sweep(set), 0);
    otp_window_free(window);
    otp_live_set_free(set);
}
END_TEST

START_TEST(by_stack_attributes_and_age) {
    static const uint64_t minutes[] = {0, 5, 30, 120, 3000};
    static const char *const names[] = {"<1m", "1m-10m", "10m-1h", "1h-1d", ">=1d"};
    struct otp_window *window = begin(), *shown = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_thread_record users = fixture_record(7, "/users"), orders = fixture_record(8, "/orders");
    uint64_t now = START_NS + 4000 * 60 * SECOND_NS;
    for (int i = 0; i < 5; i++) {
        add(window, stack_a, 64, now - minutes[i] * 60 * SECOND_NS, &users);
        add(window, stack_a, 64, now - minutes[i] * 60 * SECOND_NS, &orders);
        add(window, stack_a, 64, now - minutes[i] * 60 * SECOND_NS, &orders);
    }
    add(window, stack_b, 64, now, &orders);
    add(window, stack_b, 64, now + SECOND_NS, NULL); /* a clock that was set back */
    otp_live_set_show(set, shown, now);
    ck_assert_uint_eq(groups(shown, OTP_PROFILE_INUSE_OBJECTS), 12);
    ck_assert_uint_eq(groups(shown, OTP_PROFILE_INUSE_SPACE), 12);
    ck_assert_uint_eq(otp_window_counts(shown)->states, 12);
    ck_assert_uint_eq(otp_window_counts(shown)->samples, 0);
    ck_assert_uint_eq(otp_window_link_count(shown), 2);
    bool seen[5] = {false};
    for (uint32_t i = 0; i < otp_window_attribute_count(shown); i++) {
        struct otp_attribute attribute = otp_window_attribute_at(shown, i);
        for (int age = 0; age < 5 && !strcmp(attribute.key, "otelprof.heap.age"); age++)
            seen[age] |= !strcmp(attribute.text, names[age]);
    }
    for (int age = 0; age < 5; age++)
        ck_assert_msg(seen[age], "%s", names[age]);
    /* Modules are known in the new window by what was known in the old one. */
    ck_assert_uint_eq(otp_window_mapping_count(shown), 2);
    ck_assert_str_eq(otp_window_mapping_at(shown, 0)->path, "/bin/one");
    otp_window_free(window);
    otp_window_free(shown);
    otp_live_set_free(set);
}
END_TEST

START_TEST(the_oldest_keep_their_links) {
    struct otp_window *window = begin(), *shown = fixture_window(OTELPROF_DETAIL_FULL, 0);
    double weight = otp_sample_weight(64, R);
    for (uint64_t i = 0; i < 3000; i++) {
        struct otp_thread_record record = fixture_record(i + 1, "/users");
        add(window, stack_a, 64, START_NS + (2999 - i) * SECOND_NS, &record);
    }
    otp_live_set_show(set, shown, START_NS + 3000 * SECOND_NS);
    ck_assert_double_eq_tol(sum(shown, OTP_PROFILE_INUSE_OBJECTS, false), 3000 * weight, 1e-6 * weight);
    ck_assert_double_eq_tol(sum(shown, OTP_PROFILE_INUSE_OBJECTS, true), 1000 * weight, 1e-6 * weight);
    for (uint32_t i = 0; i < otp_window_link_count(shown); i++) {
        uint64_t number;
        memcpy(&number, otp_window_link_at(shown, i)->span_id, sizeof(number));
        ck_assert_uint_gt(number, 2000);
    }
    otp_window_free(window);
    otp_window_free(shown);
    otp_live_set_free(set);
}
END_TEST

/* Thinned again and again, the sums stay right in the mean; blocks that come later are thinned like those before. */
START_TEST(thinned_without_bias) {
    const uint64_t sizes[] = {64, 5000, 60000, 300000};
    double exact[4], variance[4], sum_of_z = 0;
    const int rounds = 60, blocks = 400;
    struct otp_window *window = begin();
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < blocks; i++)
            for (int kind = 0; kind < 4; kind++) {
                add(window, stack_a, sizes[kind], START_NS, NULL);
                if (i == blocks / 2 && kind == 0) {
                    otp_live_set_thin(set, R * 2);
                    otp_live_set_thin(set, R * 8);
                }
            }
        for (uint32_t i = 0; i < 4; i++) {
            exact[i] = blocks * otp_sample_weight(sizes[i], R);
            /* Each stays with probability q and then counts 1/q times as much. */
            double q = otp_sample_probability(sizes[i], R * 8) / otp_sample_probability(sizes[i], R);
            variance[i] = blocks * otp_sample_weight(sizes[i], R) * otp_sample_weight(sizes[i], R) * (1 - q) / q;
        }
        struct otp_window *shown = fixture_window(OTELPROF_DETAIL_FULL, 0);
        ck_assert_uint_eq(otp_live_set_sweep(set), otp_live_count());
        otp_live_set_show(set, shown, START_NS);
        double objects = sum(shown, OTP_PROFILE_INUSE_OBJECTS, false), expected = 0, spread = 0;
        for (int kind = 0; kind < 4; kind++) {
            expected += exact[kind];
            spread += variance[kind];
        }
        sum_of_z += (objects - expected) / sqrt(spread);
        ck_assert_msg(fabs(objects - expected) < 4.5 * sqrt(spread), "%f, not %f +- %f", objects, expected,
                      sqrt(spread));
        otp_window_free(shown);
        otp_live_clear();
        ck_assert_uint_eq(otp_live_set_sweep(set), 0);
        otp_live_set_thin(set, 1);
    }
    ck_assert_msg(fabs(sum_of_z) / sqrt(rounds) < 3, "mean z %f", sum_of_z / rounds);
    ck_assert_uint_gt(otp_live_set_counts(set).thinned, 0);
    otp_window_free(window);
    otp_live_set_free(set);
}
END_TEST

/* Years of requests with ids and stacks of their own: what has ended takes no memory for long. */
START_TEST(memory_is_given_back) {
    struct otp_window *window = begin();
    for (uint64_t i = 0; i < 300000; i++) {
        struct otp_frame_ref frames[] = {{.address = 0x1000 + i, .mapping = 0}, {.address = 0x2030, .mapping = 1}};
        struct otp_thread_record record = fixture_record(i + 1, "/users");
        struct otp_live_block block = add(window, frames, 64, START_NS, &record);
        if (i % 100)
            ck_assert(otp_live_remove(address_of(block.word)));
        if (i % 2000 == 1999) {
            otp_live_set_sweep(set);
            if (i % 100000 == 99999)
                otp_live_clear();
        }
    }
    otp_live_set_sweep(set);
    ck_assert_uint_eq(otp_live_set_counts(set).lost_memory, 0);
    ck_assert_uint_eq(otp_live_set_count(set), otp_live_count());
    otp_live_clear();
    otp_window_free(window);
    otp_live_set_free(set);
}
END_TEST

/* More live at once than there is memory for what they have of their own: counted, and not followed. */
START_TEST(memory_runs_out) {
    struct otp_window *window = begin();
    for (uint64_t i = 0; i < MAX; i++) {
        struct otp_frame_ref frames[64];
        struct otp_live_block block = new_block(64, R, START_NS);
        struct otp_sample sample = {.frames = frames, .frame_count = 64};
        for (uint64_t j = 0; j < 64; j++)
            frames[j] = (struct otp_frame_ref){.address = i * 64 + j, .mapping = OTP_NO_MAPPING};
        otp_live_set_add(set, &block, &sample, window);
    }
    struct otp_live_counts counts = otp_live_set_counts(set);
    ck_assert_uint_gt(counts.lost_memory, 0);
    ck_assert_uint_eq(counts.lost_memory + otp_live_set_count(set), MAX);
    ck_assert_uint_eq(otp_live_set_sweep(set), otp_live_count());
    otp_live_clear();
    otp_window_free(window);
    otp_live_set_free(set);
}
END_TEST

OTP_TEST_MAIN("live_set", 120, until_it_is_freed, a_place_that_is_taken_again, by_stack_attributes_and_age,
              the_oldest_keep_their_links, thinned_without_bias, memory_is_given_back, memory_runs_out)

// SPDX-License-Identifier: Apache-2.0
/* Windows to test with, and what is read back from their profiles. */
#ifndef OTP_TESTS_PROFILE_FIXTURE_H
#define OTP_TESTS_PROFILE_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "context_slot.h"
#include "encode/otlp_reader.h"
#include "profile/window.h"
#include "record.h"

#define START_NS 1700000000000000000ull
#define SECOND_NS 1000000000ull
#define HEAP_PERIOD 524288 /* bytes */
#define LOCK_PERIOD 100000 /* ns */

static inline const char *fixture_key(void *user, unsigned key) {
    static const char *const names[] = {"http.route", "user.id", "thread.name"};
    (void)user;
    return key < 3 ? names[key] : NULL;
}

static inline struct otp_window_config fixture_config(enum otelprof_detail detail, size_t limit) {
    return (struct otp_window_config){.memory_limit_bytes = limit,
                                      .detail = detail,
                                      .period = {[OTP_PROFILE_CPU] = 10101010,
                                                 [OTP_PROFILE_ALLOC_OBJECTS] = HEAP_PERIOD,
                                                 [OTP_PROFILE_ALLOC_SPACE] = HEAP_PERIOD,
                                                 [OTP_PROFILE_INUSE_OBJECTS] = HEAP_PERIOD,
                                                 [OTP_PROFILE_INUSE_SPACE] = HEAP_PERIOD,
                                                 [OTP_PROFILE_BLOCK_CONTENTIONS] = LOCK_PERIOD,
                                                 [OTP_PROFILE_BLOCK_DELAY] = LOCK_PERIOD,
                                                 [OTP_PROFILE_MUTEX_CONTENTIONS] = LOCK_PERIOD,
                                                 [OTP_PROFILE_MUTEX_DELAY] = LOCK_PERIOD,
                                                 [OTP_PROFILE_WALL] = 10101010,
                                                 [OTP_PROFILE_THREADS] = 1},
                                      .rung = "ebpf",
                                      .key_name = fixture_key};
}

static inline struct otp_window *fixture_window(enum otelprof_detail detail, size_t limit) {
    struct otp_window_config config = fixture_config(detail, limit);
    return otp_window_new(&config, START_NS);
}

/* A thread record with ids made of `number` (0: none) and one attribute for key 0 if `route` is given. */
static inline struct otp_thread_record fixture_record(uint64_t number, const char *route) {
    struct otp_thread_record record = {.valid = 1};
    memcpy(record.trace_id + 8, &number, sizeof(number));
    memcpy(record.span_id, &number, sizeof(number));
    if (route) {
        record.attrs[0] = 0;
        record.attrs[1] = (uint8_t)strlen(route);
        memcpy(record.attrs + 2, route, strlen(route));
        record.attrs_size = (uint16_t)(2 + strlen(route));
    }
    return record;
}

static inline uint32_t fixture_mapping(struct otp_window *window, uint32_t module, const char *path) {
    static const uint8_t id[] = {0xde, 0xad, 0xbe, 0xef};
    const struct otp_mapping mapping = {.module_number = module,
                                        .path = path,
                                        .start = 0x1000u * module,
                                        .end = 0x1000u * module + 0x1000,
                                        .build_id = id,
                                        .build_id_size = sizeof(id),
                                        .htlhash = "00112233445566778899aabbccddeeff"};
    return otp_window_mapping(window, &mapping);
}

/* A window with the mappings 0, module 1, and 1, module 2. */
static inline struct otp_window *fixture_mapped_window(enum otelprof_detail detail, size_t limit) {
    struct otp_window *window = fixture_window(detail, limit);
    ck_assert_ptr_nonnull(window);
    ck_assert_uint_eq(fixture_mapping(window, 1, "/bin/one"), 0);
    ck_assert_uint_eq(fixture_mapping(window, 2, "/lib/two.so"), 1);
    return window;
}

static inline struct otp_sample fixture_sample(const struct otp_frame_ref *frames, uint32_t count) {
    return (struct otp_sample){.type = OTP_PROFILE_CPU,
                               .time_unix_ns = START_NS + SECOND_NS,
                               .value = 10101010,
                               .frames = frames,
                               .frame_count = count,
                               .tid = 42,
                               .thread_name = "worker",
                               .cpu = 3,
                               .stop = OTP_STOP_COMPLETE};
}

/* One that stands for `objects` objects of `bytes` bytes together. */
static inline struct otp_sample fixture_heap_sample(enum otp_profile_kind type, const struct otp_frame_ref *frames,
                                                    uint32_t count, double objects, double bytes) {
    struct otp_sample sample = fixture_sample(frames, count);
    sample.type = type;
    sample.value = objects;
    sample.twin_value = bytes;
    return sample;
}

/* The text of an attribute of a group, or NULL; integers are printed. */
static inline const char *fixture_attribute(const struct otp_window *window, uint32_t group, const char *key) {
    static char number[32];
    uint32_t count;
    const uint32_t *set = otp_window_attribute_set_at(window, otp_window_group_at(window, group).attribute_set, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct otp_attribute attribute = otp_window_attribute_at(window, set[i]);
        if (strcmp(attribute.key, key))
            continue;
        if (attribute.text)
            return attribute.text;
        snprintf(number, sizeof(number), "%lld", (long long)attribute.number);
        return number;
    }
    return NULL;
}

/* A number among the attributes of a profile, or -1. */
static inline int64_t fixture_profile_number(const struct otp_otlp_reader *reader, size_t profile, const char *key) {
    struct otp_otlp_value value;
    for (size_t i = 0; otp_otlp_profile_attribute(reader, profile, i, &value); i++)
        if (!strcmp(value.key, key))
            return value.number;
    return -1;
}

#endif

// SPDX-License-Identifier: Apache-2.0
#include "profile/types.h"

#define HEAP_TYPE(name, unit)                                                                                          \
    .sample_name = (name), .sample_unit = (unit), .period_name = "space", .period_unit = "bytes", .always_merged = true

#define LOCK_TYPE(name, unit, period)                                                                                  \
    .sample_name = (name), .sample_unit = (unit), .period_name = (period), .period_unit = "nanoseconds",               \
    .always_merged = true

/*
 * Names and units that receivers take: Pyroscope multiplies a count of samples with a period of cpu/nanoseconds. Those
 * of the heap, of locks and of threads are Go's. Two profiles tell of each allocation and of each wait, because one on
 * the wire has a single sample type.
 */
const struct otp_profile_type otp_profile_types[OTP_PROFILE_KINDS] = {
    [OTP_PROFILE_CPU] = {.sample_name = "samples",
                         .sample_unit = "count",
                         .period_name = "cpu",
                         .period_unit = "nanoseconds",
                         .counts = true,
                         .twin = OTP_PROFILE_CPU},
    [OTP_PROFILE_ALLOC_OBJECTS] = {HEAP_TYPE("alloc_objects", "count"), .twin = OTP_PROFILE_ALLOC_SPACE},
    [OTP_PROFILE_ALLOC_SPACE] = {HEAP_TYPE("alloc_space", "bytes"), .twin = OTP_PROFILE_ALLOC_SPACE},
    [OTP_PROFILE_INUSE_OBJECTS] = {HEAP_TYPE("inuse_objects", "count"), .no_events = true,
                                   .twin = OTP_PROFILE_INUSE_SPACE},
    [OTP_PROFILE_BLOCK_CONTENTIONS] = {LOCK_TYPE("contentions", "count", "block"), .twin = OTP_PROFILE_BLOCK_DELAY},
    [OTP_PROFILE_BLOCK_DELAY] = {LOCK_TYPE("delay", "nanoseconds", "block"), .twin = OTP_PROFILE_BLOCK_DELAY},
    [OTP_PROFILE_MUTEX_CONTENTIONS] = {LOCK_TYPE("contentions", "count", "mutex"), .twin = OTP_PROFILE_MUTEX_DELAY},
    [OTP_PROFILE_MUTEX_DELAY] = {LOCK_TYPE("delay", "nanoseconds", "mutex"), .twin = OTP_PROFILE_MUTEX_DELAY},
    [OTP_PROFILE_WALL] = {.sample_name = "wall",
                          .sample_unit = "nanoseconds",
                          .period_name = "wall",
                          .period_unit = "nanoseconds",
                          .always_merged = true,
                          .no_events = true,
                          .twin = OTP_PROFILE_WALL},
    [OTP_PROFILE_THREADS] = {.sample_name = "goroutine",
                             .sample_unit = "count",
                             .period_name = "goroutine",
                             .period_unit = "count",
                             .always_merged = true,
                             .no_events = true,
                             .twin = OTP_PROFILE_THREADS},
    [OTP_PROFILE_INUSE_SPACE] = {HEAP_TYPE("inuse_space", "bytes"), .no_events = true, .twin = OTP_PROFILE_INUSE_SPACE},
};

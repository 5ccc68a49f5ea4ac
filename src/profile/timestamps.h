// SPDX-License-Identifier: Apache-2.0
/* A list of timestamps that grows in an arena without moving. For the profile room only. */
#ifndef OTP_PROFILE_TIMESTAMPS_H
#define OTP_PROFILE_TIMESTAMPS_H

#include <stdint.h>

struct otp_arena;

struct otp_timestamp_chunk {
    struct otp_timestamp_chunk *next;
    uint32_t count;
    uint32_t capacity;
    uint64_t times[];
};

/* Empty when zeroed. */
struct otp_timestamp_list {
    struct otp_timestamp_chunk *first;
    struct otp_timestamp_chunk *last;
};

/* 0, or -1 when the arena is full. */
int otp_timestamp_append(struct otp_arena *arena, struct otp_timestamp_list *list, uint64_t time_ns);

#endif

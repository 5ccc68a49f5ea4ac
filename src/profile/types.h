// SPDX-License-Identifier: Apache-2.0
/* The table of profile types: how each one is called and counted on the wire. A new type is one more row. */
#ifndef OTP_PROFILE_TYPES_H
#define OTP_PROFILE_TYPES_H

#include <stdbool.h>

enum otp_profile_kind {
    OTP_PROFILE_CPU = 0,
    OTP_PROFILE_ALLOC_OBJECTS, /* what was allocated during the window */
    OTP_PROFILE_ALLOC_SPACE,
    OTP_PROFILE_INUSE_OBJECTS, /* what is allocated and not freed at its end */
    OTP_PROFILE_INUSE_SPACE,
    OTP_PROFILE_BLOCK_CONTENTIONS, /* waits, where the waiter waited */
    OTP_PROFILE_BLOCK_DELAY,
    OTP_PROFILE_MUTEX_CONTENTIONS, /* waits for locks, where the lock was released at last */
    OTP_PROFILE_MUTEX_DELAY,
    OTP_PROFILE_WALL,    /* elapsed time of each thread */
    OTP_PROFILE_THREADS, /* the threads that there are */
    OTP_PROFILE_KINDS    /* how many there are */
};

struct otp_profile_type {
    const char *sample_name; /* sample_type */
    const char *sample_unit;
    const char *period_name; /* period_type */
    const char *period_unit;
    bool counts;        /* a sample's value on the wire is 1; otherwise otp_sample.value */
    bool always_merged; /* no timestamps, thread id and CPU number, whatever the detail */
    bool no_events;     /* tells a state, or time that went by: its samples did not happen, nor fire */
    /* A kind that gets each sample too, with otp_sample.twin_value; always merged, as this one. Itself: none. */
    enum otp_profile_kind twin;
};

/* By enum otp_profile_kind. */
extern const struct otp_profile_type otp_profile_types[OTP_PROFILE_KINDS];

#endif

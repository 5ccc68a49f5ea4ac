// SPDX-License-Identifier: Apache-2.0
/* The table of profile types: how each one is called and counted on the wire. A new type is one more row. */
#ifndef OTP_PROFILE_TYPES_H
#define OTP_PROFILE_TYPES_H

#include <stdbool.h>

enum otp_profile_kind {
    OTP_PROFILE_CPU = 0,
    OTP_PROFILE_KINDS /* how many there are */
};

struct otp_profile_type {
    const char *sample_name; /* sample_type */
    const char *sample_unit;
    const char *period_name; /* period_type */
    const char *period_unit;
    bool counts;        /* a sample's value on the wire is 1; otherwise otp_sample.value */
    bool always_merged; /* no timestamps whatever the detail */
};

/* By enum otp_profile_kind. */
extern const struct otp_profile_type otp_profile_types[OTP_PROFILE_KINDS];

#endif

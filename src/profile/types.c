// SPDX-License-Identifier: Apache-2.0
#include "profile/types.h"

/* Names and units that receivers take: Pyroscope multiplies a count of samples with a period of cpu/nanoseconds. */
const struct otp_profile_type otp_profile_types[OTP_PROFILE_KINDS] = {
    [OTP_PROFILE_CPU] = {.sample_name = "samples",
                         .sample_unit = "count",
                         .period_name = "cpu",
                         .period_unit = "nanoseconds",
                         .counts = true,
                         .always_merged = false},
};

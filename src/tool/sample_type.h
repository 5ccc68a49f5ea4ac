// SPDX-License-Identifier: Apache-2.0
/* The types of profiles that `otelprof top` knows, and how their values are shown. */
#ifndef OTP_TOOL_SAMPLE_TYPE_H
#define OTP_TOOL_SAMPLE_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/text.h"

struct otp_otlp_profile;

enum sample_unit { UNIT_NS, UNIT_BYTES, UNIT_COUNT };

struct sample_type {
    char name[64];        /* as users know it */
    char wire_name[64];   /* of the sample type; "cpu": time, whatever the wire counts */
    char period_name[32]; /* of the period's type; "": any */
    char count_name[64];  /* the sample type beside it that counts what the value is made of; "" */
    const char *label;    /* of the value's column */
    const char *count_label;
    enum sample_unit unit;
    bool is_state; /* what there is at a window's end: windows of one process are not added up */
};

/* The type of that name ("heap", "alloc", "lock" and "threads" mean one too). False: not known, and then it is made of
 * the name.
 */
bool sample_type_find(const char *name, struct sample_type *type);

/* The type of a profile, named as in the table. */
void sample_type_of(const struct otp_otlp_profile *profile, struct sample_type *type);

/* What one unit of the profile's values is in the type's unit; 0: the profile is not of this type. */
uint64_t sample_type_scale(const struct sample_type *type, const struct otp_otlp_profile *profile);

/* True if the profile's values count what those of the type are made of. */
bool sample_type_counts(const struct sample_type *type, const struct otp_otlp_profile *profile);

/* "12.3 ms", "4.5 MiB", "123": a value of the type. Returns `out`. */
const char *sample_type_text(char out[TEXT_SIZE], const struct sample_type *type, uint64_t value);

#endif

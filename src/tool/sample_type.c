// SPDX-License-Identifier: Apache-2.0
#include "tool/sample_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encode/otlp_reader.h"

/* The first is what is shown if nothing else is asked for and there is some; then the next, and so on. */
static const struct sample_type known[] = {
    {"cpu", "", "CPU", "SAMPLES", UNIT_NS, false},
    {"inuse_space", "inuse_objects", "LIVE", "OBJECTS", UNIT_BYTES, true},
    {"alloc_space", "alloc_objects", "ALLOCATED", "OBJECTS", UNIT_BYTES, false},
    {"inuse_objects", "", "LIVE", "", UNIT_COUNT, true},
    {"alloc_objects", "", "ALLOCATED", "", UNIT_COUNT, false},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

bool sample_type_find(const char *name, struct sample_type *type) {
    if (strcmp(name, "heap") == 0)
        name = "inuse_space";
    else if (strcmp(name, "alloc") == 0)
        name = "alloc_space";
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(known[i].name, name) == 0) {
            *type = known[i];
            return true;
        }
    }
    *type = (struct sample_type){.label = "VALUE", .count_label = "", .unit = UNIT_COUNT};
    snprintf(type->name, sizeof(type->name), "%s", name);
    return false;
}

/* CPU time of one unit of a sample's value, in ns; 0 if the profile does not say CPU time. */
static uint64_t cpu_ns(const struct otp_otlp_profile *profile) {
    if (strcmp(profile->sample_name, "samples") == 0 && strcmp(profile->period_name, "cpu") == 0 &&
        strcmp(profile->period_unit, "nanoseconds") == 0 && profile->period > 0)
        return (uint64_t)profile->period;
    return strcmp(profile->sample_name, "cpu") == 0 && strcmp(profile->sample_unit, "nanoseconds") == 0;
}

void sample_type_of(const struct otp_otlp_profile *profile, struct sample_type *type) {
    if (sample_type_find(cpu_ns(profile) ? "cpu" : profile->sample_name, type))
        return;
    if (strcmp(profile->sample_unit, "nanoseconds") == 0)
        type->unit = UNIT_NS;
    else if (strcmp(profile->sample_unit, "bytes") == 0)
        type->unit = UNIT_BYTES;
}

uint64_t sample_type_scale(const struct sample_type *type, const struct otp_otlp_profile *profile) {
    if (strcmp(type->name, "cpu") == 0)
        return cpu_ns(profile);
    return strcmp(type->name, profile->sample_name) == 0;
}

bool sample_type_counts(const struct sample_type *type, const struct otp_otlp_profile *profile) {
    return *type->count_name && strcmp(type->count_name, profile->sample_name) == 0;
}

const char *sample_type_text(char out[TEXT_SIZE], const struct sample_type *type, uint64_t value) {
    if (type->unit == UNIT_NS)
        return text_duration(out, value);
    if (type->unit == UNIT_BYTES)
        return text_bytes(out, value);
    snprintf(out, TEXT_SIZE, "%" PRIu64, value);
    return out;
}

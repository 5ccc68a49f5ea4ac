// SPDX-License-Identifier: Apache-2.0
#include "tool/sample_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encode/otlp_reader.h"

/* The first is what is shown if nothing else is asked for and there is some; then the next, and so on. */
static const struct sample_type known[] = {
    {"cpu", "cpu", "", "", "CPU", "SAMPLES", UNIT_NS, false},
    {"inuse_space", "inuse_space", "", "inuse_objects", "LIVE", "OBJECTS", UNIT_BYTES, true},
    {"alloc_space", "alloc_space", "", "alloc_objects", "ALLOCATED", "OBJECTS", UNIT_BYTES, false},
    {"wall", "wall", "", "", "WALL", "", UNIT_NS, false},
    {"goroutine", "goroutine", "", "", "THREADS", "", UNIT_COUNT, true},
    {"inuse_objects", "inuse_objects", "", "", "LIVE", "", UNIT_COUNT, true},
    {"alloc_objects", "alloc_objects", "", "", "ALLOCATED", "", UNIT_COUNT, false},
    {"block", "delay", "block", "contentions", "WAITED", "WAITS", UNIT_NS, false},
    {"mutex", "delay", "mutex", "contentions", "HELD UP", "WAITS", UNIT_NS, false},
    {"block_contentions", "contentions", "block", "", "WAITS", "", UNIT_COUNT, false},
    {"mutex_contentions", "contentions", "mutex", "", "WAITS", "", UNIT_COUNT, false},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

bool sample_type_find(const char *name, struct sample_type *type) {
    if (strcmp(name, "heap") == 0)
        name = "inuse_space";
    else if (strcmp(name, "alloc") == 0)
        name = "alloc_space";
    else if (strcmp(name, "lock") == 0)
        name = "block";
    else if (strcmp(name, "threads") == 0)
        name = "goroutine";
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(known[i].name, name) == 0) {
            *type = known[i];
            return true;
        }
    }
    *type = (struct sample_type){.label = "VALUE", .count_label = "", .unit = UNIT_COUNT};
    snprintf(type->name, sizeof(type->name), "%s", name);
    snprintf(type->wire_name, sizeof(type->wire_name), "%s", name);
    return false;
}

/* A profile's sample type alone does not say whose side of a wait it tells. */
static bool same(const char *wire_name, const char *period_name, const struct otp_otlp_profile *profile) {
    return strcmp(wire_name, profile->sample_name) == 0 &&
           (!*period_name || strcmp(period_name, profile->period_name) == 0);
}

/* CPU time of one unit of a sample's value, in ns; 0 if the profile does not say CPU time. */
static uint64_t cpu_ns(const struct otp_otlp_profile *profile) {
    if (strcmp(profile->sample_name, "samples") == 0 && strcmp(profile->period_name, "cpu") == 0 &&
        strcmp(profile->period_unit, "nanoseconds") == 0 && profile->period > 0)
        return (uint64_t)profile->period;
    return strcmp(profile->sample_name, "cpu") == 0 && strcmp(profile->sample_unit, "nanoseconds") == 0;
}

void sample_type_of(const struct otp_otlp_profile *profile, struct sample_type *type) {
    if (cpu_ns(profile)) {
        *type = known[0];
        return;
    }
    for (size_t i = 1; i < KNOWN; i++) {
        if (same(known[i].wire_name, known[i].period_name, profile)) {
            *type = known[i];
            return;
        }
    }
    sample_type_find(profile->sample_name, type);
    if (strcmp(profile->sample_unit, "nanoseconds") == 0)
        type->unit = UNIT_NS;
    else if (strcmp(profile->sample_unit, "bytes") == 0)
        type->unit = UNIT_BYTES;
}

uint64_t sample_type_scale(const struct sample_type *type, const struct otp_otlp_profile *profile) {
    if (strcmp(type->name, "cpu") == 0)
        return cpu_ns(profile);
    return same(type->wire_name, type->period_name, profile);
}

bool sample_type_counts(const struct sample_type *type, const struct otp_otlp_profile *profile) {
    return *type->count_name && same(type->count_name, type->period_name, profile);
}

const char *sample_type_text(char out[TEXT_SIZE], const struct sample_type *type, uint64_t value) {
    if (type->unit == UNIT_NS)
        return text_duration(out, value);
    if (type->unit == UNIT_BYTES)
        return text_bytes(out, value);
    snprintf(out, TEXT_SIZE, "%" PRIu64, value);
    return out;
}

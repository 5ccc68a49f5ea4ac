// SPDX-License-Identifier: Apache-2.0
/* What a window is made of. For the profile room only. */
#ifndef OTP_PROFILE_WINDOW_DATA_H
#define OTP_PROFILE_WINDOW_DATA_H

#include "base/arena.h"
#include "base/intern.h"
#include "profile/timestamps.h"
#include "profile/window.h"

/* Key of an attribute: numbers in `strings`. No padding, as for all keys here. */
struct otp_attribute_key {
    uint32_t key;
    uint32_t text; /* OTP_INTERN_NONE: an integer; OTP_TEXT_IS_NAME: a name, by the frames of `number` */
    int64_t number;
};

/* Frames of a name: the variable's number + 1 in the upper half, the site's + 1 in the lower; 0: none. */
#define OTP_TEXT_IS_NAME (OTP_INTERN_NONE - 1)

/* Key of a mapping. */
struct otp_mapping_key {
    uint64_t module_number;
    uint64_t start;
};

struct otp_group_key {
    uint32_t type;
    uint32_t stack;
    uint32_t attribute_set;
    uint32_t link;
};

/* What grows in a group. */
struct otp_group_data {
    struct otp_timestamp_list times;
    uint64_t events;
    double value;
};

struct otp_window {
    struct otp_window_config config;
    struct otp_arena *arena;
    struct otp_intern *strings;    /* texts without terminator counted; the copies have one */
    struct otp_intern *mappings;   /* struct otp_mapping_key */
    struct otp_intern *frames;     /* struct otp_frame_ref, padding zero */
    struct otp_intern *stacks;     /* uint32_t[]: frames */
    struct otp_intern *attributes; /* struct otp_attribute_key */
    struct otp_intern *sets;       /* uint32_t[]: attributes, ascending */
    struct otp_intern *links;      /* struct otp_span_link */
    struct otp_intern *groups;     /* struct otp_group_key */
    struct otp_mapping *mapping_data;
    uint32_t mapping_capacity;
    struct otp_group_data *group_data;
    uint32_t group_capacity;
    uint64_t start_ns, end_ns;       /* as the caller said */
    uint64_t earliest_ns, latest_ns; /* timestamps; earliest > latest: none */
    struct otp_window_counts counts;
    struct otelprof_stats delta;
};

/* Makes room for element `number` in an array of the arena; new elements are zero. 0, or -1 when the arena is full. */
int otp_window_reserve(struct otp_window *window, void **array, uint32_t *capacity, uint32_t number, size_t size);

#endif

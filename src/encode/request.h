// SPDX-License-Identifier: Apache-2.0
/*
 * One request in the making: the samples it will hold, and what they need of the dictionary, numbered anew so that the
 * request's own tables have neither gaps nor orphans. For the encode room only.
 */
#ifndef OTP_ENCODE_REQUEST_H
#define OTP_ENCODE_REQUEST_H

#include "encode/dictionary.h"

/* The part of one table that the request has. */
struct otp_selection {
    const struct otp_intern *table;
    uint32_t *wire;  /* by number in the dictionary: index in the request, 0: not in it (or number 0) */
    uint32_t *order; /* by index: number in the dictionary; order[0] is 0 */
    uint32_t count;  /* at least 1 */
};

/* What one Sample of the wire is made of, in numbers of the dictionary. */
struct otp_group {
    enum otp_profile_kind type;
    uint32_t stack, attribute_set, link;
};

struct otp_request_sample {
    struct otp_group group;
    uint32_t first_time, time_count; /* in otp_request.times */
    int64_t value;                   /* counts if there are no timestamps; never 0 then */
    uint64_t events;                 /* behind that value */
};

struct otp_request {
    const struct otp_dictionary *dictionary;
    const struct otp_window *window;
    struct otp_selection strings, functions, mappings, locations, links, attributes, stacks;
    struct otp_request_sample *samples;
    uint32_t sample_count, samples_max;
    uint64_t *times;
    uint32_t time_count; /* samples_max at most */
    uint64_t events;
    size_t bytes; /* no less than it will have when packed */
    size_t bytes_max;
    size_t fixed_bytes;                 /* of resource and scope */
    const uint32_t *profile_attributes; /* numbers in the dictionary */
    uint32_t profile_attribute_count;   /* of the first profile */
    uint32_t constant_attribute_count;  /* of the others: the first ones of these, without counters */
};

/* Room for every request of a window, from `arena`, once the dictionary is complete. 0, or -1 when out of memory. */
int otp_request_init(struct otp_request *request, struct otp_arena *arena, const struct otp_dictionary *dictionary,
                     const struct otp_window *window, const struct otp_otlp_options *options);

/* Empties it. The caller has set fixed_bytes, profile_attributes and their counts. */
void otp_request_begin(struct otp_request *request);

/* Elements that samples_max still allows. */
uint32_t otp_request_room(const struct otp_request *request);

/* Starts a Sample. False if it would make the request too large, even with a single timestamp; nothing changed then. */
bool otp_request_start_sample(struct otp_request *request, const struct otp_group *group);

/* Takes timestamps for the last Sample, as many as there is room for, and returns how many. */
uint32_t otp_request_take_times(struct otp_request *request, struct otp_timestamps *at);

/* Likewise, the first of `count` in an array. */
uint32_t otp_request_put_times(struct otp_request *request, const uint64_t *times, uint32_t count);

/* Gives the last Sample its value, for types without timestamps. */
void otp_request_put_value(struct otp_request *request, int64_t value, uint64_t events);

/* Profiles that it will have: one for each type. */
uint32_t otp_request_profiles(const struct otp_request *request);

/* True if it holds more than one timestamp or Sample, so that two requests could share it. */
bool otp_request_divisible(const struct otp_request *request);

/* ---- otlp_pack.c */

struct otp_packed {
    uint8_t *bytes; /* in the arena */
    size_t size;
};

/* Bytes that resource, scope and URLs take. */
size_t otp_pack_fixed_size(const struct otp_resource *resource, struct otp_arena *arena);

/* Makes protobuf of the request. 0, or -1 when out of memory. */
int otp_pack(const struct otp_request *request, const struct otp_resource *resource, struct otp_arena *arena,
             struct otp_packed *packed);

#endif

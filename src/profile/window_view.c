// SPDX-License-Identifier: Apache-2.0
/* The reading side of a window. */
#include "profile/counters.h"
#include "profile/window_data.h"

size_t otp_window_size(const struct otp_window *window) { return sizeof(*window) + otp_arena_size(window->arena); }

const struct otp_window_counts *otp_window_counts(const struct otp_window *window) { return &window->counts; }

const struct otp_window_config *otp_window_config(const struct otp_window *window) { return &window->config; }

uint64_t otp_window_start(const struct otp_window *window) {
    return window->earliest_ns < window->start_ns ? window->earliest_ns : window->start_ns;
}

uint64_t otp_window_end(const struct otp_window *window) {
    uint64_t end = window->end_ns, start = otp_window_start(window);
    if (window->earliest_ns <= window->latest_ns && end <= window->latest_ns)
        end = window->latest_ns + 1;
    return end > start ? end : start + 1;
}

const struct otelprof_stats *otp_window_delta(const struct otp_window *window) { return &window->delta; }

void otp_window_add_delta(struct otp_window *window, const struct otelprof_stats *delta) {
    otp_counters_add(&window->delta, delta);
}

bool otp_window_timed(const struct otp_window *window, enum otp_profile_kind type) {
    return window->config.detail != OTELPROF_DETAIL_MERGED && !otp_profile_types[type].always_merged;
}

uint32_t otp_window_mapping_count(const struct otp_window *window) { return otp_intern_count(window->mappings); }

const struct otp_mapping *otp_window_mapping_at(const struct otp_window *window, uint32_t number) {
    return &window->mapping_data[number];
}

uint32_t otp_window_frame_count(const struct otp_window *window) { return otp_intern_count(window->frames); }

const struct otp_frame_ref *otp_window_frame_at(const struct otp_window *window, uint32_t number) {
    return otp_intern_key(window->frames, number, NULL);
}

static const uint32_t *numbers_at(const struct otp_intern *set, uint32_t number, uint32_t *count) {
    size_t size;
    const uint32_t *numbers = otp_intern_key(set, number, &size);
    *count = (uint32_t)(size / sizeof(*numbers));
    return numbers;
}

uint32_t otp_window_stack_count(const struct otp_window *window) { return otp_intern_count(window->stacks); }

const uint32_t *otp_window_stack_at(const struct otp_window *window, uint32_t number, uint32_t *frame_count) {
    return numbers_at(window->stacks, number, frame_count);
}

uint32_t otp_window_attribute_count(const struct otp_window *window) { return otp_intern_count(window->attributes); }

struct otp_attribute otp_window_attribute_at(const struct otp_window *window, uint32_t number) {
    const struct otp_attribute_key *key = otp_intern_key(window->attributes, number, NULL);
    bool is_text = key->text < OTP_TEXT_IS_NAME;
    const char *text = is_text ? otp_intern_key(window->strings, key->text, NULL) : NULL;
    return (struct otp_attribute){otp_intern_key(window->strings, key->key, NULL), text, key->number,
                                  key->text == OTP_TEXT_IS_NAME};
}

void otp_window_name_frames(const struct otp_window *window, const struct otp_attribute *attribute,
                            const struct otp_frame_ref **data, const struct otp_frame_ref **site) {
    uint32_t upper = (uint32_t)((uint64_t)attribute->number >> 32), lower = (uint32_t)attribute->number;
    *data = upper ? otp_window_frame_at(window, upper - 1) : NULL;
    *site = lower ? otp_window_frame_at(window, lower - 1) : NULL;
}

uint32_t otp_window_attribute_set_count(const struct otp_window *window) { return otp_intern_count(window->sets); }

const uint32_t *otp_window_attribute_set_at(const struct otp_window *window, uint32_t number, uint32_t *count) {
    return numbers_at(window->sets, number, count);
}

uint32_t otp_window_link_count(const struct otp_window *window) { return otp_intern_count(window->links); }

const struct otp_span_link *otp_window_link_at(const struct otp_window *window, uint32_t number) {
    return otp_intern_key(window->links, number, NULL);
}

/* The last groups may be without data: memory ran out while they were made. */
uint32_t otp_window_group_count(const struct otp_window *window) {
    uint32_t count = otp_intern_count(window->groups);
    return count < window->group_capacity ? count : window->group_capacity;
}

struct otp_sample_group otp_window_group_at(const struct otp_window *window, uint32_t number) {
    const struct otp_group_key *key = otp_intern_key(window->groups, number, NULL);
    const struct otp_group_data *data = &window->group_data[number];
    return (struct otp_sample_group){key->type, key->stack, key->attribute_set, key->link, data->events, data->value};
}

struct otp_timestamps otp_window_timestamps(const struct otp_window *window, uint32_t group) {
    return (struct otp_timestamps){window->group_data[group].times.first, 0};
}

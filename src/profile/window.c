// SPDX-License-Identifier: Apache-2.0
#include "profile/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "context_slot.h"
#include "profile/attributes.h"
#include "profile/counters.h"
#include "profile/window_data.h"
#include "record.h"

/* How much a new sample may keep, by the memory that is taken. */
enum level { LEVEL_ALL, LEVEL_NO_THREAD, LEVEL_NO_LINK, LEVEL_LEAF, LEVEL_COUNT };

static const char *const stop_names[OTP_STOP_COUNT] = {
    [OTP_STOP_UNKNOWN_MODULE] = "unknown_module",
    [OTP_STOP_NO_ROWS] = "no_rows",
    [OTP_STOP_UNSUPPORTED] = "unsupported",
    [OTP_STOP_READ_FAULT] = "read_fault",
    [OTP_STOP_BAD_FRAME] = "bad_frame",
    [OTP_STOP_DEPTH] = "depth",
    [OTP_STOP_EXITING] = "exiting",
    [OTP_STOP_NO_TABLES] = "no_tables",
    [OTP_STOP_NOT_WALKED] = "not_walked",
};

static int make_sets(struct otp_window *window) {
    struct otp_intern **sets[] = {&window->strings,    &window->mappings, &window->frames, &window->stacks,
                                  &window->attributes, &window->sets,     &window->links,  &window->groups};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        *sets[i] = otp_intern_new(window->arena);
        if (!*sets[i])
            return -1;
    }
    return 0;
}

struct otp_window *otp_window_new(const struct otp_window_config *config, uint64_t start_unix_ns) {
    struct otp_window *window = otp_sys.calloc(1, sizeof(*window));
    if (!window)
        return NULL;
    window->config = *config;
    window->start_ns = window->end_ns = start_unix_ns;
    window->earliest_ns = UINT64_MAX;
    window->arena = otp_arena_new(config->memory_limit_bytes);
    if (!window->arena || make_sets(window)) {
        otp_window_free(window);
        return NULL;
    }
    return window;
}

void otp_window_free(struct otp_window *window) {
    if (!window)
        return;
    otp_arena_free(window->arena);
    free(window);
}

int otp_window_reserve(struct otp_window *window, void **array, uint32_t *capacity, uint32_t number, size_t size) {
    if (number < *capacity)
        return 0;
    uint32_t larger = *capacity ? *capacity * 2 : 32;
    while (number >= larger)
        larger *= 2;
    void *copy = otp_arena_grow(window->arena, *array, (size_t)*capacity * size, (size_t)larger * size);
    if (!copy)
        return -1;
    *array = copy;
    *capacity = larger;
    return 0;
}

/* -------------------------------------------------------------------------------------------- mappings */

static int copy_mapping(struct otp_arena *arena, struct otp_mapping *to, const struct otp_mapping *from) {
    const char *path = from->path ? from->path : "", *hash = from->htlhash ? from->htlhash : "";
    *to = *from;
    to->path = otp_arena_copy(arena, path, strlen(path));
    to->htlhash = otp_arena_copy(arena, hash, strlen(hash));
    to->build_id = (const uint8_t *)otp_arena_copy(arena, from->build_id, from->build_id_size);
    return to->path && to->htlhash && to->build_id ? 0 : -1;
}

uint32_t otp_window_mapping(struct otp_window *window, const struct otp_mapping *mapping) {
    struct otp_mapping_key key = {mapping->module_number, mapping->start};
    uint32_t number = otp_intern_find(window->mappings, &key, sizeof(key));
    if (number != OTP_INTERN_NONE)
        return number;
    struct otp_mapping copy;
    number = otp_intern_count(window->mappings);
    if (copy_mapping(window->arena, &copy, mapping) ||
        otp_window_reserve(window, (void **)&window->mapping_data, &window->mapping_capacity, number, sizeof(copy)))
        return OTP_NO_MAPPING;
    window->mapping_data[number] = copy;
    return otp_intern(window->mappings, &key, sizeof(key));
}

/* --------------------------------------------------------------------------------------------- samples */

static enum level level_of(const struct otp_window *window) {
    uint64_t used = otp_arena_size(window->arena), limit = window->config.memory_limit_bytes;
    if (!limit || used < limit / 10 * 6)
        return LEVEL_ALL;
    if (used < limit / 10 * 8)
        return LEVEL_NO_THREAD;
    return used < limit / 10 * 9 ? LEVEL_NO_LINK : LEVEL_LEAF;
}

static uint32_t intern_frame(struct otp_window *window, const struct otp_frame_ref *frame) {
    struct otp_frame_ref key;
    memset(&key, 0, sizeof(key)); /* the padding is part of the key */
    key.kind = frame->kind;
    key.mapping = OTP_NO_MAPPING;
    if (frame->kind != OTP_FRAME_TRUNCATED)
        key.address = frame->address;
    if ((frame->kind == OTP_FRAME_NATIVE || frame->kind == OTP_FRAME_KERNEL || frame->kind == OTP_FRAME_DATA) &&
        frame->mapping < otp_intern_count(window->mappings))
        key.mapping = frame->mapping;
    return otp_intern(window->frames, &key, sizeof(key));
}

/* The first `count` frames, and the marker after them if `mark`. */
static uint32_t intern_stack(struct otp_window *window, const struct otp_frame_ref *frames, uint32_t count, bool mark) {
    static const struct otp_frame_ref marker = {.kind = OTP_FRAME_TRUNCATED, .mapping = OTP_NO_MAPPING};
    uint32_t numbers[OTP_SAMPLE_FRAMES_MAX];
    for (uint32_t i = 0; i < count + mark; i++) {
        numbers[i] = intern_frame(window, i < count ? &frames[i] : &marker);
        if (numbers[i] == OTP_INTERN_NONE)
            return OTP_INTERN_NONE;
    }
    return otp_intern(window->stacks, numbers, (count + mark) * sizeof(numbers[0]));
}

static bool all_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* The thread's record if it counts, copied: it may lie unaligned. Sets *attrs_size to what is really there. */
static bool read_context(const struct otp_sample *sample, struct otp_thread_record *record, size_t *attrs_size) {
    if (!sample->context || sample->context_size < OTP_RECORD_HEADER)
        return false;
    size_t there = sample->context_size < sizeof(*record) ? sample->context_size : sizeof(*record);
    memcpy(record, sample->context, there);
    *attrs_size = there - OTP_RECORD_HEADER;
    if (record->attrs_size < *attrs_size)
        *attrs_size = record->attrs_size;
    return record->valid == 1;
}

struct parts {
    uint32_t stack, attribute_set, link;
    bool lowered, cut;
};

/* Whether samples of the type carry the thread's id and the CPU's number. */
static bool tells_threads(const struct otp_window *window, enum otp_profile_kind type) {
    return window->config.detail == OTELPROF_DETAIL_FULL && !otp_profile_types[type].always_merged;
}

static void set_text_if_any(struct otp_window *window, struct otp_attribute_list *list, const char *key,
                            const char *text) {
    if (text && *text)
        otp_attribute_set_text(window, list, key, text, strlen(text));
}

/* The number of a frame that a name is looked up by, + 1; 0: there is none. */
static uint32_t name_frame(struct otp_window *window, struct otp_attribute_list *list,
                           const struct otp_frame_ref *frame) {
    uint32_t number = frame ? intern_frame(window, frame) : 0;
    list->full = list->full || number == OTP_INTERN_NONE;
    return frame ? number + 1 : 0;
}

static void set_extra(struct otp_window *window, struct otp_attribute_list *list, const struct otp_extra *extra) {
    if (extra->text) {
        set_text_if_any(window, list, extra->key, extra->text);
    } else if (extra->data || extra->site) {
        uint32_t data = name_frame(window, list, extra->data);
        otp_attribute_set_name(window, list, extra->key, data, name_frame(window, list, extra->site));
    } else {
        otp_attribute_set_int(window, list, extra->key, extra->number);
    }
}

/* What is known of a sample beside its thread's record. */
static void set_own_attributes(struct otp_window *window, struct otp_attribute_list *list,
                               const struct otp_sample *sample, bool thread) {
    if (thread) {
        if (sample->tid)
            otp_attribute_set_int(window, list, "thread.id", sample->tid);
        otp_attribute_set_int(window, list, "cpu.logical_number", sample->cpu);
    }
    set_text_if_any(window, list, "thread.name", sample->thread_name);
    for (unsigned i = 0; i < sample->extra_count; i++)
        set_extra(window, list, &sample->extras[i]);
    if (sample->stop != OTP_STOP_COMPLETE)
        set_text_if_any(window, list, "otelprof.stack.stop",
                        sample->stop < OTP_STOP_COUNT ? stop_names[sample->stop] : "unknown");
}

static int intern_attributes(struct otp_window *window, const struct otp_sample *sample, enum level level,
                             struct parts *parts) {
    struct otp_attribute_list list = {.count = 0};
    struct otp_thread_record record;
    size_t attrs_size = 0;
    bool has_link = false;
    parts->link = OTP_NO_LINK;
    if (read_context(sample, &record, &attrs_size)) {
        has_link =
            !all_zero(record.trace_id, sizeof(record.trace_id)) && !all_zero(record.span_id, sizeof(record.span_id));
        otp_attribute_set_entries(window, &list, record.attrs, attrs_size);
    }
    if (has_link && level < LEVEL_NO_LINK) {
        parts->link = otp_intern(window->links, &record, sizeof(struct otp_span_link));
        if (parts->link == OTP_INTERN_NONE)
            return -1;
    }
    bool threads = tells_threads(window, sample->type);
    set_own_attributes(window, &list, sample, threads && level == LEVEL_ALL);
    parts->lowered = (threads && level > LEVEL_ALL) || (has_link && level >= LEVEL_NO_LINK);
    parts->attribute_set = otp_attribute_intern(window, &list);
    return parts->attribute_set == OTP_INTERN_NONE ? -1 : 0;
}

static int intern_parts(struct otp_window *window, const struct otp_sample *sample, enum level level,
                        struct parts *parts) {
    uint32_t count = sample->frame_count;
    bool over = count > OTP_SAMPLE_FRAMES_MAX;
    if (over)
        count = OTP_SAMPLE_FRAMES_MAX - 1;
    parts->cut = level == LEVEL_LEAF && count > 1;
    parts->stack = intern_stack(window, sample->frames, parts->cut ? 1 : count, over || parts->cut);
    if (parts->stack == OTP_INTERN_NONE)
        return -1;
    return intern_attributes(window, sample, level, parts);
}

/* The number of the group, with room for its data; OTP_INTERN_NONE when out of memory. */
static uint32_t make_group(struct otp_window *window, enum otp_profile_kind type, const struct parts *parts) {
    struct otp_group_key key = {type, parts->stack, parts->attribute_set, parts->link};
    uint32_t number = otp_intern(window->groups, &key, sizeof(key));
    if (number == OTP_INTERN_NONE || otp_window_reserve(window, (void **)&window->group_data, &window->group_capacity,
                                                        number, sizeof(window->group_data[0])))
        return OTP_INTERN_NONE;
    return number;
}

static int add_time(struct otp_window *window, uint32_t group, uint64_t time_ns) {
    if (!time_ns)
        time_ns = window->start_ns;
    if (otp_timestamp_append(window->arena, &window->group_data[group].times, time_ns))
        return -1;
    if (time_ns < window->earliest_ns)
        window->earliest_ns = time_ns;
    if (time_ns > window->latest_ns)
        window->latest_ns = time_ns;
    return 0;
}

/* Both groups or neither: nothing is added before there is room for all of it. The number of the first. */
static uint32_t add_to_groups(struct otp_window *window, const struct otp_sample *sample, const struct parts *parts) {
    const struct otp_profile_type *type = &otp_profile_types[sample->type];
    bool has_twin = type->twin != sample->type;
    uint32_t group = make_group(window, sample->type, parts);
    if (group == OTP_INTERN_NONE)
        return OTP_NO_GROUP;
    uint32_t twin = has_twin ? make_group(window, type->twin, parts) : group;
    if (twin == OTP_INTERN_NONE)
        return OTP_NO_GROUP;
    if (otp_window_timed(window, sample->type) && add_time(window, group, sample->time_unix_ns))
        return OTP_NO_GROUP;
    window->group_data[group].events += !type->no_events;
    window->group_data[group].value += type->counts ? 1 : sample->value;
    if (has_twin)
        window->group_data[twin].value += sample->twin_value;
    return group;
}

uint32_t otp_window_add_group(struct otp_window *window, const struct otp_sample *sample) {
    struct otp_window_counts *counts = &window->counts;
    bool no_events = otp_profile_types[sample->type].no_events;
    for (unsigned level = level_of(window); level < LEVEL_COUNT; level++) {
        struct parts parts;
        uint32_t group =
            intern_parts(window, sample, level, &parts) ? OTP_NO_GROUP : add_to_groups(window, sample, &parts);
        if (group == OTP_NO_GROUP)
            continue;
        *(no_events ? &counts->states : &counts->samples) += 1;
        counts->detail_lowered += parts.lowered;
        counts->stacks_cut += parts.cut;
        return group;
    }
    *(no_events ? &counts->states_lost : &counts->lost_memory) += 1;
    return OTP_NO_GROUP;
}

int otp_window_add(struct otp_window *window, const struct otp_sample *sample) {
    return otp_window_add_group(window, sample) == OTP_NO_GROUP ? OTELPROF_E_MEMORY : 0;
}

void otp_window_add_value(struct otp_window *window, uint32_t group, double value) {
    window->group_data[group].value += value;
}

void otp_window_close(struct otp_window *window, uint64_t end_unix_ns, const struct otelprof_stats *delta) {
    window->end_ns = end_unix_ns;
    if (delta)
        otp_counters_add(&window->delta, delta);
}

// SPDX-License-Identifier: Apache-2.0
#include "encode/request.h"

#include <string.h>

/*
 * Upper bounds of what things take on the wire: a tag has 1 byte up to field 15, an index or a length has 5 at most,
 * other numbers 10 at most.
 */
#define TAG_INDEX 6
#define TAG_LENGTH 6
#define TAG_NUMBER 11
#define TAG_FIXED64 9

static int init_selection(struct otp_selection *selection, struct otp_arena *arena, const struct otp_intern *table) {
    uint32_t count = otp_intern_count(table);
    selection->table = table;
    selection->wire = otp_arena_alloc(arena, count * sizeof(uint32_t));
    selection->order = otp_arena_alloc(arena, count * sizeof(uint32_t));
    return selection->wire && selection->order ? 0 : -1;
}

int otp_request_init(struct otp_request *request, struct otp_arena *arena, const struct otp_dictionary *dictionary,
                     const struct otp_window *window, const struct otp_otlp_options *options) {
    *request = (struct otp_request){.dictionary = dictionary, .window = window};
    /*
     * No more than there are, so that a quiet window takes little memory: a timestamp is an event, and a Sample one
     * group at least. The types share the room, however many there are.
     */
    uint64_t events = otp_window_counts(window)->samples, groups = otp_window_group_count(window);
    uint64_t most = events > groups ? events : groups;
    request->samples_max = most < options->samples_max ? (uint32_t)most : options->samples_max;
    request->bytes_max = options->bytes_max;
    request->samples = otp_arena_alloc(arena, (size_t)request->samples_max * sizeof(request->samples[0]));
    request->times = otp_arena_alloc(arena, (size_t)request->samples_max * sizeof(request->times[0]));
    if (!request->samples || !request->times || init_selection(&request->strings, arena, dictionary->strings) ||
        init_selection(&request->functions, arena, dictionary->functions) ||
        init_selection(&request->mappings, arena, dictionary->mappings) ||
        init_selection(&request->locations, arena, dictionary->locations) ||
        init_selection(&request->links, arena, dictionary->links) ||
        init_selection(&request->attributes, arena, dictionary->attributes) ||
        init_selection(&request->stacks, arena, dictionary->stacks))
        return -1;
    return 0;
}

static void empty(struct otp_selection *selection) {
    memset(selection->wire, 0, otp_intern_count(selection->table) * sizeof(uint32_t));
    selection->order[0] = 0;
    selection->count = 1;
}

/*
 * The visits below give the bytes that a value adds to the request, with all it refers to: 0 if it is there already.
 * With `take` it is there afterwards. Without, what occurs twice is counted twice, which errs on the safe side.
 */
static bool is_new(struct otp_selection *selection, uint32_t number, bool take) {
    if (!number || selection->wire[number])
        return false;
    if (take) {
        selection->wire[number] = selection->count;
        selection->order[selection->count++] = number;
    }
    return true;
}

static size_t visit_string(struct otp_request *request, uint32_t number, bool take) {
    size_t size;
    if (!is_new(&request->strings, number, take))
        return 0;
    otp_intern_key(request->strings.table, number, &size);
    return TAG_LENGTH + size;
}

static size_t visit_attribute(struct otp_request *request, uint32_t number, bool take) {
    if (!is_new(&request->attributes, number, take))
        return 0;
    const struct otp_dict_attribute *attribute = otp_intern_key(request->attributes.table, number, NULL);
    size_t bytes = TAG_LENGTH + TAG_INDEX + TAG_LENGTH + visit_string(request, attribute->key, take);
    if (attribute->kind != OTP_VALUE_TEXT)
        return bytes + TAG_NUMBER;
    size_t size; /* texts are written out in the attribute, not by their index */
    otp_intern_key(request->strings.table, (uint32_t)attribute->number, &size);
    return bytes + TAG_LENGTH + size;
}

static size_t visit_mapping(struct otp_request *request, uint32_t number, bool take) {
    if (!is_new(&request->mappings, number, take))
        return 0;
    const struct otp_dict_mapping *mapping = otp_intern_key(request->mappings.table, number, NULL);
    return TAG_LENGTH + 3 * TAG_NUMBER + TAG_INDEX + TAG_LENGTH + 2 * TAG_INDEX +
           visit_string(request, mapping->file, take) + visit_attribute(request, mapping->attributes[0], take) +
           visit_attribute(request, mapping->attributes[1], take);
}

static size_t visit_function(struct otp_request *request, uint32_t number, bool take) {
    if (!is_new(&request->functions, number, take))
        return 0;
    const struct otp_dict_function *function = otp_intern_key(request->functions.table, number, NULL);
    return TAG_LENGTH + 3 * TAG_INDEX + TAG_NUMBER + visit_string(request, function->name, take) +
           visit_string(request, function->system_name, take) + visit_string(request, function->file, take);
}

static size_t visit_location(struct otp_request *request, uint32_t number, bool take) {
    size_t size;
    if (!is_new(&request->locations, number, take))
        return 0;
    const struct otp_dict_location *location = otp_intern_key(request->locations.table, number, &size);
    size_t bytes = TAG_LENGTH + TAG_INDEX + TAG_NUMBER + TAG_LENGTH + TAG_INDEX +
                   visit_mapping(request, location->mapping, take) +
                   visit_attribute(request, location->attribute, take);
    size_t lines = (size - sizeof(*location)) / sizeof(location->lines[0]);
    for (size_t i = 0; i < lines; i++)
        bytes += TAG_LENGTH + TAG_INDEX + TAG_NUMBER + visit_function(request, location->lines[i].function, take);
    return bytes;
}

static size_t visit_stack(struct otp_request *request, uint32_t number, bool take) {
    size_t size;
    if (!is_new(&request->stacks, number, take))
        return 0;
    const uint32_t *locations = otp_intern_key(request->stacks.table, number, &size);
    size_t bytes = 2 * TAG_LENGTH;
    for (size_t i = 0; i < size / sizeof(locations[0]); i++)
        bytes += TAG_INDEX + visit_location(request, locations[i], take);
    return bytes;
}

static size_t visit_link(struct otp_request *request, uint32_t number, bool take) {
    return is_new(&request->links, number, take) ? 3 * TAG_LENGTH + sizeof(struct otp_span_link) : 0;
}

static size_t visit_type(struct otp_request *request, enum otp_profile_kind type, bool take) {
    size_t bytes = 0;
    for (int i = 0; i < OTP_TYPE_TEXTS; i++)
        bytes += visit_string(request, request->dictionary->type_texts[type][i], take);
    return bytes;
}

/* A Sample with room for a value, and for the header of its timestamps. */
static size_t visit_group(struct otp_request *request, const struct otp_group *group, bool take) {
    size_t size;
    const uint32_t *attributes = otp_intern_key(request->dictionary->sets, group->attribute_set, &size);
    size_t bytes = 3 * TAG_LENGTH + TAG_INDEX + TAG_INDEX + TAG_NUMBER + TAG_LENGTH +
                   visit_type(request, group->type, take) + visit_stack(request, group->stack, take) +
                   visit_link(request, group->link, take);
    for (size_t i = 0; i < size / sizeof(attributes[0]); i++)
        bytes += TAG_INDEX + visit_attribute(request, attributes[i], take);
    return bytes;
}

void otp_request_begin(struct otp_request *request) {
    struct otp_selection *selections[] = {&request->strings,   &request->functions, &request->mappings,
                                          &request->locations, &request->links,     &request->attributes,
                                          &request->stacks};
    for (size_t i = 0; i < sizeof(selections) / sizeof(selections[0]); i++)
        empty(selections[i]);
    request->sample_count = request->time_count = 0;
    request->events = 0;
    /* Zero elements of the tables, and for each type: value types, times, period, id, list of attributes. */
    size_t profile = 6 * TAG_LENGTH + 4 * TAG_INDEX + 2 * TAG_NUMBER + TAG_FIXED64 + 16 +
                     request->profile_attribute_count * TAG_INDEX;
    request->bytes = request->fixed_bytes + 8 * TAG_LENGTH + OTP_PROFILE_KINDS * profile;
    for (uint32_t i = 0; i < request->profile_attribute_count; i++)
        request->bytes += visit_attribute(request, request->profile_attributes[i], true);
}

uint32_t otp_request_room(const struct otp_request *request) {
    uint32_t used = request->time_count > request->sample_count ? request->time_count : request->sample_count;
    return request->samples_max - used;
}

static bool fits(const struct otp_request *request, size_t bytes) {
    return request->bytes + bytes + sizeof(uint64_t) <= request->bytes_max;
}

/* Timestamps of one group, cut at another place than before, are one Sample. */
static bool continues(const struct otp_request *request, const struct otp_group *group) {
    if (!request->sample_count)
        return false;
    const struct otp_request_sample *last = &request->samples[request->sample_count - 1];
    return last->time_count && last->group.type == group->type && last->group.stack == group->stack &&
           last->group.attribute_set == group->attribute_set && last->group.link == group->link;
}

bool otp_request_start_sample(struct otp_request *request, const struct otp_group *group) {
    if (continues(request, group) && otp_request_room(request) && fits(request, 0))
        return true;
    bool alone = !request->sample_count;
    if (!otp_request_room(request) || (!alone && !fits(request, visit_group(request, group, false))))
        return false;
    size_t bytes = visit_group(request, group, true);
    if (!fits(request, bytes)) { /* alone, so that nothing else is lost by taking it back */
        otp_request_begin(request);
        return false;
    }
    request->bytes += bytes;
    request->samples[request->sample_count++] =
        (struct otp_request_sample){.group = *group, .first_time = request->time_count};
    return true;
}

static uint32_t room_for_times(const struct otp_request *request) {
    uint32_t room = request->samples_max - request->time_count;
    size_t bytes_room = (request->bytes_max - request->bytes) / sizeof(uint64_t);
    return bytes_room < room ? (uint32_t)bytes_room : room;
}

static uint32_t took_times(struct otp_request *request, uint32_t taken) {
    request->samples[request->sample_count - 1].time_count += taken;
    request->time_count += taken;
    request->bytes += taken * sizeof(uint64_t);
    request->events += taken;
    return taken;
}

uint32_t otp_request_take_times(struct otp_request *request, struct otp_timestamps *at) {
    return took_times(request, otp_timestamps_take(at, request->times + request->time_count, room_for_times(request)));
}

uint32_t otp_request_put_times(struct otp_request *request, const uint64_t *times, uint32_t count) {
    uint32_t room = room_for_times(request), taken = count < room ? count : room;
    memcpy(request->times + request->time_count, times, taken * sizeof(times[0]));
    return took_times(request, taken);
}

void otp_request_put_value(struct otp_request *request, int64_t value, uint64_t events) {
    request->samples[request->sample_count - 1].value = value;
    request->samples[request->sample_count - 1].events = events;
    request->events += events;
}

bool otp_request_divisible(const struct otp_request *request) {
    return request->sample_count > 1 || request->time_count > 1;
}

uint32_t otp_request_profiles(const struct otp_request *request) {
    uint32_t types = 0, count = 0;
    for (uint32_t i = 0; i < request->sample_count; i++)
        types |= 1u << request->samples[i].group.type;
    for (; types; types &= types - 1)
        count++;
    return count;
}

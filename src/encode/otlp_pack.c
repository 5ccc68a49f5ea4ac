// SPDX-License-Identifier: Apache-2.0
/* From a request's selection to protobuf-c's structures, and from those to bytes. */
#include "base/sys.h"
#include "base/utf8.h"
#include "encode/messages.h"
#include "encode/request.h"

#include <string.h>

/* `count` elements of `size` bytes (zeroed), and pointers to them. NULL when out of memory. */
static void *new_elements(struct otp_arena *arena, size_t count, size_t size, void *pointers_out) {
    char *elements = otp_arena_alloc(arena, count * size);
    void **pointers = otp_arena_alloc(arena, count * sizeof(*pointers));
    if (!elements || !pointers)
        return NULL;
    for (size_t i = 0; i < count; i++)
        pointers[i] = elements + i * size;
    memcpy(pointers_out, &pointers, sizeof(pointers));
    return elements;
}

/* Indices in the request of `count` numbers of the dictionary. */
static int32_t *new_indices(struct otp_arena *arena, const struct otp_selection *selection, const uint32_t *numbers,
                            size_t count) {
    int32_t *indices = otp_arena_alloc(arena, count * sizeof(*indices));
    for (size_t i = 0; indices && i < count; i++)
        indices[i] = (int32_t)selection->wire[numbers[i]];
    return indices;
}

/* ------------------------------------------------------------------------------------- resource and scope */

/*
 * Never protobuf-c's own empty string, which it leaves out of a oneof: strings that are sent as values point into the
 * arena or the dictionary.
 */
static char *clean_copy(struct otp_arena *arena, const char *text) {
    size_t size = strlen(text), room = OTP_UTF8_ROOM(size);
    char *copy = otp_arena_alloc(arena, room);
    if (copy)
        otp_utf8_clean(copy, room, text, size);
    return copy;
}

static int fill_texts(struct otp_arena *arena, const struct otp_resource_entry *entry, otlp_any_value *value) {
    otlp_array_value *array = otp_arena_alloc(arena, sizeof(*array));
    otlp_any_value *elements;
    if (!array)
        return -1;
    *array = (otlp_array_value)OTLP_ARRAY_VALUE_INIT;
    array->n_values = entry->text_count;
    elements = new_elements(arena, entry->text_count, sizeof(*elements), &array->values);
    if (!elements)
        return -1;
    for (uint32_t i = 0; i < entry->text_count; i++) {
        elements[i] = (otlp_any_value)OTLP_ANY_VALUE_INIT;
        elements[i].value_case = OTLP_ANY_VALUE_STRING;
        elements[i].string_value = clean_copy(arena, entry->texts[i]);
        if (!elements[i].string_value)
            return -1;
    }
    value->value_case = OTLP_ANY_VALUE_ARRAY;
    value->array_value = array;
    return 0;
}

static int fill_entry(struct otp_arena *arena, const struct otp_resource_entry *entry, otlp_key_value *pair) {
    otlp_any_value *value = otp_arena_alloc(arena, sizeof(*value));
    *pair = (otlp_key_value)OTLP_KEY_VALUE_INIT;
    pair->key = clean_copy(arena, entry->key);
    pair->value = value;
    if (!value || !pair->key)
        return -1;
    *value = (otlp_any_value)OTLP_ANY_VALUE_INIT;
    if (entry->kind == OTP_RESOURCE_TEXTS)
        return fill_texts(arena, entry, value);
    if (entry->kind == OTP_RESOURCE_INT) {
        value->value_case = OTLP_ANY_VALUE_INT;
        value->int_value = entry->number;
        return 0;
    }
    value->value_case = OTLP_ANY_VALUE_STRING;
    value->string_value = clean_copy(arena, entry->text ? entry->text : "");
    return value->string_value ? 0 : -1;
}

static otlp_resource *make_resource(struct otp_arena *arena, const struct otp_resource *from) {
    otlp_resource *resource = otp_arena_alloc(arena, sizeof(*resource));
    otlp_key_value *pairs;
    if (!resource)
        return NULL;
    *resource = (otlp_resource)OTLP_RESOURCE_INIT;
    if (!from || !from->count)
        return resource;
    resource->n_attributes = from->count;
    pairs = new_elements(arena, from->count, sizeof(*pairs), &resource->attributes);
    if (!pairs)
        return NULL;
    for (uint32_t i = 0; i < from->count; i++)
        if (fill_entry(arena, &from->entries[i], &pairs[i]))
            return NULL;
    return resource;
}

/* The envelope of the profiles, still without any. Returns the scope's place for them. */
static otlp_resource_profiles *make_envelope(struct otp_arena *arena, const struct otp_resource *from) {
    otlp_resource_profiles *envelope = otp_arena_alloc(arena, sizeof(*envelope));
    otlp_scope *scope = otp_arena_alloc(arena, sizeof(*scope));
    otlp_scope_profiles *profiles;
    if (!envelope || !scope)
        return NULL;
    *envelope = (otlp_resource_profiles)OTLP_RESOURCE_PROFILES_INIT;
    envelope->resource = make_resource(arena, from);
    envelope->schema_url = (char *)OTP_OTLP_SCHEMA_URL;
    envelope->n_scope_profiles = 1;
    profiles = new_elements(arena, 1, sizeof(*profiles), &envelope->scope_profiles);
    if (!envelope->resource || !profiles)
        return NULL;
    *profiles = (otlp_scope_profiles)OTLP_SCOPE_PROFILES_INIT;
    profiles->schema_url = (char *)OTP_OTLP_SCHEMA_URL;
    profiles->scope = scope;
    *scope = (otlp_scope)OTLP_SCOPE_INIT;
    scope->name = (char *)OTP_OTLP_SCOPE;
    scope->version = (char *)OTELPROF_VERSION;
    return envelope;
}

size_t otp_pack_fixed_size(const struct otp_resource *resource, struct otp_arena *arena) {
    otlp_resource_profiles *envelope = make_envelope(arena, resource);
    /* Lengths of the envelope and of the scope grow once profiles are in it: 5 bytes each at most. */
    return envelope ? protobuf_c_message_get_packed_size(&envelope->base) + 32 : 0;
}

/* ------------------------------------------------------------------------------------------- dictionary */

static int make_strings(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->strings;
    to->n_string_table = from->count;
    to->string_table = otp_arena_alloc(arena, from->count * sizeof(char *));
    for (uint32_t i = 0; to->string_table && i < from->count; i++)
        to->string_table[i] = (char *)(uintptr_t)otp_intern_key(from->table, from->order[i], NULL);
    return to->string_table ? 0 : -1;
}

static int make_attributes(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->attributes;
    otlp_attribute *elements = new_elements(arena, from->count, sizeof(*elements), &to->attribute_table);
    otlp_any_value *values = otp_arena_alloc(arena, from->count * sizeof(*values));
    to->n_attribute_table = from->count;
    if (!elements || !values)
        return -1;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct otp_dict_attribute *attribute = otp_intern_key(from->table, from->order[i], NULL);
        elements[i] = (otlp_attribute)OTLP_ATTRIBUTE_INIT;
        elements[i].key_strindex = (int32_t)request->strings.wire[attribute->key];
        if (attribute->kind == OTP_VALUE_NONE)
            continue;
        values[i] = (otlp_any_value)OTLP_ANY_VALUE_INIT;
        elements[i].value = &values[i];
        if (attribute->kind == OTP_VALUE_TEXT) {
            values[i].value_case = OTLP_ANY_VALUE_STRING;
            values[i].string_value =
                (char *)(uintptr_t)otp_intern_key(request->strings.table, (uint32_t)attribute->number, NULL);
        } else {
            values[i].value_case = OTLP_ANY_VALUE_INT;
            values[i].int_value = attribute->number;
        }
    }
    return 0;
}

static int make_mappings(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->mappings;
    otlp_mapping *elements = new_elements(arena, from->count, sizeof(*elements), &to->mapping_table);
    to->n_mapping_table = from->count;
    if (!elements)
        return -1;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct otp_dict_mapping *mapping = otp_intern_key(from->table, from->order[i], NULL);
        elements[i] = (otlp_mapping)OTLP_MAPPING_INIT;
        elements[i].memory_start = mapping->start;
        elements[i].memory_limit = mapping->end;
        elements[i].file_offset = mapping->file_offset;
        elements[i].filename_strindex = (int32_t)request->strings.wire[mapping->file];
        uint32_t ids[2], count = 0;
        for (int j = 0; j < 2; j++)
            if (mapping->attributes[j])
                ids[count++] = mapping->attributes[j];
        elements[i].n_attribute_indices = count;
        elements[i].attribute_indices = new_indices(arena, &request->attributes, ids, count);
        if (!elements[i].attribute_indices)
            return -1;
    }
    return 0;
}

static int make_functions(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->functions;
    otlp_function *elements = new_elements(arena, from->count, sizeof(*elements), &to->function_table);
    to->n_function_table = from->count;
    if (!elements)
        return -1;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct otp_dict_function *function = otp_intern_key(from->table, from->order[i], NULL);
        elements[i] = (otlp_function)OTLP_FUNCTION_INIT;
        elements[i].name_strindex = (int32_t)request->strings.wire[function->name];
        elements[i].system_name_strindex = (int32_t)request->strings.wire[function->system_name];
        elements[i].filename_strindex = (int32_t)request->strings.wire[function->file];
        elements[i].start_line = function->start_line;
    }
    return 0;
}

static int make_lines(const struct otp_request *request, struct otp_arena *arena,
                      const struct otp_dict_location *location, size_t count, otlp_location *to) {
    otlp_line *lines = new_elements(arena, count, sizeof(*lines), &to->lines);
    if (!lines)
        return -1;
    to->n_lines = count;
    for (size_t i = 0; i < count; i++) {
        lines[i] = (otlp_line)OTLP_LINE_INIT;
        lines[i].function_index = (int32_t)request->functions.wire[location->lines[i].function];
        lines[i].line = location->lines[i].line;
    }
    return 0;
}

static int make_locations(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->locations;
    otlp_location *elements = new_elements(arena, from->count, sizeof(*elements), &to->location_table);
    to->n_location_table = from->count;
    if (!elements)
        return -1;
    for (uint32_t i = 0; i < from->count; i++) {
        size_t size;
        const struct otp_dict_location *location = otp_intern_key(from->table, from->order[i], &size);
        elements[i] = (otlp_location)OTLP_LOCATION_INIT;
        elements[i].address = location->address;
        elements[i].mapping_index = (int32_t)request->mappings.wire[location->mapping];
        elements[i].n_attribute_indices = location->attribute != 0;
        elements[i].attribute_indices = new_indices(arena, &request->attributes, &location->attribute, 1);
        size_t count = (size - sizeof(*location)) / sizeof(location->lines[0]);
        if (!elements[i].attribute_indices || (count && make_lines(request, arena, location, count, &elements[i])))
            return -1;
    }
    return 0;
}

static int make_links(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->links;
    otlp_link *elements = new_elements(arena, from->count, sizeof(*elements), &to->link_table);
    to->n_link_table = from->count;
    for (uint32_t i = 0; elements && i < from->count; i++) {
        const struct otp_span_link *link = otp_intern_key(from->table, from->order[i], NULL);
        elements[i] = (otlp_link)OTLP_LINK_INIT;
        if (!i)
            continue; /* the empty message: what every receiver takes as "no link" */
        elements[i].trace_id = (ProtobufCBinaryData){sizeof(link->trace_id), (uint8_t *)(uintptr_t)link->trace_id};
        elements[i].span_id = (ProtobufCBinaryData){sizeof(link->span_id), (uint8_t *)(uintptr_t)link->span_id};
    }
    return elements ? 0 : -1;
}

static int make_stacks(const struct otp_request *request, struct otp_arena *arena, otlp_dictionary *to) {
    const struct otp_selection *from = &request->stacks;
    otlp_stack *elements = new_elements(arena, from->count, sizeof(*elements), &to->stack_table);
    to->n_stack_table = from->count;
    if (!elements)
        return -1;
    for (uint32_t i = 0; i < from->count; i++) {
        size_t size;
        const uint32_t *locations = otp_intern_key(from->table, from->order[i], &size);
        elements[i] = (otlp_stack)OTLP_STACK_INIT;
        elements[i].n_location_indices = size / sizeof(locations[0]);
        elements[i].location_indices = new_indices(arena, &request->locations, locations, size / sizeof(locations[0]));
        if (!elements[i].location_indices)
            return -1;
    }
    return 0;
}

/* --------------------------------------------------------------------------------------------- profiles */

static int fill_sample(const struct otp_request *request, struct otp_arena *arena,
                       const struct otp_request_sample *from, otlp_sample *to) {
    size_t size;
    const uint32_t *attributes = otp_intern_key(request->dictionary->sets, from->group.attribute_set, &size);
    *to = (otlp_sample)OTLP_SAMPLE_INIT;
    to->stack_index = (int32_t)request->stacks.wire[from->group.stack];
    to->link_index = (int32_t)request->links.wire[from->group.link];
    to->n_attribute_indices = size / sizeof(attributes[0]);
    to->attribute_indices = new_indices(arena, &request->attributes, attributes, to->n_attribute_indices);
    if (!to->attribute_indices)
        return -1;
    if (from->time_count) {
        to->n_timestamps_unix_nano = from->time_count;
        to->timestamps_unix_nano = request->times + from->first_time;
        return 0;
    }
    to->n_values = 1;
    to->values = otp_arena_alloc(arena, sizeof(to->values[0]));
    if (to->values)
        to->values[0] = from->value;
    return to->values ? 0 : -1;
}

static int fill_samples(const struct otp_request *request, struct otp_arena *arena, enum otp_profile_kind type,
                        size_t count, otlp_profile *profile) {
    otlp_sample *samples = new_elements(arena, count, sizeof(*samples), &profile->samples);
    if (!samples)
        return -1;
    profile->n_samples = count;
    size_t next = 0;
    for (uint32_t i = 0; i < request->sample_count && next < count; i++)
        if (request->samples[i].group.type == type &&
            fill_sample(request, arena, &request->samples[i], &samples[next++]))
            return -1;
    return 0;
}

static otlp_value_type *make_value_type(const struct otp_request *request, struct otp_arena *arena,
                                        const uint32_t texts[2]) {
    otlp_value_type *type = otp_arena_alloc(arena, sizeof(*type));
    if (!type)
        return NULL;
    *type = (otlp_value_type)OTLP_VALUE_TYPE_INIT;
    type->type_strindex = (int32_t)request->strings.wire[texts[0]];
    type->unit_strindex = (int32_t)request->strings.wire[texts[1]];
    return type;
}

/* The id is optional: without random numbers there is none. */
static void set_profile_id(struct otp_arena *arena, otlp_profile *profile) {
    uint8_t *id = otp_arena_alloc(arena, 16);
    if (id && otp_sys.getrandom(id, 16, 0) == 16)
        profile->profile_id = (ProtobufCBinaryData){16, id};
}

static int fill_profile(const struct otp_request *request, struct otp_arena *arena, enum otp_profile_kind type,
                        size_t samples, uint32_t attribute_count, otlp_profile *profile) {
    const uint32_t *texts = request->dictionary->type_texts[type];
    *profile = (otlp_profile)OTLP_PROFILE_INIT;
    profile->sample_type = make_value_type(request, arena, texts);
    profile->period_type = make_value_type(request, arena, texts + 2);
    profile->period = (int64_t)otp_window_config(request->window)->period[type];
    profile->time_unix_nano = otp_window_start(request->window);
    profile->duration_nano = otp_window_end(request->window) - otp_window_start(request->window);
    set_profile_id(arena, profile);
    profile->n_attribute_indices = attribute_count;
    profile->attribute_indices = new_indices(arena, &request->attributes, request->profile_attributes, attribute_count);
    if (!profile->sample_type || !profile->period_type || !profile->attribute_indices)
        return -1;
    return fill_samples(request, arena, type, samples, profile);
}

/* In the order of their types. The counters are the window's, not a type's: they stand in one profile, to be summed. */
static int make_profiles(const struct otp_request *request, struct otp_arena *arena, otlp_scope_profiles *scope) {
    size_t samples[OTP_PROFILE_KINDS] = {0};
    otlp_profile *profiles = new_elements(arena, OTP_PROFILE_KINDS, sizeof(*profiles), &scope->profiles);
    if (!profiles)
        return -1;
    for (uint32_t i = 0; i < request->sample_count; i++)
        samples[request->samples[i].group.type]++;
    uint32_t attributes = request->profile_attribute_count;
    for (int type = 0; type < OTP_PROFILE_KINDS; type++) {
        if (!samples[type])
            continue;
        if (fill_profile(request, arena, (enum otp_profile_kind)type, samples[type], attributes,
                         &profiles[scope->n_profiles++]))
            return -1;
        attributes = request->constant_attribute_count;
    }
    return 0;
}

int otp_pack(const struct otp_request *request, const struct otp_resource *resource, struct otp_arena *arena,
             struct otp_packed *packed) {
    otlp_dictionary dictionary = OTLP_DICTIONARY_INIT;
    otlp_request message = OTLP_REQUEST_INIT;
    otlp_resource_profiles *envelope = make_envelope(arena, resource);
    if (!envelope || make_profiles(request, arena, envelope->scope_profiles[0]) ||
        make_strings(request, arena, &dictionary) || make_attributes(request, arena, &dictionary) ||
        make_mappings(request, arena, &dictionary) || make_functions(request, arena, &dictionary) ||
        make_locations(request, arena, &dictionary) || make_links(request, arena, &dictionary) ||
        make_stacks(request, arena, &dictionary))
        return -1;
    message.n_resource_profiles = 1;
    message.resource_profiles = &envelope;
    message.dictionary = &dictionary;
    packed->size = protobuf_c_message_get_packed_size(&message.base);
    packed->bytes = otp_arena_alloc(arena, packed->size);
    if (!packed->bytes)
        return -1;
    protobuf_c_message_pack(&message.base, packed->bytes);
    return 0;
}

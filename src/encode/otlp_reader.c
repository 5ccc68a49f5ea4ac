// SPDX-License-Identifier: Apache-2.0
#include "encode/otlp_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "encode/otlp_verify.h"

/* Decoded messages take more room than their bytes: 100 bytes for an empty one of two. */
#define MEMORY_BASE ((size_t)64 << 20)
#define MEMORY_FACTOR 64
#define MEMORY_MAX ((size_t)2 << 30)

struct place {
    const otlp_resource_profiles *resource;
    const otlp_scope_profiles *scope;
    const otlp_profile *profile;
};

struct otp_otlp_reader {
    ProtobufCAllocator allocator;
    size_t memory_left;
    otlp_request *request;
    otlp_dictionary *tables;
    otlp_dictionary no_tables;
    struct place *profiles;
    size_t profile_count;
};

static void *bounded_alloc(void *user, size_t size) {
    struct otp_otlp_reader *reader = user;
    if (size > reader->memory_left)
        return NULL;
    reader->memory_left -= size;
    return otp_sys.malloc(size);
}

static void bounded_free(void *user, void *block) {
    (void)user;
    free(block);
}

static int list_profiles(struct otp_otlp_reader *reader) {
    size_t count = 0;
    for (size_t i = 0; i < reader->request->n_resource_profiles; i++)
        for (size_t j = 0; j < reader->request->resource_profiles[i]->n_scope_profiles; j++)
            count += reader->request->resource_profiles[i]->scope_profiles[j]->n_profiles;
    reader->profiles = otp_sys.calloc(count ? count : 1, sizeof(*reader->profiles));
    if (!reader->profiles)
        return otp_error(OTELPROF_E_MEMORY, "no memory to read a profile");
    for (size_t i = 0; i < reader->request->n_resource_profiles; i++) {
        const otlp_resource_profiles *resource = reader->request->resource_profiles[i];
        for (size_t j = 0; j < resource->n_scope_profiles; j++)
            for (size_t k = 0; k < resource->scope_profiles[j]->n_profiles; k++)
                reader->profiles[reader->profile_count++] =
                    (struct place){resource, resource->scope_profiles[j], resource->scope_profiles[j]->profiles[k]};
    }
    return 0;
}

static int open_request(struct otp_otlp_reader *reader, const void *bytes, size_t size) {
    const char *wrong = size > OTP_OTLP_READ_MAX ? "it is too large" : otp_otlp_verify_nesting(bytes, size);
    if (wrong)
        return otp_error(OTELPROF_E_INVALID, "not an OTLP profile: %s", wrong);
    reader->request =
        (otlp_request *)(void *)protobuf_c_message_unpack(&otlp_request_descriptor, &reader->allocator, size, bytes);
    if (!reader->request)
        return otp_error(OTELPROF_E_INVALID, "not an OTLP profile: it cannot be decoded");
    wrong = otp_otlp_verify(reader->request);
    if (wrong)
        return otp_error(OTELPROF_E_INVALID, "a damaged OTLP profile: %s", wrong);
    reader->no_tables = (otlp_dictionary)OTLP_DICTIONARY_INIT;
    reader->tables = reader->request->dictionary ? reader->request->dictionary : &reader->no_tables;
    return list_profiles(reader);
}

int otp_otlp_read(const void *bytes, size_t size, struct otp_otlp_reader **out) {
    struct otp_otlp_reader *reader = otp_sys.calloc(1, sizeof(*reader));
    if (!reader)
        return otp_error(OTELPROF_E_MEMORY, "no memory to read a profile");
    reader->allocator = (ProtobufCAllocator){bounded_alloc, bounded_free, reader};
    reader->memory_left = MEMORY_MAX;
    if (size < (MEMORY_MAX - MEMORY_BASE) / MEMORY_FACTOR)
        reader->memory_left = MEMORY_BASE + size * MEMORY_FACTOR;
    int error = open_request(reader, bytes, size);
    if (error) {
        otp_otlp_reader_free(reader);
        return error;
    }
    *out = reader;
    return 0;
}

void otp_otlp_reader_free(struct otp_otlp_reader *reader) {
    if (!reader)
        return;
    if (reader->request)
        protobuf_c_message_free_unpacked(&reader->request->base, &reader->allocator);
    free(reader->profiles);
    free(reader);
}

/* ----------------------------------------------------------------------------------------------- walking */

static const char *text_of(const char *text) { return text ? text : ""; }

static const char *string_at(const struct otp_otlp_reader *reader, int32_t index) {
    return index ? reader->tables->string_table[index] : "";
}

static void read_value(const struct otp_otlp_reader *reader, const otlp_any_value *value, struct otp_otlp_value *out) {
    out->text = "";
    out->number = 0;
    if (!value)
        return;
    if (value->value_case == OTLP_ANY_VALUE_INT) {
        out->text = NULL;
        out->number = value->int_value;
    } else if (value->value_case == OTLP_ANY_VALUE_STRING) {
        out->text = text_of(value->string_value);
    } else if (value->value_case == OTLP_ANY_VALUE_STRINDEX) {
        out->text = string_at(reader, value->string_value_strindex);
    }
}

static bool read_attribute(const struct otp_otlp_reader *reader, const int32_t *indices, size_t count, size_t number,
                           struct otp_otlp_value *out) {
    if (number >= count)
        return false;
    *out = (struct otp_otlp_value){.key = "", .text = ""};
    if (indices[number]) {
        const otlp_attribute *attribute = reader->tables->attribute_table[indices[number]];
        out->key = string_at(reader, attribute->key_strindex);
        read_value(reader, attribute->value, out);
    }
    return true;
}

size_t otp_otlp_profile_count(const struct otp_otlp_reader *reader) { return reader->profile_count; }

bool otp_otlp_profile(const struct otp_otlp_reader *reader, size_t number, struct otp_otlp_profile *out) {
    if (number >= reader->profile_count)
        return false;
    const struct place *place = &reader->profiles[number];
    const otlp_profile *profile = place->profile;
    *out = (struct otp_otlp_profile){
        .sample_name = string_at(reader, profile->sample_type ? profile->sample_type->type_strindex : 0),
        .sample_unit = string_at(reader, profile->sample_type ? profile->sample_type->unit_strindex : 0),
        .period_name = string_at(reader, profile->period_type ? profile->period_type->type_strindex : 0),
        .period_unit = string_at(reader, profile->period_type ? profile->period_type->unit_strindex : 0),
        .period = profile->period,
        .time_unix_ns = profile->time_unix_nano,
        .duration_ns = profile->duration_nano,
        .sample_count = profile->n_samples,
        .attribute_count = profile->n_attribute_indices,
        .resource_attribute_count = place->resource->resource ? place->resource->resource->n_attributes : 0,
        .scope_name = text_of(place->scope->scope ? place->scope->scope->name : NULL),
        .scope_version = text_of(place->scope->scope ? place->scope->scope->version : NULL),
    };
    return true;
}

bool otp_otlp_profile_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t number,
                                struct otp_otlp_value *out) {
    if (profile >= reader->profile_count)
        return false;
    const otlp_profile *from = reader->profiles[profile].profile;
    return read_attribute(reader, from->attribute_indices, from->n_attribute_indices, number, out);
}

bool otp_otlp_resource_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t number,
                                 struct otp_otlp_value *out) {
    const otlp_resource *resource =
        profile < reader->profile_count ? reader->profiles[profile].resource->resource : NULL;
    if (!resource || number >= resource->n_attributes)
        return false;
    const otlp_key_value *pair = resource->attributes[number];
    out->key = pair->key_strindex ? string_at(reader, pair->key_strindex) : text_of(pair->key);
    read_value(reader, pair->value, out);
    return true;
}

static const otlp_sample *sample_at(const struct otp_otlp_reader *reader, size_t profile, size_t sample) {
    if (profile >= reader->profile_count || sample >= reader->profiles[profile].profile->n_samples)
        return NULL;
    return reader->profiles[profile].profile->samples[sample];
}

static size_t stack_of(const struct otp_otlp_reader *reader, const otlp_sample *sample, const int32_t **locations) {
    if (!sample->stack_index)
        return 0;
    const otlp_stack *stack = reader->tables->stack_table[sample->stack_index];
    *locations = stack->location_indices;
    return stack->n_location_indices;
}

bool otp_otlp_sample(const struct otp_otlp_reader *reader, size_t profile, size_t sample, struct otp_otlp_sample *out) {
    const otlp_sample *from = sample_at(reader, profile, sample);
    const int32_t *locations;
    if (!from)
        return false;
    *out = (struct otp_otlp_sample){
        .events = from->n_timestamps_unix_nano ? from->n_timestamps_unix_nano : from->n_values,
        .timestamps = from->timestamps_unix_nano,
        .timestamp_count = from->n_timestamps_unix_nano,
        .frame_count = stack_of(reader, from, &locations),
        .attribute_count = from->n_attribute_indices,
    };
    uint64_t sum = from->n_values ? 0 : out->events;
    for (size_t i = 0; i < from->n_values; i++)
        sum += (uint64_t)from->values[i]; /* wraps on nonsense, which is defined for unsigned numbers */
    out->value = (int64_t)sum;
    if (from->link_index) {
        out->trace_id = reader->tables->link_table[from->link_index]->trace_id.data;
        out->span_id = reader->tables->link_table[from->link_index]->span_id.data;
    }
    return true;
}

bool otp_otlp_sample_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t number,
                               struct otp_otlp_value *out) {
    const otlp_sample *from = sample_at(reader, profile, sample);
    return from && read_attribute(reader, from->attribute_indices, from->n_attribute_indices, number, out);
}

/* NULL for a frame that is not there; an empty one for location 0. */
static const otlp_location *location_at(const struct otp_otlp_reader *reader, size_t profile, size_t sample,
                                        size_t frame) {
    static const otlp_location none = OTLP_LOCATION_INIT;
    const otlp_sample *from = sample_at(reader, profile, sample);
    const int32_t *locations = NULL;
    if (!from || frame >= stack_of(reader, from, &locations))
        return NULL;
    return locations[frame] ? reader->tables->location_table[locations[frame]] : &none;
}

/* The text of the attribute of that key, or "". */
static const char *find_text(const struct otp_otlp_reader *reader, const int32_t *indices, size_t count,
                             const char *key) {
    struct otp_otlp_value value;
    for (size_t i = 0; read_attribute(reader, indices, count, i, &value); i++)
        if (value.text && !strcmp(value.key, key))
            return value.text;
    return "";
}

bool otp_otlp_frame(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t frame,
                    struct otp_otlp_frame *out) {
    const otlp_location *location = location_at(reader, profile, sample, frame);
    if (!location)
        return false;
    *out = (struct otp_otlp_frame){
        .address = location->address,
        .file = "",
        .build_id = "",
        .frame_type =
            find_text(reader, location->attribute_indices, location->n_attribute_indices, "profile.frame.type"),
        .line_count = location->n_lines,
    };
    if (location->mapping_index) {
        const otlp_mapping *mapping = reader->tables->mapping_table[location->mapping_index];
        out->has_mapping = true;
        out->mapping_start = mapping->memory_start;
        out->mapping_end = mapping->memory_limit;
        out->file_offset = mapping->file_offset;
        out->file = string_at(reader, mapping->filename_strindex);
        out->build_id = find_text(reader, mapping->attribute_indices, mapping->n_attribute_indices,
                                  "process.executable.build_id.gnu");
    }
    return true;
}

bool otp_otlp_line(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t frame, size_t line,
                   struct otp_otlp_line *out) {
    const otlp_location *location = location_at(reader, profile, sample, frame);
    if (!location || line >= location->n_lines)
        return false;
    const otlp_line *from = location->lines[line];
    *out = (struct otp_otlp_line){.function = "", .system_name = "", .file = "", .line = from->line};
    if (from->function_index) {
        const otlp_function *function = reader->tables->function_table[from->function_index];
        out->function = string_at(reader, function->name_strindex);
        out->system_name = string_at(reader, function->system_name_strindex);
        out->file = string_at(reader, function->filename_strindex);
        out->start_line = function->start_line;
    }
    return true;
}

// SPDX-License-Identifier: Apache-2.0
#include "encode/otlp_verify.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"

/* The deepest that a request needs is 9; protobuf-c itself recurses as deep as the bytes say. */
#define NESTING_MAX 32

static bool nesting_ok(const ProtobufCMessageDescriptor *descriptor, struct otp_bytes bytes, int depth) {
    if (depth > NESTING_MAX)
        return false;
    while (otp_bytes_left(&bytes) && !bytes.bad) {
        uint64_t tag = otp_bytes_uleb(&bytes);
        switch (tag & 7) {
        case 0:
            otp_bytes_uleb(&bytes);
            break;
        case 1:
            otp_bytes_take(&bytes, 8);
            break;
        case 5:
            otp_bytes_take(&bytes, 4);
            break;
        case 2: {
            uint64_t size = otp_bytes_uleb(&bytes);
            const uint8_t *content = otp_bytes_take(&bytes, size);
            const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
            if (content && field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
                !nesting_ok(field->descriptor, otp_bytes(content, size), depth + 1))
                return false;
            break;
        }
        default:
            return false;
        }
    }
    return !bytes.bad;
}

const char *otp_otlp_verify_nesting(const void *bytes, size_t size) {
    return nesting_ok(&otlp_request_descriptor, otp_bytes(bytes, size), 0)
               ? NULL
               : "it is cut short, nested too deep or no protobuf";
}

/* ---------------------------------------------------------------------------------------------- tables */

static bool in(int32_t index, size_t count) {
    return index == 0 || (index > 0 && (size_t)index < count); /* 0 says "none": no table is needed for that */
}

static bool all_in(const int32_t *indices, size_t count, size_t table) {
    for (size_t i = 0; i < count; i++)
        if (!in(indices[i], table))
            return false;
    return true;
}

static bool text_ok(const char *text) { return !text || otp_utf8_valid(text, strlen(text)); }

static bool value_ok(const otlp_any_value *value, size_t strings) {
    if (value && value->value_case == OTLP_ANY_VALUE_STRING)
        return text_ok(value->string_value);
    return !value || value->value_case != OTLP_ANY_VALUE_STRINDEX || in(value->string_value_strindex, strings);
}

static const char *verify_mappings(const otlp_dictionary *tables) {
    for (size_t i = 0; i < tables->n_mapping_table; i++) {
        const otlp_mapping *mapping = tables->mapping_table[i];
        if (!in(mapping->filename_strindex, tables->n_string_table) ||
            !all_in(mapping->attribute_indices, mapping->n_attribute_indices, tables->n_attribute_table))
            return "a mapping refers to what is not there";
    }
    return NULL;
}

static const char *verify_locations(const otlp_dictionary *tables) {
    for (size_t i = 0; i < tables->n_location_table; i++) {
        const otlp_location *location = tables->location_table[i];
        if (!in(location->mapping_index, tables->n_mapping_table) ||
            !all_in(location->attribute_indices, location->n_attribute_indices, tables->n_attribute_table))
            return "a location refers to what is not there";
        for (size_t j = 0; j < location->n_lines; j++)
            if (!in(location->lines[j]->function_index, tables->n_function_table))
                return "a line refers to a function that is not there";
    }
    for (size_t i = 0; i < tables->n_function_table; i++) {
        const otlp_function *function = tables->function_table[i];
        if (!in(function->name_strindex, tables->n_string_table) ||
            !in(function->system_name_strindex, tables->n_string_table) ||
            !in(function->filename_strindex, tables->n_string_table))
            return "a function refers to a string that is not there";
    }
    return NULL;
}

static const char *verify_tables(const otlp_dictionary *tables) {
    for (size_t i = 0; i < tables->n_string_table; i++)
        if (!text_ok(tables->string_table[i]))
            return "a string is no UTF-8";
    for (size_t i = 0; i < tables->n_attribute_table; i++)
        if (!in(tables->attribute_table[i]->key_strindex, tables->n_string_table) ||
            !value_ok(tables->attribute_table[i]->value, tables->n_string_table))
            return "an attribute refers to a string that is not there, or is no UTF-8";
    for (size_t i = 0; i < tables->n_stack_table; i++)
        if (!all_in(tables->stack_table[i]->location_indices, tables->stack_table[i]->n_location_indices,
                    tables->n_location_table))
            return "a stack refers to a location that is not there";
    for (size_t i = 1; i < tables->n_link_table; i++)
        if (tables->link_table[i]->trace_id.len != 16 || tables->link_table[i]->span_id.len != 8)
            return "a link has ids of wrong length";
    const char *wrong = verify_mappings(tables);
    return wrong ? wrong : verify_locations(tables);
}

/* --------------------------------------------------------------------------------------------- profiles */

static const char *verify_type(const otlp_value_type *type, const otlp_dictionary *tables) {
    return !type || (in(type->type_strindex, tables->n_string_table) && in(type->unit_strindex, tables->n_string_table))
               ? NULL
               : "a value type refers to a string that is not there";
}

static const char *verify_profile(const otlp_profile *profile, const otlp_dictionary *tables) {
    const char *wrong = verify_type(profile->sample_type, tables);
    wrong = wrong ? wrong : verify_type(profile->period_type, tables);
    if (wrong)
        return wrong;
    if (!all_in(profile->attribute_indices, profile->n_attribute_indices, tables->n_attribute_table))
        return "a profile refers to an attribute that is not there";
    for (size_t i = 0; i < profile->n_samples; i++) {
        const otlp_sample *sample = profile->samples[i];
        if (!in(sample->stack_index, tables->n_stack_table) || !in(sample->link_index, tables->n_link_table) ||
            !all_in(sample->attribute_indices, sample->n_attribute_indices, tables->n_attribute_table))
            return "a sample refers to what is not there";
        if (sample->n_values && sample->n_timestamps_unix_nano && sample->n_values != sample->n_timestamps_unix_nano)
            return "a sample has not as many values as timestamps";
    }
    return NULL;
}

static const char *verify_texts(const otlp_resource_profiles *resource, const otlp_dictionary *tables) {
    size_t count = resource->resource ? resource->resource->n_attributes : 0;
    for (size_t i = 0; i < count; i++) {
        const otlp_key_value *pair = resource->resource->attributes[i];
        if (!text_ok(pair->key) || !in(pair->key_strindex, tables->n_string_table) ||
            !value_ok(pair->value, tables->n_string_table))
            return "an attribute of the resource is no UTF-8, or refers to what is not there";
    }
    for (size_t i = 0; i < resource->n_scope_profiles; i++) {
        const otlp_scope *scope = resource->scope_profiles[i]->scope;
        if (scope && (!text_ok(scope->name) || !text_ok(scope->version)))
            return "the scope is no UTF-8";
    }
    return NULL;
}

const char *otp_otlp_verify(const otlp_request *request) {
    static const otlp_dictionary none = OTLP_DICTIONARY_INIT;
    const otlp_dictionary *tables = request->dictionary ? request->dictionary : &none;
    const char *wrong = verify_tables(tables);
    for (size_t i = 0; !wrong && i < request->n_resource_profiles; i++) {
        const otlp_resource_profiles *resource = request->resource_profiles[i];
        wrong = verify_texts(resource, tables);
        for (size_t j = 0; !wrong && j < resource->n_scope_profiles; j++)
            for (size_t k = 0; !wrong && k < resource->scope_profiles[j]->n_profiles; k++)
                wrong = verify_profile(resource->scope_profiles[j]->profiles[k], tables);
    }
    return wrong;
}

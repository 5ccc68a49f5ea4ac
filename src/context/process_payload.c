// SPDX-License-Identifier: Apache-2.0
#include "context/process_payload.h"

#include <stdlib.h>

#include <otelprof/otelprof.h>

#include "base/error.h"
#include "base/sys.h"
#include "context/attribute_keys.h"
#include "opentelemetry/proto/processcontext/v1development/process_context.pb-c.h"

typedef Opentelemetry__Proto__Common__V1__AnyValue any_value;
typedef Opentelemetry__Proto__Common__V1__KeyValue key_value;

/* Everything that the message points to, in one block. */
struct parts {
    Opentelemetry__Proto__Processcontext__V1development__ProcessContext context;
    Opentelemetry__Proto__Resource__V1__Resource resource;
    Opentelemetry__Proto__Common__V1__ArrayValue key_map;
    key_value attributes[2];
    any_value attribute_values[2];
    key_value *attribute_list[2];
    any_value key_names[OTP_ATTRIBUTE_KEYS_MAX];
    any_value *key_name_list[OTP_ATTRIBUTE_KEYS_MAX];
    struct {
        key_value pair;
        any_value value;
    } resource_pairs[];
};

static void set_string(any_value *value, const char *text) {
    opentelemetry__proto__common__v1__any_value__init(value);
    value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
    value->string_value = (char *)(uintptr_t)text;
}

static void set_pair(key_value *pair, const char *key, any_value *value) {
    opentelemetry__proto__common__v1__key_value__init(pair);
    pair->key = (char *)(uintptr_t)key;
    pair->value = value;
}

/* The two entries of OTEP 4947: schema and key map. */
static void fill_thread_part(struct parts *parts, uint32_t keys) {
    opentelemetry__proto__common__v1__array_value__init(&parts->key_map);
    for (uint32_t i = 0; i < keys; i++) {
        set_string(&parts->key_names[i], otp_attribute_key_name(i));
        parts->key_name_list[i] = &parts->key_names[i];
    }
    parts->key_map.n_values = keys;
    parts->key_map.values = parts->key_name_list;

    set_string(&parts->attribute_values[0], OTP_THREAD_SCHEMA);
    set_pair(&parts->attributes[0], "threadlocal.schema_version", &parts->attribute_values[0]);
    opentelemetry__proto__common__v1__any_value__init(&parts->attribute_values[1]);
    parts->attribute_values[1].value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE;
    parts->attribute_values[1].array_value = &parts->key_map;
    set_pair(&parts->attributes[1], "threadlocal.attribute_key_map", &parts->attribute_values[1]);
    parts->attribute_list[0] = &parts->attributes[0];
    parts->attribute_list[1] = &parts->attributes[1];
}

int otp_process_payload_build(struct otp_process_payload *payload, const struct otp_process_attribute *resource,
                              size_t count, uint32_t keys) {
    struct parts *parts = otp_sys.malloc(sizeof(*parts) + count * sizeof(parts->resource_pairs[0]));
    key_value **list = otp_sys.malloc((count + 1) * sizeof(*list));
    uint8_t *bytes = NULL;
    if (parts && list) {
        opentelemetry__proto__processcontext__v1development__process_context__init(&parts->context);
        opentelemetry__proto__resource__v1__resource__init(&parts->resource);
        for (size_t i = 0; i < count; i++) {
            set_string(&parts->resource_pairs[i].value, resource[i].value);
            set_pair(&parts->resource_pairs[i].pair, resource[i].key, &parts->resource_pairs[i].value);
            list[i] = &parts->resource_pairs[i].pair;
        }
        parts->resource.n_attributes = count;
        parts->resource.attributes = list;
        fill_thread_part(parts, keys);
        parts->context.resource = &parts->resource;
        parts->context.n_attributes = 2;
        parts->context.attributes = parts->attribute_list;
        payload->size =
            opentelemetry__proto__processcontext__v1development__process_context__get_packed_size(&parts->context);
        bytes = otp_sys.malloc(payload->size);
        if (bytes)
            opentelemetry__proto__processcontext__v1development__process_context__pack(&parts->context, bytes);
    }
    free(list);
    free(parts);
    payload->bytes = bytes;
    payload->keys = keys;
    return bytes ? 0 : otp_error(OTELPROF_E_MEMORY, "process context: out of memory");
}

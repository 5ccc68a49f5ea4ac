// SPDX-License-Identifier: Apache-2.0
/* Short names for what protoc-c makes of proto/. For the encode room only. */
#ifndef OTP_ENCODE_MESSAGES_H
#define OTP_ENCODE_MESSAGES_H

#include "opentelemetry/proto/collector/profiles/v1development/profiles_service.pb-c.h"

typedef Opentelemetry__Proto__Common__V1__AnyValue otlp_any_value;
#define OTLP_ANY_VALUE_INIT OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT
#define OTLP_ANY_VALUE_STRING OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE
#define OTLP_ANY_VALUE_STRINDEX OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE_STRINDEX
#define OTLP_ANY_VALUE_INT OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE
#define OTLP_ANY_VALUE_ARRAY OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE
typedef Opentelemetry__Proto__Common__V1__ArrayValue otlp_array_value;
#define OTLP_ARRAY_VALUE_INIT OPENTELEMETRY__PROTO__COMMON__V1__ARRAY_VALUE__INIT
typedef Opentelemetry__Proto__Common__V1__KeyValue otlp_key_value;
#define OTLP_KEY_VALUE_INIT OPENTELEMETRY__PROTO__COMMON__V1__KEY_VALUE__INIT
typedef Opentelemetry__Proto__Common__V1__InstrumentationScope otlp_scope;
#define OTLP_SCOPE_INIT OPENTELEMETRY__PROTO__COMMON__V1__INSTRUMENTATION_SCOPE__INIT
typedef Opentelemetry__Proto__Resource__V1__Resource otlp_resource;
#define OTLP_RESOURCE_INIT OPENTELEMETRY__PROTO__RESOURCE__V1__RESOURCE__INIT

#define OTLP_PROFILES(name) Opentelemetry__Proto__Profiles__V1development__##name
#define OTLP_PROFILES_INIT(name) OPENTELEMETRY__PROTO__PROFILES__V1DEVELOPMENT__##name##__INIT
typedef OTLP_PROFILES(ResourceProfiles) otlp_resource_profiles;
#define OTLP_RESOURCE_PROFILES_INIT OTLP_PROFILES_INIT(RESOURCE_PROFILES)
typedef OTLP_PROFILES(ScopeProfiles) otlp_scope_profiles;
#define OTLP_SCOPE_PROFILES_INIT OTLP_PROFILES_INIT(SCOPE_PROFILES)
typedef OTLP_PROFILES(ProfilesDictionary) otlp_dictionary;
#define OTLP_DICTIONARY_INIT OTLP_PROFILES_INIT(PROFILES_DICTIONARY)
typedef OTLP_PROFILES(Profile) otlp_profile;
#define OTLP_PROFILE_INIT OTLP_PROFILES_INIT(PROFILE)
typedef OTLP_PROFILES(Sample) otlp_sample;
#define OTLP_SAMPLE_INIT OTLP_PROFILES_INIT(SAMPLE)
typedef OTLP_PROFILES(ValueType) otlp_value_type;
#define OTLP_VALUE_TYPE_INIT OTLP_PROFILES_INIT(VALUE_TYPE)
typedef OTLP_PROFILES(Link) otlp_link;
#define OTLP_LINK_INIT OTLP_PROFILES_INIT(LINK)
typedef OTLP_PROFILES(Mapping) otlp_mapping;
#define OTLP_MAPPING_INIT OTLP_PROFILES_INIT(MAPPING)
typedef OTLP_PROFILES(Stack) otlp_stack;
#define OTLP_STACK_INIT OTLP_PROFILES_INIT(STACK)
typedef OTLP_PROFILES(Location) otlp_location;
#define OTLP_LOCATION_INIT OTLP_PROFILES_INIT(LOCATION)
typedef OTLP_PROFILES(Line) otlp_line;
#define OTLP_LINE_INIT OTLP_PROFILES_INIT(LINE)
typedef OTLP_PROFILES(Function) otlp_function;
#define OTLP_FUNCTION_INIT OTLP_PROFILES_INIT(FUNCTION)
typedef OTLP_PROFILES(KeyValueAndUnit) otlp_attribute;
#define OTLP_ATTRIBUTE_INIT OTLP_PROFILES_INIT(KEY_VALUE_AND_UNIT)

typedef Opentelemetry__Proto__Collector__Profiles__V1development__ExportProfilesServiceRequest otlp_request;
#define OTLP_REQUEST_INIT                                                                                              \
    OPENTELEMETRY__PROTO__COLLECTOR__PROFILES__V1DEVELOPMENT__EXPORT_PROFILES_SERVICE_REQUEST__INIT
#define otlp_request_descriptor                                                                                        \
    opentelemetry__proto__collector__profiles__v1development__export_profiles_service_request__descriptor

#endif

// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/messages.h"
#include "encode/otlp.h"
#include "encode/otlp_reader.h"
#include "profile_fixture.h"

/* ------------------------------------------------------------------------------------------- collecting */

#define REQUESTS_MAX 1024

struct requests {
    uint8_t *bytes[REQUESTS_MAX];
    size_t sizes[REQUESTS_MAX];
    uint64_t samples[REQUESTS_MAX];
    size_t count;
    size_t stop_after; /* 0: never */
    size_t too_large;  /* requests of more bytes shall come again in two, where that can be; 0: none */
    uint64_t refused;
};

static int collect(void *user, const struct otp_otlp_request *request) {
    struct requests *requests = user;
    ck_assert_uint_lt(requests->count, REQUESTS_MAX);
    ck_assert_uint_eq(request->index, requests->count);
    if (requests->too_large && request->size > requests->too_large && request->can_split) {
        requests->refused++;
        return OTP_OTLP_SPLIT;
    }
    requests->bytes[requests->count] = malloc(request->size);
    memcpy(requests->bytes[requests->count], request->bytes, request->size);
    requests->sizes[requests->count] = request->size;
    requests->samples[requests->count++] = request->samples;
    return requests->stop_after && requests->count == requests->stop_after ? -99 : 0;
}

static void drop(struct requests *requests) {
    for (size_t i = 0; i < requests->count; i++)
        free(requests->bytes[i]);
    requests->count = 0;
}

/* ---------------------------------------------------------------- the rules of a dictionary, on protobuf-c */

struct uses {
    uint8_t *strings, *functions, *mappings, *locations, *links, *attributes, *stacks;
};

static uint8_t *flags(size_t count) {
    ck_assert_uint_ge(count, 1); /* element 0 is there */
    return calloc(count, 1);
}

static void use(uint8_t *table, size_t count, int32_t index) {
    ck_assert_int_ge(index, 0);
    ck_assert_uint_lt((size_t)index, count);
    table[index] = 1;
}

static void use_attributes(const otlp_dictionary *tables, struct uses *uses, const int32_t *indices, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_ne(indices[i], 0);
        use(uses->attributes, tables->n_attribute_table, indices[i]);
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ne(tables->attribute_table[indices[i]]->key_strindex,
                             tables->attribute_table[indices[j]]->key_strindex);
    }
}

static void use_tables(const otlp_dictionary *tables, struct uses *uses) {
    for (size_t i = 0; i < tables->n_mapping_table; i++) {
        const otlp_mapping *mapping = tables->mapping_table[i];
        use(uses->strings, tables->n_string_table, mapping->filename_strindex);
        use_attributes(tables, uses, mapping->attribute_indices, mapping->n_attribute_indices);
        ck_assert(i ? mapping->n_attribute_indices > 0 : !mapping->n_attribute_indices && !mapping->memory_limit);
    }
    for (size_t i = 0; i < tables->n_location_table; i++) {
        const otlp_location *location = tables->location_table[i];
        use(uses->mappings, tables->n_mapping_table, location->mapping_index);
        use_attributes(tables, uses, location->attribute_indices, location->n_attribute_indices);
        for (size_t j = 0; j < location->n_lines; j++)
            use(uses->functions, tables->n_function_table, location->lines[j]->function_index);
    }
    for (size_t i = 0; i < tables->n_function_table; i++) {
        use(uses->strings, tables->n_string_table, tables->function_table[i]->name_strindex);
        use(uses->strings, tables->n_string_table, tables->function_table[i]->system_name_strindex);
        use(uses->strings, tables->n_string_table, tables->function_table[i]->filename_strindex);
    }
    for (size_t i = 0; i < tables->n_stack_table; i++)
        for (size_t j = 0; j < tables->stack_table[i]->n_location_indices; j++)
            use(uses->locations, tables->n_location_table, tables->stack_table[i]->location_indices[j]);
    for (size_t i = 0; i < tables->n_attribute_table; i++)
        use(uses->strings, tables->n_string_table, tables->attribute_table[i]->key_strindex);
    for (size_t i = 0; i < tables->n_link_table; i++) {
        ck_assert_uint_eq(tables->link_table[i]->trace_id.len, i ? 16 : 0);
        ck_assert_uint_eq(tables->link_table[i]->span_id.len, i ? 8 : 0);
    }
}

static void no_orphans(const uint8_t *used, size_t count, const char *table) {
    for (size_t i = 1; i < count; i++)
        ck_assert_msg(used[i], "%s %zu is an orphan", table, i);
}

/* Equal messages would pack to equal bytes: the index in the set must grow with each element. */
static void no_duplicates(struct otp_arena *arena, ProtobufCMessage *const *messages, size_t count, const char *table) {
    struct otp_intern *set = otp_intern_new(arena);
    for (size_t i = 0; i < count; i++) {
        uint8_t packed[8192];
        ck_assert_uint_le(protobuf_c_message_get_packed_size(messages[i]), sizeof(packed));
        size_t size = protobuf_c_message_pack(messages[i], packed);
        ck_assert_msg(i ? size > 0 : size == 0, "%s %zu has %zu bytes", table, i, size);
        ck_assert_msg(otp_intern(set, packed, size) == i, "%s %zu is there twice", table, i);
    }
}

#define NO_DUPLICATES(table) no_duplicates(arena, (ProtobufCMessage **)tables->table, tables->n_##table, #table)

static void check_duplicates(const otlp_dictionary *tables) {
    struct otp_arena *arena = otp_arena_new(0);
    NO_DUPLICATES(mapping_table);
    NO_DUPLICATES(location_table);
    NO_DUPLICATES(function_table);
    NO_DUPLICATES(link_table);
    NO_DUPLICATES(attribute_table);
    NO_DUPLICATES(stack_table);
    struct otp_intern *strings = otp_intern_new(arena);
    for (size_t i = 0; i < tables->n_string_table; i++)
        ck_assert_uint_eq(otp_intern(strings, tables->string_table[i], strlen(tables->string_table[i])), i);
    ck_assert_str_eq(tables->string_table[0], "");
    otp_arena_free(arena);
}

/* Returns the events that the profile tells: the heap's are not told, but estimates of what they stand for. */
static uint64_t check_profile(const otlp_profile *profile, const otlp_dictionary *tables, struct uses *uses) {
    bool tells_events = !strcmp(tables->string_table[profile->sample_type->type_strindex], "samples");
    struct otp_arena *arena = otp_arena_new(0);
    struct otp_intern *identities = otp_intern_new(arena);
    uint64_t events = 0;
    use(uses->strings, tables->n_string_table, profile->sample_type->type_strindex);
    use(uses->strings, tables->n_string_table, profile->sample_type->unit_strindex);
    use(uses->strings, tables->n_string_table, profile->period_type->type_strindex);
    use(uses->strings, tables->n_string_table, profile->period_type->unit_strindex);
    use_attributes(tables, uses, profile->attribute_indices, profile->n_attribute_indices);
    ck_assert_uint_eq(profile->profile_id.len, 16);
    ck_assert_int_gt(profile->period, 0);
    ck_assert_uint_gt(profile->n_samples, 0);
    for (size_t i = 0; i < profile->n_samples; i++) {
        const otlp_sample *sample = profile->samples[i];
        int32_t identity[300] = {sample->stack_index, sample->link_index};
        use(uses->stacks, tables->n_stack_table, sample->stack_index);
        use(uses->links, tables->n_link_table, sample->link_index);
        use_attributes(tables, uses, sample->attribute_indices, sample->n_attribute_indices);
        memcpy(identity + 2, sample->attribute_indices, sample->n_attribute_indices * sizeof(int32_t));
        ck_assert_uint_eq(otp_intern(identities, identity, (2 + sample->n_attribute_indices) * sizeof(int32_t)), i);
        ck_assert((sample->n_values == 1) != (sample->n_timestamps_unix_nano > 0));
        ck_assert(tells_events || sample->n_values == 1);
        ck_assert(!sample->n_values || sample->values[0] > 0);
        for (size_t j = 0; j < sample->n_timestamps_unix_nano; j++) {
            ck_assert_uint_ge(sample->timestamps_unix_nano[j], profile->time_unix_nano);
            ck_assert_uint_lt(sample->timestamps_unix_nano[j], profile->time_unix_nano + profile->duration_nano);
        }
        events += sample->n_values ? (uint64_t)sample->values[0] : sample->n_timestamps_unix_nano;
    }
    otp_arena_free(arena);
    return tells_events ? events : 0;
}

/* Every rule that a request has to keep; returns its events. */
static uint64_t check_request(const uint8_t *bytes, size_t size) {
    otlp_request *request =
        (otlp_request *)(void *)protobuf_c_message_unpack(&otlp_request_descriptor, NULL, size, bytes);
    ck_assert_ptr_nonnull(request);
    const otlp_dictionary *tables = request->dictionary;
    struct uses uses = {flags(tables->n_string_table),  flags(tables->n_function_table),
                        flags(tables->n_mapping_table), flags(tables->n_location_table),
                        flags(tables->n_link_table),    flags(tables->n_attribute_table),
                        flags(tables->n_stack_table)};
    uint64_t events = 0;
    use_tables(tables, &uses);
    ck_assert_uint_eq(request->n_resource_profiles, 1);
    ck_assert_str_eq(request->resource_profiles[0]->schema_url, OTP_OTLP_SCHEMA_URL);
    ck_assert_uint_eq(request->resource_profiles[0]->n_scope_profiles, 1);
    const otlp_scope_profiles *scope = request->resource_profiles[0]->scope_profiles[0];
    ck_assert_str_eq(scope->scope->name, "otelprof");
    ck_assert_str_eq(scope->scope->version, OTELPROF_VERSION);
    for (size_t i = 0; i < scope->n_profiles; i++)
        events += check_profile(scope->profiles[i], tables, &uses);
    no_orphans(uses.strings, tables->n_string_table, "string");
    no_orphans(uses.functions, tables->n_function_table, "function");
    no_orphans(uses.mappings, tables->n_mapping_table, "mapping");
    no_orphans(uses.locations, tables->n_location_table, "location");
    no_orphans(uses.links, tables->n_link_table, "link");
    no_orphans(uses.attributes, tables->n_attribute_table, "attribute");
    no_orphans(uses.stacks, tables->n_stack_table, "stack");
    check_duplicates(tables);
    uint8_t *all[] = {uses.strings, uses.functions,  uses.mappings, uses.locations,
                      uses.links,   uses.attributes, uses.stacks};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    protobuf_c_message_free_unpacked(&request->base, NULL);
    return events;
}

/* ------------------------------------------------------------------------------------------ making windows */

static size_t names(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                    struct otp_symbol_line *lines, size_t max) {
    static char name[REQUESTS_MAX];
    (void)user;
    (void)max;
    if (frame->kind == OTP_FRAME_UNKNOWN || !mapping)
        return 0;
    snprintf(name, sizeof(name), "function_%llx", (unsigned long long)(frame->address & ~0xfull));
    if (frame->address & 1) { /* inlined into the function */
        lines[0] = (struct otp_symbol_line){"inlined", "inlined", "inline.h", 7, 5};
        lines[1] = (struct otp_symbol_line){name, name, "source.c", 30, 20};
        return 2;
    }
    lines[0] = (struct otp_symbol_line){name, name, "source.c", 30, 20};
    return 1;
}

static const struct otp_symbolizer symbolizer = {.names = names};

static const char *const args[] = {"-v", "", "caf\xc3"};
static const struct otp_resource_entry entries[] = {
    {.key = "service.name", .kind = OTP_RESOURCE_TEXT, .text = "demo"},
    {.key = "process.pid", .kind = OTP_RESOURCE_INT, .number = 77},
    {.key = "process.command_args", .kind = OTP_RESOURCE_TEXTS, .texts = args, .text_count = 3},
    {.key = "empty", .kind = OTP_RESOURCE_TEXT, .text = ""},
};
static const struct otp_resource resource = {entries, 4};

/* `count` samples, with `links` different spans and stacks that share their outer frames. */
static struct otp_window *busy_window(enum otelprof_detail detail, uint64_t count, uint64_t links) {
    struct otp_window *window = fixture_mapped_window(detail, 0);
    const struct otp_mapping anonymous = {.module_number = 3, .anonymous = true, .start = 0x9000, .end = 0xa000};
    otp_window_mapping(window, &anonymous);
    for (uint64_t i = 0; i < count; i++) {
        const struct otp_frame_ref frames[] = {
            {.address = 0x1000 + i % 97 * 3, .mapping = 0},
            {.address = 0x9000 + i % 3, .mapping = 2},
            {.address = 0x2010, .mapping = 1},
            {.address = 0xffffffff81000000, .mapping = OTP_NO_MAPPING, .kind = OTP_FRAME_KERNEL},
            {.address = 0x2020, .mapping = 1},
            {.kind = OTP_FRAME_TRUNCATED, .mapping = OTP_NO_MAPPING},
        };
        struct otp_thread_record record = fixture_record(links ? 1 + i % links : 0, i % 2 ? "/a" : "");
        struct otp_sample sample = fixture_sample(frames, 6);
        sample.time_unix_ns = START_NS + i * 1000;
        sample.tid = 100 + (uint32_t)(i % 5);
        sample.context = &record;
        sample.context_size = sizeof(record);
        sample.stop = i % 11 ? OTP_STOP_COMPLETE : OTP_STOP_NO_ROWS;
        ck_assert_int_eq(otp_window_add(window, &sample), 0);
    }
    otp_window_close(window, START_NS + 10 * SECOND_NS,
                     &(struct otelprof_stats){.samples_fired = count + 3, .lost_ring_full = 3});
    return window;
}

/* Encodes, checks every request, and returns the events that they tell. */
static uint64_t encode_any_and_check(const struct otp_window *window, const struct otp_otlp_options *options,
                                     struct requests *requests, struct otp_otlp_result *result) {
    uint64_t events = 0, told = 0;
    ck_assert_int_eq(otp_otlp_encode(window, &resource, &symbolizer, options, collect, requests, result), 0);
    for (size_t i = 0; i < requests->count; i++) {
        events += check_request(requests->bytes[i], requests->sizes[i]);
        told += requests->samples[i];
        if (options && options->bytes_max)
            ck_assert_uint_le(requests->sizes[i], options->bytes_max);
    }
    ck_assert_uint_eq(told, result->samples);
    ck_assert_uint_eq(result->requests, requests->count);
    return events;
}

/* Likewise, for windows of CPU samples: they tell all events that they hold. */
static uint64_t encode_and_check(const struct otp_window *window, const struct otp_otlp_options *options,
                                 struct requests *requests, struct otp_otlp_result *result) {
    uint64_t events = encode_any_and_check(window, options, requests, result);
    ck_assert_uint_eq(events, result->samples);
    ck_assert(result->complete == !result->samples_lost);
    return events;
}

/* ------------------------------------------------------------------------------------------------- tests */

START_TEST(every_detail_keeps_the_rules) {
    for (int detail = OTELPROF_DETAIL_FULL; detail <= OTELPROF_DETAIL_MERGED; detail++) {
        struct otp_window *window = busy_window((enum otelprof_detail)detail, 3000, 20);
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        ck_assert_uint_eq(encode_and_check(window, NULL, &requests, &result), 3000);
        ck_assert_uint_eq(requests.count, 1);
        ck_assert_uint_eq(result.samples_lost, 0);
        /* 97 in the first module, 2 in the second; anonymous ones are asked for too; the kernel's has no name here. */
        ck_assert_uint_eq(result.symbols_resolved, 97 + 3 + 2);
        ck_assert_uint_eq(result.symbols_missing, 1);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

START_TEST(splits_at_samples) {
    static const uint32_t limits[] = {1, 7, 999, 1000, 1001};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        uint64_t count = limits[i] < 100 ? 40 : 5000;
        struct otp_window *window = busy_window(OTELPROF_DETAIL_FULL, count, 3);
        struct otp_otlp_options options = {.samples_max = limits[i]};
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        ck_assert_uint_eq(encode_and_check(window, &options, &requests, &result), count);
        ck_assert_uint_eq(requests.count, (count + limits[i] - 1) / limits[i]);
        for (size_t j = 0; j < requests.count; j++)
            ck_assert_uint_le(requests.samples[j], limits[i]);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

START_TEST(one_group_over_several_requests) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1010, .mapping = fixture_mapping(window, 1, "/bin/one")}};
    struct otp_sample sample = fixture_sample(frames, 1);
    for (uint64_t i = 0; i < 40000; i++) {
        sample.time_unix_ns = START_NS + i;
        otp_window_add(window, &sample);
    }
    otp_window_close(window, START_NS + SECOND_NS, NULL);
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    ck_assert_uint_eq(encode_and_check(window, NULL, &requests, &result), 40000);
    ck_assert_uint_eq(requests.count, 3);
    ck_assert_uint_eq(requests.samples[0], 16000);
    ck_assert_uint_eq(requests.samples[2], 8000);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(splits_at_bytes) {
    for (size_t bytes = 6000; bytes < 200000; bytes *= 3) {
        for (int detail = OTELPROF_DETAIL_FULL; detail <= OTELPROF_DETAIL_MERGED; detail++) {
            struct otp_window *window = busy_window((enum otelprof_detail)detail, 1500, 50);
            struct otp_otlp_options options = {.bytes_max = bytes, .memory_bytes = 64 << 20};
            struct requests requests = {.count = 0};
            struct otp_otlp_result result;
            ck_assert_uint_eq(encode_and_check(window, &options, &requests, &result), 1500);
            ck_assert_uint_eq(result.samples_lost, 0);
            drop(&requests);
            otp_window_free(window);
        }
    }
}
END_TEST

START_TEST(too_large_for_any_request_is_lost_and_counted) {
    struct otp_window *window = busy_window(OTELPROF_DETAIL_FULL, 100, 1);
    struct otp_otlp_options options = {.bytes_max = 600, .memory_bytes = 1 << 20};
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    ck_assert_uint_eq(encode_and_check(window, &options, &requests, &result), 0);
    ck_assert_uint_eq(result.samples_lost, 100);
    otp_window_free(window);
}
END_TEST

/* A frame a thousand times on a stack costs its long names once: the first guess is above any limit. */
START_TEST(recursion_with_long_names_fits) {
    static char name[4000];
    memset(name, 'n', sizeof(name) - 1);
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[600] = {{.address = 0}};
    uint32_t mapping = fixture_mapping(window, 1, name);
    for (int i = 0; i < 600; i++)
        frames[i] = (struct otp_frame_ref){.address = 0x1000, .mapping = mapping};
    struct otp_sample sample = fixture_sample(frames, 600);
    otp_window_add(window, &sample);
    otp_window_close(window, START_NS + 2 * SECOND_NS, NULL);
    struct otp_otlp_options options = {.bytes_max = 20000, .memory_bytes = 8 << 20};
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    ck_assert_uint_eq(encode_and_check(window, &options, &requests, &result), 1);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(little_memory_loses_what_it_counts) {
    struct otp_window *window = busy_window(OTELPROF_DETAIL_FULL, 3000, 300);
    int kept = 0, lost = 0;
    for (size_t memory = 1 << 16; memory <= 8 << 20; memory *= 2) {
        struct otp_otlp_options options = {.memory_bytes = memory};
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        int error = otp_otlp_encode(window, &resource, &symbolizer, &options, collect, &requests, &result);
        ck_assert(error == 0 || error == OTELPROF_E_MEMORY);
        if (!error)
            ck_assert_uint_eq(result.samples + result.samples_lost, 3000);
        ck_assert(result.complete == (result.samples == 3000));
        kept += result.samples == 3000;
        lost += result.samples < 3000;
        drop(&requests);
    }
    ck_assert_int_gt(kept, 0);
    ck_assert_int_gt(lost, 0);
    otp_window_free(window);
}
END_TEST

START_TEST(sink_stops_the_encoding) {
    struct otp_window *window = busy_window(OTELPROF_DETAIL_FULL, 100, 3);
    struct otp_otlp_options options = {.samples_max = 10};
    struct requests requests = {.stop_after = 3};
    struct otp_otlp_result result;
    ck_assert_int_eq(otp_otlp_encode(window, NULL, NULL, &options, collect, &requests, &result), -99);
    ck_assert_uint_eq(result.requests, 3);
    ck_assert_uint_eq(result.samples, 30);
    ck_assert(!result.complete);
    drop(&requests);
    requests.stop_after = 10; /* the last one: there was no more to say */
    ck_assert_int_eq(otp_otlp_encode(window, NULL, NULL, &options, collect, &requests, &result), -99);
    ck_assert(result.complete);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(empty_window_sends_nothing) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    otp_window_close(window, START_NS, NULL);
    ck_assert_uint_eq(encode_and_check(window, NULL, &requests, &result), 0);
    ck_assert_uint_eq(requests.count, 0);
    otp_window_free(window);
}
END_TEST

/* The same library loaded twice at the same place: two modules in the window, one mapping on the wire. */
START_TEST(equal_on_the_wire_is_one) {
    for (int detail = OTELPROF_DETAIL_FULL; detail <= OTELPROF_DETAIL_MERGED; detail += 2) {
        struct otp_window *window = fixture_window((enum otelprof_detail)detail, 0);
        struct otp_mapping mapping = {.path = "/lib/x.so", .start = 0x5000, .end = 0x6000, .htlhash = "ab"};
        for (uint32_t module = 1; module <= 3; module++) {
            mapping.module_number = module;
            struct otp_frame_ref frames[] = {{.address = 0x5010, .mapping = otp_window_mapping(window, &mapping)}};
            struct otp_sample sample = fixture_sample(frames, 1);
            otp_window_add(window, &sample);
            otp_window_add(window, &sample);
        }
        ck_assert_uint_eq(otp_window_group_count(window), 3);
        otp_window_close(window, START_NS + 2 * SECOND_NS, NULL);
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        ck_assert_uint_eq(encode_and_check(window, NULL, &requests, &result), 6);
        struct otp_otlp_reader *reader;
        struct otp_otlp_profile profile;
        ck_assert_int_eq(otp_otlp_read(requests.bytes[0], requests.sizes[0], &reader), 0);
        otp_otlp_profile(reader, 0, &profile);
        ck_assert_uint_eq(profile.sample_count, 1);
        otp_otlp_reader_free(reader);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

static void expect_value(const struct otp_otlp_value *value, const char *key, const char *text, int64_t number) {
    ck_assert_str_eq(value->key, key);
    if (text)
        ck_assert_str_eq(value->text, text);
    else
        ck_assert_ptr_null(value->text);
    ck_assert_int_eq(value->number, number);
}

START_TEST(reader_sees_what_was_encoded) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1011, .mapping = fixture_mapping(window, 1, "/bin/o\xffne")},
                                     {.kind = OTP_FRAME_TRUNCATED, .mapping = OTP_NO_MAPPING}};
    struct otp_thread_record record = fixture_record(7, "/a");
    struct otp_sample sample = fixture_sample(frames, 2);
    sample.context = &record;
    sample.context_size = sizeof(record);
    otp_window_add(window, &sample);
    otp_window_close(window, START_NS + 10 * SECOND_NS, &(struct otelprof_stats){.samples_fired = 5});
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    encode_and_check(window, NULL, &requests, &result);
    struct otp_otlp_reader *reader;
    ck_assert_int_eq(otp_otlp_read(requests.bytes[0], requests.sizes[0], &reader), 0);

    struct otp_otlp_profile profile;
    struct otp_otlp_value value;
    ck_assert(otp_otlp_profile(reader, 0, &profile) && !otp_otlp_profile(reader, 1, &profile));
    ck_assert_str_eq(profile.sample_name, "samples");
    ck_assert_str_eq(profile.sample_unit, "count");
    ck_assert_str_eq(profile.period_name, "cpu");
    ck_assert_str_eq(profile.period_unit, "nanoseconds");
    ck_assert_int_eq(profile.period, 10101010);
    ck_assert_uint_eq(profile.time_unix_ns, START_NS);
    ck_assert_uint_eq(profile.duration_ns, 10 * SECOND_NS);
    ck_assert_str_eq(profile.scope_name, "otelprof");
    ck_assert_uint_eq(profile.resource_attribute_count, 4);
    otp_otlp_resource_attribute(reader, 0, 0, &value);
    expect_value(&value, "service.name", "demo", 0);
    otp_otlp_resource_attribute(reader, 0, 1, &value);
    expect_value(&value, "process.pid", NULL, 77);
    ck_assert(!otp_otlp_resource_attribute(reader, 0, 4, &value));
    otp_otlp_profile_attribute(reader, 0, 0, &value);
    expect_value(&value, "otelprof.rung", "ebpf", 0);
    ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.cpu.rate_hz"), 99);
    ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.samples.fired"), 5);
    ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.samples.lost.ring_full"), 0);
    ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.threads.without_slot"), -1);

    struct otp_otlp_sample seen;
    ck_assert(otp_otlp_sample(reader, 0, 0, &seen) && !otp_otlp_sample(reader, 0, 1, &seen));
    ck_assert_uint_eq(seen.events, 1);
    ck_assert_int_eq(seen.value, 1);
    ck_assert_uint_eq(seen.timestamps[0], START_NS + SECOND_NS);
    ck_assert_mem_eq(seen.trace_id, record.trace_id, 16);
    ck_assert_mem_eq(seen.span_id, record.span_id, 8);
    ck_assert_uint_eq(seen.attribute_count, 4);

    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    ck_assert(otp_otlp_frame(reader, 0, 0, 0, &frame));
    ck_assert_uint_eq(frame.address, 0x1011);
    ck_assert(frame.has_mapping);
    ck_assert_uint_eq(frame.mapping_start, 0x1000);
    ck_assert_str_eq(frame.file, "/bin/o\xef\xbf\xbdne");
    ck_assert_str_eq(frame.build_id, "deadbeef");
    ck_assert_str_eq(frame.frame_type, "native");
    ck_assert_uint_eq(frame.line_count, 2);
    ck_assert(otp_otlp_line(reader, 0, 0, 0, 0, &line));
    ck_assert_str_eq(line.function, "inlined");
    ck_assert(otp_otlp_line(reader, 0, 0, 0, 1, &line));
    ck_assert_str_eq(line.function, "function_1010");
    ck_assert_str_eq(line.file, "source.c");
    ck_assert_int_eq(line.line, 30);
    ck_assert_int_eq(line.start_line, 20);
    ck_assert(!otp_otlp_line(reader, 0, 0, 0, 2, &line));
    ck_assert(otp_otlp_frame(reader, 0, 0, 1, &frame) && !otp_otlp_frame(reader, 0, 0, 2, &frame));
    ck_assert(!frame.has_mapping);
    ck_assert_uint_eq(frame.address, 0);
    ck_assert(otp_otlp_line(reader, 0, 0, 1, 0, &line));
    ck_assert_str_eq(line.function, "[truncated]");
    otp_otlp_reader_free(reader);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(counters_travel_once) {
    struct otp_window *window = busy_window(OTELPROF_DETAIL_FULL, 100, 3);
    struct otp_otlp_options options = {.samples_max = 40};
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    encode_and_check(window, &options, &requests, &result);
    ck_assert_uint_eq(requests.count, 3);
    for (size_t i = 0; i < 3; i++) {
        struct otp_otlp_reader *reader;
        ck_assert_int_eq(otp_otlp_read(requests.bytes[i], requests.sizes[i], &reader), 0);
        ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.samples.fired"), i ? -1 : 103);
        ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.samples.lost.ring_full"), i ? -1 : 3);
        ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.cpu.rate_hz"), 99);
        otp_otlp_reader_free(reader);
    }
    drop(&requests);
    otp_window_free(window);
}
END_TEST

/* ---- profiles of the heap: values without timestamps, some without events */

static const char *const type_names[OTP_PROFILE_KINDS] = {
    "samples", "alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "contentions",
    "delay",   "contentions",   "delay",       "wall",          "goroutine"};

struct sums {
    uint64_t samples[OTP_PROFILE_KINDS]; /* on the wire */
    int64_t values[OTP_PROFILE_KINDS];
    uint64_t largest; /* Samples of a request */
};

static void add_sums(struct sums *sums, const uint8_t *bytes, size_t size) {
    struct otp_otlp_reader *reader;
    struct otp_otlp_profile profile;
    struct otp_otlp_sample sample;
    uint64_t all = 0;
    ck_assert_int_eq(otp_otlp_read(bytes, size, &reader), 0);
    for (size_t p = 0; otp_otlp_profile(reader, p, &profile); p++) {
        int type = 0;
        while (type < OTP_PROFILE_KINDS && strcmp(profile.sample_name, type_names[type]))
            type++;
        ck_assert_int_lt(type, OTP_PROFILE_KINDS);
        for (size_t s = 0; otp_otlp_sample(reader, p, s, &sample); s++)
            sums->values[type] += sample.value;
        sums->samples[type] += profile.sample_count;
        all += profile.sample_count;
    }
    if (all > sums->largest)
        sums->largest = all;
    otp_otlp_reader_free(reader);
}

static struct sums sums_of(const struct requests *requests) {
    struct sums sums = {.largest = 0};
    for (size_t i = 0; i < requests->count; i++)
        add_sums(&sums, requests->bytes[i], requests->sizes[i]);
    return sums;
}

static void add_heap(struct otp_window *window, enum otp_profile_kind type, uint64_t address, double objects,
                     double bytes) {
    struct otp_frame_ref frames[] = {{.address = address, .mapping = 0}, {.address = 0x2010, .mapping = 1}};
    struct otp_sample sample = fixture_heap_sample(type, frames, 2, objects, bytes);
    static const struct otp_extra age = {.key = "otelprof.heap.age", .text = "1m-10m"};
    sample.extras = &age;
    sample.extra_count = type == OTP_PROFILE_INUSE_OBJECTS;
    ck_assert_int_eq(otp_window_add(window, &sample), 0);
}

START_TEST(each_kind_is_a_profile_of_one_request) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1010, .mapping = 0}};
    struct otp_sample cpu = fixture_sample(frames, 1);
    add_heap(window, OTP_PROFILE_INUSE_OBJECTS, 0x1010, 2, 200.4); /* not in the order of the types */
    add_heap(window, OTP_PROFILE_MUTEX_CONTENTIONS, 0x1010, 7, 7000.2);
    add_heap(window, OTP_PROFILE_ALLOC_OBJECTS, 0x1010, 3.4, 300);
    add_heap(window, OTP_PROFILE_BLOCK_CONTENTIONS, 0x1010, 8.4, 9000);
    otp_window_add(window, &cpu);
    add_heap(window, OTP_PROFILE_THREADS, 0x1010, 1, 0);
    add_heap(window, OTP_PROFILE_WALL, 0x1010, 5e9 + 0.4, 0);
    otp_window_close(window, START_NS + 2 * SECOND_NS, &(struct otelprof_stats){.samples_fired = 9});
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    ck_assert_uint_eq(encode_any_and_check(window, NULL, &requests, &result), 1);
    ck_assert_uint_eq(requests.count, 1);
    ck_assert_uint_eq(result.samples, 4); /* what is in use did not happen, nor did time or a thread */
    ck_assert(result.complete);
    static const struct {
        const char *unit, *period, *period_unit;
        int64_t interval, value;
    } wire[OTP_PROFILE_KINDS] = {
        {"count", "cpu", "nanoseconds", 10101010, 1},
        {"count", "space", "bytes", HEAP_PERIOD, 3},
        {"bytes", "space", "bytes", HEAP_PERIOD, 300},
        {"count", "space", "bytes", HEAP_PERIOD, 2},
        {"bytes", "space", "bytes", HEAP_PERIOD, 200},
        {"count", "block", "nanoseconds", LOCK_PERIOD, 8},
        {"nanoseconds", "block", "nanoseconds", LOCK_PERIOD, 9000},
        {"count", "mutex", "nanoseconds", LOCK_PERIOD, 7},
        {"nanoseconds", "mutex", "nanoseconds", LOCK_PERIOD, 7000},
        {"nanoseconds", "wall", "nanoseconds", 10101010, 5000000000},
        {"count", "goroutine", "count", 1, 1},
    };
    struct otp_otlp_reader *reader;
    ck_assert_int_eq(otp_otlp_read(requests.bytes[0], requests.sizes[0], &reader), 0);
    ck_assert_uint_eq(otp_otlp_profile_count(reader), OTP_PROFILE_KINDS);
    for (size_t i = 0; i < OTP_PROFILE_KINDS; i++) {
        struct otp_otlp_profile profile;
        struct otp_otlp_sample sample;
        struct otp_otlp_value value;
        ck_assert(otp_otlp_profile(reader, i, &profile) && otp_otlp_sample(reader, i, 0, &sample));
        ck_assert_str_eq(profile.sample_name, type_names[i]);
        ck_assert_str_eq(profile.sample_unit, wire[i].unit);
        ck_assert_str_eq(profile.period_name, wire[i].period);
        ck_assert_str_eq(profile.period_unit, wire[i].period_unit);
        ck_assert_int_eq(profile.period, wire[i].interval);
        ck_assert_uint_eq(profile.sample_count, 1);
        ck_assert_int_eq(sample.value, wire[i].value);
        ck_assert_uint_eq(sample.timestamp_count, i == 0);
        /* The window's counters stand in one profile: a sum over all of them counts each once. */
        ck_assert_int_eq(fixture_profile_number(reader, i, "otelprof.samples.fired"), i ? -1 : 9);
        bool aged = false;
        for (size_t j = 0; otp_otlp_sample_attribute(reader, i, 0, j, &value); j++) {
            ck_assert(i == 0 || strcmp(value.key, "thread.id"));
            aged |= !strcmp(value.key, "otelprof.heap.age") && !strcmp(value.text, "1m-10m");
        }
        ck_assert_int_eq(aged, i == OTP_PROFILE_INUSE_OBJECTS || i == OTP_PROFILE_INUSE_SPACE);
    }
    otp_otlp_reader_free(reader);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

/* Without CPU samples the counters come with what there is. */
START_TEST(states_alone_carry_the_counters) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    add_heap(window, OTP_PROFILE_INUSE_OBJECTS, 0x1010, 1, 64);
    otp_window_close(window, START_NS + SECOND_NS, &(struct otelprof_stats){.samples_fired = 9});
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    encode_any_and_check(window, NULL, &requests, &result);
    ck_assert_uint_eq(requests.count, 1);
    ck_assert_uint_eq(result.samples, 0);
    struct otp_otlp_reader *reader;
    ck_assert_int_eq(otp_otlp_read(requests.bytes[0], requests.sizes[0], &reader), 0);
    ck_assert_uint_eq(otp_otlp_profile_count(reader), 2);
    ck_assert_int_eq(fixture_profile_number(reader, 0, "otelprof.samples.fired"), 9);
    ck_assert_int_eq(fixture_profile_number(reader, 1, "otelprof.samples.fired"), -1);
    otp_otlp_reader_free(reader);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(fractions_are_rounded_when_summed) {
    static const struct {
        double each;
        int times;
        int64_t wire; /* 0: no Sample */
    } rows[] = {{0.4, 3, 1}, {0.4, 1, 0},      {0.25, 2, 1}, {1.25, 2, 3},          {0.3, 5, 2},
                {0, 1, 0},   {1e-300, 9, 0},   {-5, 2, 0},   {1e300, 1, INT64_MAX}, {1u << 31, 4, 4ll << 31},
                {NAN, 1, 0}, {-INFINITY, 1, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
        for (int j = 0; j < rows[i].times; j++)
            add_heap(window, OTP_PROFILE_ALLOC_OBJECTS, 0x1010, rows[i].each, 0);
        otp_window_close(window, START_NS + SECOND_NS, NULL);
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        encode_any_and_check(window, NULL, &requests, &result);
        struct sums sums = sums_of(&requests);
        uint64_t events = (uint64_t)rows[i].times;
        ck_assert_msg(sums.values[OTP_PROFILE_ALLOC_OBJECTS] == rows[i].wire, "row %zu", i);
        ck_assert_uint_eq(requests.count, rows[i].wire != 0);
        ck_assert_uint_eq(result.samples, rows[i].wire ? events : 0);
        ck_assert_uint_eq(result.samples_silent, rows[i].wire ? 0 : events);
        ck_assert_uint_eq(result.samples_lost, 0);
        ck_assert(result.complete);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

/* Groups that are equal on the wire are summed before they are rounded. */
START_TEST(fractions_of_equal_groups_are_one_sum) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_mapping mapping = {.path = "/lib/x.so", .start = 0x5000, .end = 0x6000, .htlhash = "ab"};
    for (uint32_t module = 1; module <= 3; module++) {
        mapping.module_number = module;
        struct otp_frame_ref frames[] = {{.address = 0x5010, .mapping = otp_window_mapping(window, &mapping)}};
        struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_INUSE_OBJECTS, frames, 1, 0.4, 100.4);
        otp_window_add(window, &sample);
    }
    ck_assert_uint_eq(otp_window_group_count(window), 6);
    otp_window_close(window, START_NS + SECOND_NS, NULL);
    struct requests requests = {.count = 0};
    struct otp_otlp_result result;
    encode_any_and_check(window, NULL, &requests, &result);
    struct sums sums = sums_of(&requests);
    ck_assert_uint_eq(sums.samples[OTP_PROFILE_INUSE_OBJECTS], 1);
    ck_assert_int_eq(sums.values[OTP_PROFILE_INUSE_OBJECTS], 1);
    ck_assert_int_eq(sums.values[OTP_PROFILE_INUSE_SPACE], 301);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

/* `count` different stacks of the heap, and `cpu` CPU samples among them. */
static struct otp_window *heap_window(enum otp_profile_kind type, uint64_t count, uint64_t cpu) {
    struct otp_window *window = fixture_mapped_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1010, .mapping = 0}};
    struct otp_sample sample = fixture_sample(frames, 1);
    for (uint64_t i = 0; i < count || i < cpu; i++) {
        if (i < count)
            add_heap(window, type, 0x100000 + 16 * i, 1.5, 64.5);
        sample.time_unix_ns = START_NS + i;
        if (i < cpu)
            otp_window_add(window, &sample);
    }
    otp_window_close(window, START_NS + SECOND_NS, &(struct otelprof_stats){.samples_fired = cpu});
    return window;
}

static void expect_heap(const struct sums *sums, enum otp_profile_kind type, uint64_t count) {
    enum otp_profile_kind twin = otp_profile_types[type].twin;
    ck_assert_uint_eq(sums->samples[type], count);
    ck_assert_uint_eq(sums->samples[twin], count);
    ck_assert_int_eq(sums->values[type], 2 * (int64_t)count); /* 1.5 rounds to 2, and 64.5 to 65 */
    ck_assert_int_eq(sums->values[twin], 65 * (int64_t)count);
}

START_TEST(heap_splits_at_samples) {
    static const uint32_t limits[] = {1, 7, 100, 599, 600, 601};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct otp_window *window = heap_window(OTP_PROFILE_INUSE_OBJECTS, 300, 0);
        struct otp_otlp_options options = {.samples_max = limits[i]};
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        encode_any_and_check(window, &options, &requests, &result);
        struct sums sums = sums_of(&requests);
        expect_heap(&sums, OTP_PROFILE_INUSE_OBJECTS, 300);
        ck_assert_uint_eq(requests.count, (600 + limits[i] - 1) / limits[i]);
        ck_assert_uint_le(sums.largest, limits[i]);
        ck_assert(result.complete);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

/* Types share what a request may hold: neither Samples nor timestamps go past it, whoever comes first. */
START_TEST(types_share_the_bound_of_a_request) {
    static const uint64_t rows[][2] = {{400, 30}, {30, 400}, {200, 200}, {0, 0}};
    for (int i = 0; i < 4; i++) {
        struct otp_window *window = heap_window(OTP_PROFILE_ALLOC_OBJECTS, rows[i][0], rows[i][1]);
        struct otp_otlp_options options = {.samples_max = 50};
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        ck_assert_uint_eq(encode_any_and_check(window, &options, &requests, &result), rows[i][1]);
        struct sums sums = sums_of(&requests);
        expect_heap(&sums, OTP_PROFILE_ALLOC_OBJECTS, rows[i][0]);
        ck_assert_int_eq(sums.values[OTP_PROFILE_CPU], (int64_t)rows[i][1]);
        ck_assert_uint_eq(result.samples, rows[i][0] + rows[i][1]);
        ck_assert_uint_le(sums.largest, 50);
        for (size_t j = 0; j < requests.count; j++)
            ck_assert_uint_le(requests.samples[j], 100); /* 50 timestamps, and events behind 50 values */
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

/* What the receiver finds too large comes again in smaller requests, whole, although nothing in it is an event. */
START_TEST(states_that_are_too_large_come_again) {
    static const struct {
        enum otp_profile_kind type;
        uint64_t count, cpu;
    } rows[] = {{OTP_PROFILE_INUSE_OBJECTS, 7000, 0}, {OTP_PROFILE_ALLOC_OBJECTS, 6000, 9000}};
    for (size_t i = 0; i < 2; i++) {
        struct otp_window *window = heap_window(rows[i].type, rows[i].count, rows[i].cpu);
        struct requests requests = {.too_large = OTP_OTLP_BYTES_MIN};
        struct otp_otlp_result result;
        ck_assert_uint_eq(encode_any_and_check(window, NULL, &requests, &result), rows[i].cpu);
        struct sums sums = sums_of(&requests);
        expect_heap(&sums, rows[i].type, rows[i].count);
        ck_assert_int_eq(sums.values[OTP_PROFILE_CPU], (int64_t)rows[i].cpu);
        ck_assert_uint_ge(requests.refused, 2); /* halved, and what was halved again */
        ck_assert_uint_ge(requests.count, 6);
        ck_assert_uint_lt(result.bytes_max, 2 * OTP_OTLP_BYTES_MIN);
        ck_assert_uint_eq(result.samples_lost, 0);
        ck_assert(result.complete);
        for (size_t j = 0; j < requests.count; j++)
            ck_assert_uint_le(requests.sizes[j], OTP_OTLP_BYTES_MIN);
        drop(&requests);
        otp_window_free(window);
    }
}
END_TEST

/* One Sample cannot be shared by two requests, however much it stands for. */
START_TEST(a_single_value_is_not_split) {
    static char name[OTP_SAMPLE_FRAMES_MAX][200];
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_MERGED, 0);
    struct otp_frame_ref frames[OTP_SAMPLE_FRAMES_MAX];
    for (uint32_t i = 0; i < OTP_SAMPLE_FRAMES_MAX; i++) {
        snprintf(name[i], sizeof(name[i]), "/lib/%0180u.so", i);
        frames[i] =
            (struct otp_frame_ref){.address = 0x1000 * (i + 1), .mapping = fixture_mapping(window, i + 1, name[i])};
    }
    struct otp_sample sample = fixture_sample(frames, OTP_SAMPLE_FRAMES_MAX);
    otp_window_add(window, &sample);
    otp_window_add(window, &sample);
    otp_window_close(window, START_NS + SECOND_NS, NULL);
    struct requests requests = {.too_large = 1};
    struct otp_otlp_result result;
    ck_assert_uint_eq(encode_and_check(window, NULL, &requests, &result), 2);
    ck_assert_uint_gt(requests.sizes[0], OTP_OTLP_BYTES_MIN);
    ck_assert_uint_eq(requests.refused, 0);
    drop(&requests);
    otp_window_free(window);
}
END_TEST

START_TEST(states_lost_to_little_memory_are_told) {
    struct otp_window *window = heap_window(OTP_PROFILE_INUSE_OBJECTS, 3000, 0);
    int kept = 0, lost = 0;
    for (size_t memory = 1 << 16; memory <= 32 << 20; memory *= 2) {
        struct otp_otlp_options options = {.memory_bytes = memory};
        struct requests requests = {.count = 0};
        struct otp_otlp_result result;
        int error = otp_otlp_encode(window, &resource, &symbolizer, &options, collect, &requests, &result);
        ck_assert(error == 0 || error == OTELPROF_E_MEMORY);
        struct sums sums = sums_of(&requests);
        bool all = sums.samples[OTP_PROFILE_INUSE_OBJECTS] + sums.samples[OTP_PROFILE_INUSE_SPACE] == 6000;
        ck_assert(result.complete == all);
        ck_assert_uint_eq(result.samples + result.samples_lost, 0);
        kept += all;
        lost += !all;
        drop(&requests);
    }
    ck_assert_int_gt(kept, 0);
    ck_assert_int_gt(lost, 0);
    otp_window_free(window);
}
END_TEST

/* Made by another encoder: 416 bytes of one profile with one sample. */
static const char golden_hex[] =
    "0a740a180a160a0c736572766963652e6e616d6512060a0464656d6f12580a160a0d64656d6f2e70726f66696c65721205302e31"
    "2e30123e0a0408011002120a080112010318012201051900002a36fe9c97172080c8afa0252a04080310043080ade2043a10c0c1"
    "c2c3c4c5c6c7c8c9cacbcccdcecf12a7020a000a1208808080021080a0800218802020062a010112001210080110a38280021a04"
    "0801100a2201021a001a020805221c0a100000000000000000000000000000000012080000000000000000221c0a10a0a1a2a3a4"
    "a5a6a7a8a9aaabacadaeaf1208b0b1b2b3b4b5b6b72a002a0773616d706c65732a05636f756e742a036370752a0b6e616e6f7365"
    "636f6e64732a046d61696e2a0464656d6f2a097468726561642e69642a2370726f636573732e65786563757461626c652e627569"
    "6c645f69642e68746c686173682a1270726f66696c652e6672616d652e7479706532003226080812220a20303031313232333334"
    "3435353636373738383939616162626363646465656666320c080912080a066e617469766532060807120218073a003a030a0101";

static size_t golden(uint8_t *bytes) {
    size_t size = (sizeof(golden_hex) - 1) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned value;
        ck_assert_int_eq(sscanf(golden_hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (uint8_t)value;
    }
    return size;
}

START_TEST(golden_vector_decodes) {
    uint8_t bytes[512], again[512];
    size_t size = golden(bytes);
    ck_assert_uint_eq(size, 416);
    struct otp_otlp_reader *reader;
    ck_assert_msg(!otp_otlp_read(bytes, size, &reader), "refused");
    struct otp_otlp_profile profile;
    struct otp_otlp_sample sample;
    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    struct otp_otlp_value value;
    ck_assert_uint_eq(otp_otlp_profile_count(reader), 1);
    otp_otlp_profile(reader, 0, &profile);
    ck_assert_str_eq(profile.scope_name, "demo.profiler");
    ck_assert_int_eq(profile.period, 10000000);
    ck_assert_uint_eq(profile.time_unix_ns, 1700000000000000000);
    ck_assert_uint_eq(profile.duration_ns, 10000000000);
    ck_assert(otp_otlp_sample(reader, 0, 0, &sample));
    ck_assert_int_eq(sample.value, 5);
    ck_assert_int_eq(sample.trace_id[15], 0xaf);
    ck_assert(otp_otlp_sample_attribute(reader, 0, 0, 0, &value));
    expect_value(&value, "thread.id", NULL, 7);
    ck_assert(otp_otlp_frame(reader, 0, 0, 0, &frame));
    ck_assert_uint_eq(frame.address, 0x400123);
    ck_assert_str_eq(frame.file, "demo");
    ck_assert(otp_otlp_line(reader, 0, 0, 0, 0, &line));
    ck_assert_str_eq(line.function, "main");
    ck_assert_int_eq(line.line, 10);
    otp_otlp_reader_free(reader);
    ProtobufCMessage *message = protobuf_c_message_unpack(&otlp_request_descriptor, NULL, size, bytes);
    ck_assert_uint_eq(protobuf_c_message_get_packed_size(message), size);
    protobuf_c_message_pack(message, again);
    ck_assert_mem_eq(bytes, again, size);
    protobuf_c_message_free_unpacked(message, NULL);
}
END_TEST

/* Touches everything that can be reached. */
static void walk(const struct otp_otlp_reader *reader) {
    struct otp_otlp_profile profile;
    struct otp_otlp_sample sample;
    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    struct otp_otlp_value value;
    size_t length = 0;
    for (size_t p = 0; otp_otlp_profile(reader, p, &profile); p++) {
        for (size_t i = 0; otp_otlp_profile_attribute(reader, p, i, &value); i++)
            length += strlen(value.key) + (value.text ? strlen(value.text) : 0);
        for (size_t i = 0; otp_otlp_resource_attribute(reader, p, i, &value); i++)
            length += strlen(value.key) + (value.text ? strlen(value.text) : 0);
        for (size_t s = 0; otp_otlp_sample(reader, p, s, &sample); s++) {
            for (size_t i = 0; otp_otlp_sample_attribute(reader, p, s, i, &value); i++)
                length += strlen(value.key) + (value.text ? strlen(value.text) : 0);
            length += sample.trace_id ? (size_t)sample.trace_id[15] + sample.span_id[7] : 0;
            for (size_t f = 0; otp_otlp_frame(reader, p, s, f, &frame); f++)
                for (size_t l = 0; otp_otlp_line(reader, p, s, f, l, &line); l++)
                    length += strlen(line.function) + strlen(line.file) + strlen(line.system_name);
        }
    }
    ck_assert_uint_lt(length, 100000000);
}

START_TEST(damaged_requests_are_errors_or_harmless) {
    uint8_t bytes[512];
    size_t size = golden(bytes), refused = 0;
    struct otp_otlp_reader *reader;
    for (size_t i = 0; i < size; i++) {
        for (int value = 0; value < 256; value += 17) {
            uint8_t kept = bytes[i];
            bytes[i] = (uint8_t)value;
            if (otp_otlp_read(bytes, size, &reader)) {
                refused++;
            } else {
                walk(reader);
                otp_otlp_reader_free(reader);
            }
            bytes[i] = kept;
        }
        uint8_t *cut = malloc(i ? i : 1);
        memcpy(cut, bytes, i);
        if (!otp_otlp_read(cut, i, &reader)) {
            walk(reader);
            otp_otlp_reader_free(reader);
        }
        free(cut);
    }
    ck_assert_uint_gt(refused, 500);
}
END_TEST

/* Array in array in array: protobuf-c alone would recurse until the stack ends. */
START_TEST(deep_nesting_is_refused) {
    enum { SIZE = 600000 };
    uint8_t *bytes = malloc(SIZE);
    size_t at = SIZE;
    /* Backwards: AnyValue.array_value (5) holds ArrayValue.values (1) holds AnyValue ... */
    for (int i = 0; at > 40; i++) {
        size_t length = SIZE - at;
        bytes[--at] = (uint8_t)(length >> 14 & 0x7f);
        bytes[--at] = (uint8_t)((length >> 7 & 0x7f) | 0x80);
        bytes[--at] = (uint8_t)((length & 0x7f) | 0x80);
        bytes[--at] = i % 2 ? 0x2a : 0x0a;
    }
    /* KeyValue.value, Resource.attributes, ResourceProfiles.resource, Request.resource_profiles */
    static const uint8_t tags[] = {0x12, 0x0a, 0x0a, 0x0a};
    for (size_t i = 0; i < sizeof(tags); i++) {
        size_t length = SIZE - at;
        bytes[--at] = (uint8_t)(length >> 14 & 0x7f);
        bytes[--at] = (uint8_t)((length >> 7 & 0x7f) | 0x80);
        bytes[--at] = (uint8_t)((length & 0x7f) | 0x80);
        bytes[--at] = tags[i];
    }
    struct otp_otlp_reader *reader;
    ck_assert_int_eq(otp_otlp_read(bytes + at, SIZE - at, &reader), OTELPROF_E_INVALID);
    free(bytes);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("otlp");
    TCase *tests = tcase_create("otlp");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_detail_keeps_the_rules);
    tcase_add_test(tests, splits_at_samples);
    tcase_add_test(tests, one_group_over_several_requests);
    tcase_add_test(tests, splits_at_bytes);
    tcase_add_test(tests, too_large_for_any_request_is_lost_and_counted);
    tcase_add_test(tests, recursion_with_long_names_fits);
    tcase_add_test(tests, little_memory_loses_what_it_counts);
    tcase_add_test(tests, sink_stops_the_encoding);
    tcase_add_test(tests, empty_window_sends_nothing);
    tcase_add_test(tests, equal_on_the_wire_is_one);
    tcase_add_test(tests, reader_sees_what_was_encoded);
    tcase_add_test(tests, counters_travel_once);
    tcase_add_test(tests, each_kind_is_a_profile_of_one_request);
    tcase_add_test(tests, states_alone_carry_the_counters);
    tcase_add_test(tests, fractions_are_rounded_when_summed);
    tcase_add_test(tests, fractions_of_equal_groups_are_one_sum);
    tcase_add_test(tests, heap_splits_at_samples);
    tcase_add_test(tests, types_share_the_bound_of_a_request);
    tcase_add_test(tests, states_that_are_too_large_come_again);
    tcase_add_test(tests, a_single_value_is_not_split);
    tcase_add_test(tests, states_lost_to_little_memory_are_told);
    tcase_add_test(tests, golden_vector_decodes);
    tcase_add_test(tests, damaged_requests_are_errors_or_harmless);
    tcase_add_test(tests, deep_nesting_is_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

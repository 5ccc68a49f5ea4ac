// SPDX-License-Identifier: Apache-2.0
/*
 * Two passes over a window: the first names every address and makes the dictionary, the second cuts the samples into
 * requests. What could not be made for lack of memory is lost alone, and counted.
 */
#include "encode/otlp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "encode/request.h"
#include "profile/counters.h"

#define PROFILE_ATTRIBUTES_MAX 64
#define MEMORY_FACTOR 8 /* messages in memory, twice over, against their bytes */

struct encoding {
    const struct otp_window *window;
    const struct otp_resource *resource;
    const struct otp_symbolizer *symbolizer;
    struct otp_otlp_options options;
    otp_otlp_sink sink;
    void *user;
    struct otp_otlp_result *result;

    struct otp_arena *arena;
    struct otp_dictionary dictionary;
    uint32_t *locations; /* by the window's frame, stack, attribute set and link: number in the dictionary + 1 */
    uint32_t *stacks;
    uint32_t *sets;
    uint32_t *links;

    /* Groups of the window that are equal on the wire (one module loaded twice, say) are one Sample. */
    struct otp_intern *groups; /* struct otp_group */
    uint32_t *first_source;    /* by group: group of the window + 1 */
    uint32_t *last_source;
    uint32_t *next_source; /* by group of the window: the next one + 1; 0: the last */

    uint32_t profile_attributes[PROFILE_ATTRIBUTES_MAX];
    uint32_t profile_attribute_count;  /* of the first request's first profile */
    uint32_t constant_attribute_count; /* of all others: without counters */
    struct otp_request request;
};

/* Something that the window has to say will not be said; `events` of it happened. */
static void lose(struct encoding *encoding, uint64_t events) {
    encoding->result->samples_lost += events;
    encoding->result->complete = false;
}

/* ---------------------------------------------------------------------------- first pass: the dictionary */

static uint32_t *new_numbers(struct otp_arena *arena, uint32_t count) {
    return otp_arena_alloc(arena, (size_t)count * sizeof(uint32_t));
}

/* Numbers in caches are one more than in the dictionary; this is what a failure becomes. */
static uint32_t location_of(struct encoding *encoding, uint32_t frame) {
    uint32_t *cached = &encoding->locations[frame];
    if (!*cached)
        *cached = otp_dictionary_location(&encoding->dictionary, encoding->window,
                                          otp_window_frame_at(encoding->window, frame), encoding->symbolizer) +
                  1;
    return *cached - 1;
}

static uint32_t stack_of(struct encoding *encoding, uint32_t stack) {
    uint32_t numbers[OTP_SAMPLE_FRAMES_MAX], count;
    const uint32_t *frames = otp_window_stack_at(encoding->window, stack, &count);
    if (encoding->stacks[stack])
        return encoding->stacks[stack] - 1;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = location_of(encoding, frames[i]);
        if (numbers[i] == OTP_INTERN_NONE)
            return OTP_INTERN_NONE;
    }
    uint32_t number = otp_intern(encoding->dictionary.stacks, numbers, count * sizeof(numbers[0]));
    encoding->stacks[stack] = number + 1;
    return number;
}

static int by_number(const void *left, const void *right) {
    uint32_t one = *(const uint32_t *)left, other = *(const uint32_t *)right;
    return (one > other) - (one < other);
}

static uint32_t set_of(struct encoding *encoding, uint32_t set) {
    uint32_t numbers[OTP_SET_MAX], count;
    const uint32_t *attributes = otp_window_attribute_set_at(encoding->window, set, &count);
    if (encoding->sets[set])
        return encoding->sets[set] - 1;
    if (count > OTP_SET_MAX)
        return OTP_INTERN_NONE;
    for (uint32_t i = 0; i < count; i++) {
        struct otp_attribute attribute = otp_window_attribute_at(encoding->window, attributes[i]);
        numbers[i] = attribute.is_name ? otp_dictionary_name(&encoding->dictionary, encoding->window, &attribute,
                                                             encoding->symbolizer)
                                       : otp_dictionary_attribute(&encoding->dictionary, &attribute);
        if (numbers[i] == OTP_INTERN_NONE)
            return OTP_INTERN_NONE;
    }
    /* Names that are looked up only now may be equal, and their sets must be. */
    qsort(numbers, count, sizeof(numbers[0]), by_number);
    uint32_t number = otp_intern(encoding->dictionary.sets, numbers, count * sizeof(numbers[0]));
    encoding->sets[set] = number + 1;
    return number;
}

static uint32_t link_of(struct encoding *encoding, uint32_t link) {
    if (link == OTP_NO_LINK)
        return 0;
    if (!encoding->links[link])
        encoding->links[link] = otp_intern(encoding->dictionary.links, otp_window_link_at(encoding->window, link),
                                           sizeof(struct otp_span_link)) +
                                1;
    return encoding->links[link] - 1;
}

static int convert_group(struct encoding *encoding, uint32_t source) {
    struct otp_sample_group from = otp_window_group_at(encoding->window, source);
    struct otp_group group = {from.type, stack_of(encoding, from.stack), set_of(encoding, from.attribute_set),
                              link_of(encoding, from.link)};
    if (group.stack == OTP_INTERN_NONE || group.attribute_set == OTP_INTERN_NONE || group.link == OTP_INTERN_NONE)
        return -1;
    uint32_t number = otp_intern(encoding->groups, &group, sizeof(group));
    if (number == OTP_INTERN_NONE)
        return -1;
    if (encoding->last_source[number])
        encoding->next_source[encoding->last_source[number] - 1] = source + 1;
    else
        encoding->first_source[number] = source + 1;
    encoding->last_source[number] = source + 1;
    return 0;
}

static void convert_groups(struct encoding *encoding) {
    const struct otp_symbolizer *symbolizer = encoding->symbolizer;
    if (symbolizer && symbolizer->begin)
        symbolizer->begin(symbolizer->user);
    for (uint32_t i = 0; i < otp_window_group_count(encoding->window); i++) {
        struct otp_sample_group group = otp_window_group_at(encoding->window, i);
        bool says_something = group.events || group.value > 0; /* one that memory ran out for does not */
        if (says_something && convert_group(encoding, i))
            lose(encoding, group.events);
    }
    if (symbolizer && symbolizer->end)
        symbolizer->end(symbolizer->user);
    encoding->result->symbols_resolved = encoding->dictionary.resolved;
    encoding->result->symbols_missing = encoding->dictionary.missing;
}

static int add_profile_attribute(struct encoding *encoding, const char *key, const char *text, int64_t value) {
    struct otp_attribute attribute = {.key = key, .text = text, .number = value};
    uint32_t number = otp_dictionary_attribute(&encoding->dictionary, &attribute);
    if (number == OTP_INTERN_NONE || encoding->profile_attribute_count == PROFILE_ATTRIBUTES_MAX)
        return -1;
    encoding->profile_attributes[encoding->profile_attribute_count++] = number;
    return 0;
}

static int make_profile_attributes(struct encoding *encoding) {
    static const char *const details[] = {"full", "named", "merged"};
    const struct otp_window_config *config = otp_window_config(encoding->window);
    const struct otelprof_stats *delta = otp_window_delta(encoding->window);
    uint64_t period = config->period[OTP_PROFILE_CPU];
    if (add_profile_attribute(encoding, "otelprof.rung", config->rung ? config->rung : "", 0) ||
        add_profile_attribute(encoding, "otelprof.detail", details[config->detail % 3u], 0) ||
        (period &&
         add_profile_attribute(encoding, "otelprof.cpu.rate_hz", NULL, (int64_t)((1000000000u + period / 2) / period))))
        return -1;
    encoding->constant_attribute_count = encoding->profile_attribute_count;
    for (size_t i = 0; i < otp_counters_count; i++) {
        uint64_t value = otp_counter_value(&otp_counters[i], delta);
        if ((value || otp_counters[i].always) &&
            add_profile_attribute(encoding, otp_counters[i].name, NULL, (int64_t)value))
            return -1;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- second pass: requests */

static void begin_request(struct encoding *encoding) {
    encoding->request.profile_attributes = encoding->profile_attributes;
    encoding->request.constant_attribute_count = encoding->constant_attribute_count;
    encoding->request.profile_attribute_count =
        encoding->result->requests ? encoding->constant_attribute_count : encoding->profile_attribute_count;
    otp_request_begin(&encoding->request);
}

/* Packs what there is and hands it over. What the sink said; what cannot be packed is lost. */
static int hand_over(struct encoding *encoding) {
    struct otp_packed packed;
    int answer = 0;
    struct otp_arena *arena = otp_arena_new(encoding->options.memory_bytes / 2);
    if (!arena || otp_pack(&encoding->request, encoding->resource, arena, &packed)) {
        lose(encoding, encoding->request.events);
        otp_arena_free(arena);
        return 0;
    }
    const struct otp_otlp_request request = {
        .bytes = packed.bytes,
        .size = packed.size,
        .samples = encoding->request.events,
        .profiles = otp_request_profiles(&encoding->request),
        .index = encoding->result->requests,
        .can_split = otp_request_divisible(&encoding->request) && packed.size > OTP_OTLP_BYTES_MIN,
    };
    answer = encoding->sink(encoding->user, &request);
    otp_arena_free(arena);
    if (answer == OTP_OTLP_SPLIT && request.can_split) {
        size_t half = request.size / 2;
        encoding->request.bytes_max = half > OTP_OTLP_BYTES_MIN ? half : OTP_OTLP_BYTES_MIN;
        return answer;
    }
    encoding->result->requests++;
    encoding->result->samples += request.samples;
    return answer == OTP_OTLP_SPLIT ? 0 : answer;
}

static int replay(struct encoding *encoding);

/* Hands over what there is and begins anew. 0, or what the sink said. */
static int finish_request(struct encoding *encoding) {
    if (!encoding->request.sample_count)
        return 0;
    int answer = hand_over(encoding);
    if (answer == OTP_OTLP_SPLIT)
        return replay(encoding);
    begin_request(encoding);
    return answer;
}

/* Starts a Sample, in a new request if need be. 0; 1: too large for any request; else what the sink said. */
static int start_sample(struct encoding *encoding, const struct otp_group *group, bool *fits) {
    *fits = otp_request_start_sample(&encoding->request, group);
    while (!*fits && encoding->request.sample_count) { /* what was refused may have come back, in part */
        int error = finish_request(encoding);
        if (error)
            return error;
        *fits = otp_request_start_sample(&encoding->request, group);
    }
    return 0;
}

/* ---- a request that was too large, again in smaller ones */

/* Puts a Sample of another request into this one, or several. */
static int replay_sample(struct encoding *encoding, const struct otp_request_sample *sample, const uint64_t *times) {
    uint32_t left = sample->time_count, taken;
    bool fits;
    do {
        int error = start_sample(encoding, &sample->group, &fits);
        if (error)
            return error;
        taken = fits ? otp_request_put_times(&encoding->request, times, left) : 0;
        if (fits && !sample->time_count) {
            otp_request_put_value(&encoding->request, sample->value, sample->events);
        } else if (!taken) {
            lose(encoding, sample->time_count ? left : sample->events);
            return 0;
        }
        times += taken;
        left -= taken;
        error = left ? finish_request(encoding) : 0;
        if (error)
            return error;
    } while (left);
    return 0;
}

/* Takes the Samples of the request out, and puts them in again under its new bound. */
static int replay(struct encoding *encoding) {
    const struct otp_request *request = &encoding->request;
    uint32_t count = request->sample_count;
    uint64_t events = request->events;
    size_t samples_size = count * sizeof(request->samples[0]), times_size = request->time_count * sizeof(uint64_t);
    struct otp_arena *arena = otp_arena_new(0); /* less than a MiB: samples_max bounds it */
    struct otp_request_sample *samples = arena ? otp_arena_alloc(arena, samples_size) : NULL;
    uint64_t *times = samples ? otp_arena_alloc(arena, times_size + 1) : NULL;
    if (!times) {
        lose(encoding, events);
        count = 0;
    } else {
        memcpy(samples, request->samples, samples_size);
        memcpy(times, request->times, times_size);
    }
    begin_request(encoding);
    int error = 0;
    for (uint32_t i = 0; i < count && !error; i++)
        error = replay_sample(encoding, &samples[i], times + samples[i].first_time);
    if (error)
        encoding->result->complete = false;
    otp_arena_free(arena);
    return error;
}

/* The nearest integer of a sum of estimates; 0 too for what is no number, and the largest for what is beyond it. */
static int64_t wire_value(double sum) {
    if (!(sum >= 0.5))
        return 0;
    return sum < 0x1p63 ? llround(sum) : INT64_MAX;
}

/*
 * A sum that rounds to 0 gives no Sample: receivers refuse a value of 0, and a group that is not there says the same.
 * Its events, if it has any, are then told as exactly as integers can tell them, so they are not lost.
 */
static int emit_value(struct encoding *encoding, const struct otp_group *group, uint32_t number) {
    uint64_t events = 0;
    double sum = 0;
    bool fits;
    for (uint32_t source = encoding->first_source[number]; source; source = encoding->next_source[source - 1]) {
        struct otp_sample_group from = otp_window_group_at(encoding->window, source - 1);
        events += from.events;
        sum += from.value;
    }
    int64_t value = wire_value(sum);
    if (!value) {
        encoding->result->samples_silent += events;
        return 0;
    }
    int error = start_sample(encoding, group, &fits);
    if (error)
        return error;
    if (fits)
        otp_request_put_value(&encoding->request, value, events);
    else
        lose(encoding, events);
    return 0;
}

/* The timestamps of one source; `*open` says whether the last Sample is this group's. */
static int emit_source(struct encoding *encoding, const struct otp_group *group, uint32_t source, bool *open) {
    uint64_t left = otp_window_group_at(encoding->window, source).events;
    struct otp_timestamps at = otp_window_timestamps(encoding->window, source);
    while (left) {
        bool fits = true;
        int error = *open ? 0 : start_sample(encoding, group, &fits);
        if (error)
            return error;
        uint32_t taken = fits ? otp_request_take_times(&encoding->request, &at) : 0;
        if (!taken && !*open) {
            lose(encoding, left);
            return 0;
        }
        left -= taken;
        *open = !left;
        error = left ? finish_request(encoding) : 0;
        if (error)
            return error;
    }
    return 0;
}

static int emit_group(struct encoding *encoding, uint32_t number) {
    const struct otp_group *group = otp_intern_key(encoding->groups, number, NULL);
    if (!otp_window_timed(encoding->window, group->type))
        return emit_value(encoding, group, number);
    bool open = false;
    for (uint32_t source = encoding->first_source[number]; source; source = encoding->next_source[source - 1]) {
        int error = emit_source(encoding, group, source - 1, &open);
        if (error)
            return error;
    }
    return 0;
}

static int emit_requests(struct encoding *encoding) {
    if (otp_request_init(&encoding->request, encoding->arena, &encoding->dictionary, encoding->window,
                         &encoding->options))
        return OTELPROF_E_MEMORY;
    encoding->request.fixed_bytes = otp_pack_fixed_size(encoding->resource, encoding->arena);
    if (!encoding->request.fixed_bytes)
        return OTELPROF_E_MEMORY;
    begin_request(encoding);
    int error = 0;
    for (uint32_t i = 0; i < otp_intern_count(encoding->groups) && !error; i++)
        error = encoding->first_source[i] ? emit_group(encoding, i) : 0;
    if (error)
        encoding->result->complete = false;
    while (encoding->request.sample_count && !error)
        error = finish_request(encoding);
    encoding->result->bytes_max = encoding->request.bytes_max;
    return error;
}

/* --------------------------------------------------------------------------------------------------------- */

static int init(struct encoding *encoding) {
    const struct otp_window *window = encoding->window;
    uint32_t groups = otp_window_group_count(window);
    encoding->arena = otp_arena_new(encoding->options.memory_bytes / 2);
    if (!encoding->arena || otp_dictionary_init(&encoding->dictionary, encoding->arena))
        return -1;
    encoding->groups = otp_intern_new(encoding->arena);
    encoding->locations = new_numbers(encoding->arena, otp_window_frame_count(window));
    encoding->stacks = new_numbers(encoding->arena, otp_window_stack_count(window));
    encoding->sets = new_numbers(encoding->arena, otp_window_attribute_set_count(window));
    encoding->links = new_numbers(encoding->arena, otp_window_link_count(window));
    encoding->first_source = new_numbers(encoding->arena, groups);
    encoding->last_source = new_numbers(encoding->arena, groups);
    encoding->next_source = new_numbers(encoding->arena, groups);
    if (!encoding->groups || !encoding->locations || !encoding->stacks || !encoding->sets || !encoding->links ||
        !encoding->first_source || !encoding->last_source || !encoding->next_source)
        return -1;
    return make_profile_attributes(encoding);
}

static void set_defaults(struct otp_otlp_options *options) {
    if (!options->samples_max)
        options->samples_max = OTP_OTLP_SAMPLES_MAX;
    if (!options->bytes_max) {
        options->bytes_max = OTP_OTLP_BYTES_MAX;
        if (options->memory_bytes && options->memory_bytes / MEMORY_FACTOR < options->bytes_max)
            options->bytes_max = options->memory_bytes / MEMORY_FACTOR;
    }
    if (!options->memory_bytes)
        options->memory_bytes = MEMORY_FACTOR * OTP_OTLP_BYTES_MAX;
}

int otp_otlp_encode(const struct otp_window *window, const struct otp_resource *resource,
                    const struct otp_symbolizer *symbolizer, const struct otp_otlp_options *options, otp_otlp_sink sink,
                    void *user, struct otp_otlp_result *result) {
    struct encoding encoding = {
        .window = window, .resource = resource, .symbolizer = symbolizer, .sink = sink, .user = user, .result = result};
    *result = (struct otp_otlp_result){.complete = true};
    if (options)
        encoding.options = *options;
    set_defaults(&encoding.options);
    result->bytes_max = encoding.options.bytes_max;
    if (!otp_window_group_count(window))
        return 0;
    int error = init(&encoding) ? OTELPROF_E_MEMORY : 0;
    if (!error) {
        convert_groups(&encoding);
        error = emit_requests(&encoding);
    }
    if (error == OTELPROF_E_MEMORY) {
        result->complete = false;
        error = otp_error(error, "no memory to encode a window");
    }
    otp_arena_free(encoding.arena);
    return error;
}

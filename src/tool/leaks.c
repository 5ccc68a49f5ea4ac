// SPDX-License-Identifier: Apache-2.0
#include "tool/leaks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp_reader.h"
#include "tool/requests.h"
#include "tool/reserve.h"
#include "tool/survey.h"
#include "tool/text.h"
#include "tool/tool.h"

#define AGE_KEY "otelprof.heap.age" /* of a block that stays, it changes: no part of who it is */
#define FRAMES_SHOWN 6
#define KEY_MAX 65536
#define DEVIATIONS 1.96

enum side { OLD, NEW, SIDES };

struct place {
    const char *frames;     /* names, leaf first, a line each */
    const char *attributes; /* "key=value, ...", sorted by key as they come */
    double bytes[SIDES], objects[SIDES];
};

struct leaks {
    struct otp_arena *arena;
    struct otp_intern *keys; /* stack and attributes */
    struct otp_intern *processes;
    struct place *places;
    size_t room;
    struct survey *survey; /* of the side at hand */
    enum side side;
    bool found[SIDES];
    double interval; /* the longest of all */
    double total[SIDES], total_objects[SIDES];
};

/* ---------------------------------------------------------------------------------------------- reading */

struct text {
    char bytes[KEY_MAX];
    size_t size;
};

static void put(struct text *text, const char *bytes) {
    size_t size = strlen(bytes), left = sizeof(text->bytes) - 1 - text->size;
    if (size > left)
        size = left;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = 0;
}

/* How people call a frame. */
static void put_name(struct text *text, const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t i,
                     const struct otp_otlp_frame *frame) {
    struct otp_otlp_line line;
    char unnamed[300];
    if (frame->line_count && otp_otlp_line(reader, profile, sample, i, 0, &line) &&
        (*line.function || *line.system_name)) {
        put(text, *line.function ? line.function : line.system_name);
    } else {
        const char *slash = strrchr(frame->file, '/');
        snprintf(unnamed, sizeof(unnamed), "%.200s+0x%" PRIx64, slash ? slash + 1 : frame->file,
                 frame->address - frame->mapping_start + frame->file_offset);
        put(text, unnamed);
    }
    put(text, "\n");
}

/* Who a frame is in any process: its object and where in it; without one, its name. */
static void put_identity(struct text *text, const struct otp_otlp_frame *frame, const char *name) {
    char where[64];
    if (!frame->has_mapping || !*frame->build_id) {
        put(text, name);
        return;
    }
    put(text, frame->build_id);
    snprintf(where, sizeof(where), "+%" PRIx64 "\n", frame->address - frame->mapping_start + frame->file_offset);
    put(text, where);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void put_attributes(struct text *text, const struct otp_otlp_reader *reader, size_t profile, size_t sample) {
    struct otp_otlp_value value;
    char *pairs[64];
    size_t count = 0;
    for (size_t i = 0; count < 64 && otp_otlp_sample_attribute(reader, profile, sample, i, &value); i++) {
        if (strcmp(value.key, AGE_KEY) == 0)
            continue;
        int length = value.text ? asprintf(&pairs[count], "%s=%s", value.key, value.text)
                                : asprintf(&pairs[count], "%s=%" PRId64, value.key, value.number);
        count += length >= 0;
    }
    qsort(pairs, count, sizeof(pairs[0]), by_text);
    for (size_t i = 0; i < count; i++) {
        put(text, i ? ", " : "");
        put(text, pairs[i]);
        free(pairs[i]);
    }
}

/* The place of a sample, made if new. NULL: out of memory. */
static struct place *place_of(struct leaks *leaks, const struct otp_otlp_reader *reader, size_t profile, size_t number,
                              size_t frame_count) {
    static struct text key, names, attributes;
    struct otp_otlp_frame frame;
    key.size = names.size = attributes.size = 0;
    names.bytes[0] = attributes.bytes[0] = 0;
    for (size_t i = 0; i < frame_count && otp_otlp_frame(reader, profile, number, i, &frame); i++) {
        size_t before = names.size;
        put_name(&names, reader, profile, number, i, &frame);
        put_identity(&key, &frame, names.bytes + before);
    }
    put_attributes(&attributes, reader, profile, number);
    put(&key, "\n");
    put(&key, attributes.bytes);
    uint32_t index = otp_intern(leaks->keys, key.bytes, key.size);
    if (index == OTP_INTERN_NONE ||
        !tool_reserve((void **)&leaks->places, &leaks->room, index, sizeof(leaks->places[0])))
        return NULL;
    struct place *place = &leaks->places[index];
    if (!place->frames) {
        place->frames = otp_arena_copy(leaks->arena, names.bytes, names.size);
        place->attributes = otp_arena_copy(leaks->arena, attributes.bytes, attributes.size);
    }
    return place->frames && place->attributes ? place : NULL;
}

static bool add_profile(struct leaks *leaks, const struct otp_otlp_reader *reader, size_t number, bool bytes) {
    struct otp_otlp_profile profile;
    otp_otlp_profile(reader, number, &profile);
    leaks->found[leaks->side] |= profile.sample_count != 0;
    if ((double)profile.period > leaks->interval)
        leaks->interval = (double)profile.period;
    for (size_t i = 0; i < profile.sample_count; i++) {
        struct otp_otlp_sample sample;
        if (!otp_otlp_sample(reader, number, i, &sample))
            break;
        struct place *place = place_of(leaks, reader, number, i, sample.frame_count);
        if (!place)
            return false;
        double value = sample.value > 0 ? (double)sample.value : 0;
        (bytes ? place->bytes : place->objects)[leaks->side] += value;
        (bytes ? leaks->total : leaks->total_objects)[leaks->side] += value;
    }
    return true;
}

static bool add(void *user, const struct otp_otlp_reader *reader) {
    struct leaks *leaks = user;
    size_t count = otp_otlp_profile_count(reader);
    for (size_t i = 0; i < count; i++) {
        struct otp_otlp_profile profile;
        if (!otp_otlp_profile(reader, i, &profile) || !survey_is_last(leaks->survey, reader, i))
            continue;
        bool bytes = strcmp(profile.sample_name, "inuse_space") == 0;
        if ((bytes || strcmp(profile.sample_name, "inuse_objects") == 0) && !add_profile(leaks, reader, i, bytes))
            return false;
    }
    return true;
}

static bool add_processes(void *user, const struct otp_otlp_reader *reader) {
    struct leaks *leaks = user;
    struct otp_otlp_value value;
    for (size_t i = 0; otp_otlp_resource_attribute(reader, 0, i, &value); i++)
        if (strcmp(value.key, "service.instance.id") == 0 && value.text)
            otp_intern(leaks->processes, value.text, strlen(value.text));
    return survey_add(leaks->survey, reader);
}

/* Reads one side. False, with a message, if there is no live memory in it, or something could not be read. */
static bool read_side(struct leaks *leaks, enum side side, const char *path) {
    struct tool_inputs inputs;
    char *paths[1] = {(char *)(uintptr_t)path};
    size_t files = 0;
    leaks->side = side;
    leaks->survey = survey_new();
    bool good = tool_inputs_list(paths, 1, &inputs) && leaks->survey &&
                tool_requests_read(&inputs, add_processes, leaks, &files) &&
                tool_requests_read(&inputs, add, leaks, &files);
    survey_free(leaks->survey);
    tool_inputs_free(&inputs);
    if (good && !leaks->found[side]) {
        tool_complain("%s: no live memory in its last window (profiles inuse_space and inuse_objects)", path);
        return false;
    }
    return good;
}

/* ---------------------------------------------------------------------------------------------- printing */

static double growth(const struct place *place) { return place->bytes[NEW] - place->bytes[OLD]; }

static int by_growth(const void *a, const void *b) {
    double first = growth(a), second = growth(b);
    if (first != second)
        return first > second ? -1 : 1;
    return strcmp(((const struct place *)a)->frames, ((const struct place *)b)->frames);
}

/* 95 % of the estimates are nearer to the truth: at most this, for blocks that are small against the interval. */
static double error_of(const struct leaks *leaks, double old_bytes, double new_bytes) {
    return DEVIATIONS * sqrt(leaks->interval * (old_bytes + new_bytes));
}

static const char *signed_bytes(char out[TEXT_SIZE], double bytes) {
    char text[TEXT_SIZE];
    double size = bytes < 0 ? -bytes : bytes;
    text_bytes(text, size < 1e18 ? (uint64_t)(size + 0.5) : UINT64_MAX);
    snprintf(out, TEXT_SIZE, "%c%.40s", bytes < 0 ? '-' : '+', text);
    return out;
}

static const char *plain_bytes(char out[TEXT_SIZE], double bytes) {
    return text_bytes(out, bytes < 1e18 ? (uint64_t)(bytes + 0.5) : UINT64_MAX);
}

/* The frames of a place, one after the other; false at the end. */
static bool next_frame(const char **frames, char name[512]) {
    size_t length = strcspn(*frames, "\n");
    if (!**frames)
        return false;
    snprintf(name, 512, "%.*s", length < 500 ? (int)length : 500, *frames);
    *frames += length + ((*frames)[length] == '\n');
    return true;
}

static void print_place(const struct leaks *leaks, const struct place *place, size_t width) {
    char text[TEXT_SIZE], name[512];
    const char *frames = place->frames;
    double error = error_of(leaks, place->bytes[OLD], place->bytes[NEW]);
    printf("%11s", signed_bytes(text, growth(place)));
    printf(" +-%9s", plain_bytes(text, error));
    printf(" %s", growth(place) <= error ? "?" : " ");
    printf(" %+10.0f", place->objects[NEW] - place->objects[OLD]);
    printf("  %10s", plain_bytes(text, place->bytes[OLD]));
    printf(" %10s  ", plain_bytes(text, place->bytes[NEW]));
    for (int i = 0; i < FRAMES_SHOWN && next_frame(&frames, name); i++) {
        if (i)
            printf("%64s", "");
        text_cut(name, width > 84 ? width - 64 : 20);
        putchar('\n');
    }
    if (*place->attributes) {
        printf("%64s", "");
        text_cut(place->attributes, width > 84 ? width - 64 : 20);
        putchar('\n');
    }
}

static void print_text(const struct leaks *leaks, const struct place *places, size_t count, size_t rows, size_t width) {
    char text[TEXT_SIZE];
    double difference = leaks->total[NEW] - leaks->total[OLD];
    printf("live memory: %s then,", plain_bytes(text, leaks->total[OLD]));
    printf(" %s now:", plain_bytes(text, leaks->total[NEW]));
    printf(" %s", signed_bytes(text, difference));
    printf(" +- %s\n", plain_bytes(text, error_of(leaks, leaks->total[OLD], leaks->total[NEW])));
    printf("estimated from one allocation in %s; +- bounds the estimator's error (95 %%); ? marks growth within it\n",
           plain_bytes(text, leaks->interval));
    if (otp_intern_count(leaks->processes) > 1)
        puts("the two are of different processes");
    printf("\n%11s %11s   %10s  %10s %10s  %s\n", "GROWTH", "", "OBJECTS", "THEN", "NOW", "ALLOCATED BY");
    for (size_t i = 0; i < count && i < rows && growth(&places[i]) > 0; i++)
        print_place(leaks, &places[i], width);
}

static void print_json(const struct leaks *leaks, const struct place *places, size_t count) {
    char name[512];
    printf("{\"old\":{\"bytes\":%.0f,\"objects\":%.0f},\"new\":{\"bytes\":%.0f,\"objects\":%.0f},\"error_bytes\":%.0f,"
           "\"interval_bytes\":%.0f,\"processes\":%" PRIu32 ",\n\"places\":[",
           leaks->total[OLD], leaks->total_objects[OLD], leaks->total[NEW], leaks->total_objects[NEW],
           error_of(leaks, leaks->total[OLD], leaks->total[NEW]), leaks->interval, otp_intern_count(leaks->processes));
    for (size_t i = 0; i < count; i++) {
        const struct place *place = &places[i];
        const char *frames = place->frames;
        printf("%s\n{\"growth_bytes\":%.0f,\"error_bytes\":%.0f,\"growth_objects\":%.0f,\"old_bytes\":%.0f,"
               "\"new_bytes\":%.0f,\"attributes\":",
               i ? "," : "", growth(place), error_of(leaks, place->bytes[OLD], place->bytes[NEW]),
               place->objects[NEW] - place->objects[OLD], place->bytes[OLD], place->bytes[NEW]);
        text_json(place->attributes);
        fputs(",\"frames\":[", stdout);
        for (int j = 0; next_frame(&frames, name); j++) {
            fputs(j ? "," : "", stdout);
            text_json(name);
        }
        fputs("]}", stdout);
    }
    fputs("]}\n", stdout);
}

int leaks_report(const char *old_path, const char *new_path, size_t rows, size_t width, bool json) {
    struct leaks leaks = {.arena = otp_arena_new(0)};
    int code = TOOL_FAILED;
    if (leaks.arena) {
        leaks.keys = otp_intern_new(leaks.arena);
        leaks.processes = otp_intern_new(leaks.arena);
    }
    if (!leaks.keys || !leaks.processes) {
        tool_complain("out of memory");
    } else if (read_side(&leaks, OLD, old_path) && read_side(&leaks, NEW, new_path)) {
        size_t count = otp_intern_count(leaks.keys);
        qsort(leaks.places, count, sizeof(*leaks.places), by_growth);
        if (json)
            print_json(&leaks, leaks.places, count);
        else
            print_text(&leaks, leaks.places, count, rows, width);
        code = TOOL_OK;
    }
    free(leaks.places);
    otp_arena_free(leaks.arena);
    return code;
}

// SPDX-License-Identifier: Apache-2.0
#include "tool/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp_reader.h"

#define TYPES_MAX 32
#define PROCESSES_MAX 65536

struct survey {
    struct otp_arena *arena;
    struct sample_type types[TYPES_MAX];
    size_t type_count;
    struct otp_intern *processes; /* ids of instances */
    uint64_t *last;               /* by process: start of its last window, unix ns */
    uint64_t *last_snapshot;      /* of its last one with a snapshot of its threads */
    bool several_windows;
    char names[512];
};

struct survey *survey_new(void) {
    struct survey *survey = calloc(1, sizeof(*survey));
    if (!survey)
        return NULL;
    survey->arena = otp_arena_new(0);
    survey->processes = survey->arena ? otp_intern_new(survey->arena) : NULL;
    survey->last = calloc(PROCESSES_MAX, sizeof(*survey->last)); /* pages that are not touched cost nothing */
    survey->last_snapshot = calloc(PROCESSES_MAX, sizeof(*survey->last_snapshot));
    if (survey->processes && survey->last && survey->last_snapshot)
        return survey;
    survey_free(survey);
    return NULL;
}

void survey_free(struct survey *survey) {
    if (!survey)
        return;
    otp_arena_free(survey->arena);
    free(survey->last);
    free(survey->last_snapshot);
    free(survey);
}

static void add_type(struct survey *survey, const struct sample_type *type) {
    if (survey_has(survey, type) || survey->type_count == TYPES_MAX)
        return;
    survey->types[survey->type_count++] = *type;
    size_t length = strlen(survey->names);
    snprintf(survey->names + length, sizeof(survey->names) - length, "%s%s", length ? ", " : "", type->name);
}

/* The process by its instance; without one, by its number. */
static const char *process_of(const struct otp_otlp_reader *reader, size_t profile, char text[32]) {
    struct otp_otlp_value value;
    const char *instance = NULL;
    text[0] = 0;
    for (size_t i = 0; otp_otlp_resource_attribute(reader, profile, i, &value); i++) {
        if (strcmp(value.key, "service.instance.id") == 0 && value.text)
            instance = value.text;
        else if (strcmp(value.key, "process.pid") == 0 && !value.text)
            snprintf(text, 32, "%lld", (long long)value.number);
    }
    return instance ? instance : text;
}

static bool is_snapshot(const struct otp_otlp_profile *profile) {
    return strcmp(profile->sample_name, "goroutine") == 0;
}

static bool add_window(struct survey *survey, const struct otp_otlp_reader *reader, size_t number,
                       const struct otp_otlp_profile *profile) {
    uint64_t time_ns = profile->time_unix_ns;
    char text[32];
    const char *process = process_of(reader, number, text);
    uint32_t index = otp_intern(survey->processes, process, strlen(process));
    if (index >= PROCESSES_MAX)
        return false;
    survey->several_windows |= survey->last[index] && survey->last[index] != time_ns;
    if (time_ns > survey->last[index])
        survey->last[index] = time_ns;
    if (is_snapshot(profile) && profile->sample_count && time_ns > survey->last_snapshot[index])
        survey->last_snapshot[index] = time_ns;
    return true;
}

bool survey_add(struct survey *survey, const struct otp_otlp_reader *reader) {
    size_t count = otp_otlp_profile_count(reader);
    for (size_t i = 0; i < count; i++) {
        struct otp_otlp_profile profile;
        struct sample_type type;
        if (!otp_otlp_profile(reader, i, &profile))
            continue;
        sample_type_of(&profile, &type);
        if (profile.sample_count)
            add_type(survey, &type);
        if (!add_window(survey, reader, i, &profile))
            return false;
    }
    return true;
}

bool survey_has(const struct survey *survey, const struct sample_type *type) {
    for (size_t i = 0; i < survey->type_count; i++)
        if (strcmp(survey->types[i].name, type->name) == 0)
            return true;
    return false;
}

bool survey_default(const struct survey *survey, struct sample_type *type) {
    static const char *const order[] = {"cpu", "wall", "inuse_space", "alloc_space", "block"};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        sample_type_find(order[i], type);
        if (survey_has(survey, type))
            return true;
    }
    if (survey->type_count)
        *type = survey->types[0];
    else
        sample_type_find("cpu", type);
    return survey->type_count != 0;
}

const char *survey_names(const struct survey *survey, size_t *count) {
    *count = survey->type_count;
    return survey->names;
}

bool survey_is_last(const struct survey *survey, const struct otp_otlp_reader *reader, size_t number) {
    char text[32];
    struct otp_otlp_profile profile;
    const char *process = process_of(reader, number, text);
    uint32_t index = otp_intern_find(survey->processes, process, strlen(process));
    if (index >= PROCESSES_MAX || !otp_otlp_profile(reader, number, &profile))
        return false;
    return profile.time_unix_ns == (is_snapshot(&profile) ? survey->last_snapshot : survey->last)[index];
}

size_t survey_processes(const struct survey *survey, bool *several_windows) {
    *several_windows = survey->several_windows;
    return otp_intern_count(survey->processes);
}

// SPDX-License-Identifier: Apache-2.0
#include "tool/places.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "encode/otlp_reader.h"

#define WRAPPERS_MAX 8 /* frames of wrappers, innermost */

const char *place_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t sample, const char *key) {
    struct otp_otlp_value value;
    for (size_t i = 0; otp_otlp_sample_attribute(reader, profile, sample, i, &value); i++)
        if (value.text && strcmp(value.key, key) == 0)
            return value.text;
    return "";
}

long long place_number(const struct otp_otlp_reader *reader, size_t profile, size_t sample, const char *key) {
    struct otp_otlp_value value;
    for (size_t i = 0; otp_otlp_sample_attribute(reader, profile, sample, i, &value); i++)
        if (!value.text && strcmp(value.key, key) == 0)
            return value.number;
    return -1;
}

/* The standard library's headers, which are in every stack of C++. */
static bool is_wrapper(const struct otp_otlp_line *line) {
    return strstr(line->file, "/c++/") || strncmp(line->function, "std::", 5) == 0 ||
           strncmp(line->function, "__gthread", 9) == 0;
}

static void say_line(const struct otp_otlp_line *line, char *function, char *place) {
    const char *slash = strrchr(line->file, '/');
    if (*line->function || *line->system_name)
        snprintf(function, PLACE_BYTES, "%.511s", *line->function ? line->function : line->system_name);
    if (*line->file && line->line)
        snprintf(place, PLACE_BYTES, "%.200s:%" PRId64, slash ? slash + 1 : line->file, line->line);
}

static void say_module(const struct otp_otlp_frame *frame, char *function, char *place) {
    const char *slash = strrchr(frame->file, '/'), *file = slash ? slash + 1 : frame->file;
    snprintf(function, PLACE_BYTES, "%.200s+0x%" PRIx64, file,
             frame->address - frame->mapping_start + frame->file_offset);
    snprintf(place, PLACE_BYTES, "%.200s", file);
}

void place_innermost(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char function[PLACE_BYTES],
                     char place[PLACE_BYTES]) {
    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    snprintf(function, PLACE_BYTES, "(no stack)");
    *place = 0;
    for (size_t i = 0; i < WRAPPERS_MAX && otp_otlp_frame(reader, profile, sample, i, &frame); i++) {
        if (i == 0)
            say_module(&frame, function, place);
        if (!frame.line_count)
            return;
        for (size_t j = 0; j < frame.line_count && otp_otlp_line(reader, profile, sample, i, j, &line); j++) {
            say_line(&line, function, place);
            if (!is_wrapper(&line))
                return;
        }
    }
}

/* Of the kernel, of the C library, of its loader, or ours: whoever waits does so through one of these. */
static bool is_foreign(const struct otp_otlp_frame *frame) {
    static const char *const modules[] = {"libc.so", "libc-", "libpthread", "ld-linux", "libotelprof", "[vdso]"};
    const char *slash = strrchr(frame->file, '/'), *file = slash ? slash + 1 : frame->file;
    if (strcmp(frame->frame_type, "kernel") == 0)
        return true;
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
        if (strncmp(file, modules[i], strlen(modules[i])) == 0)
            return true;
    return false;
}

/* The innermost function in the frame that is no wrapper. False: all are. */
static bool say_own(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t number,
                    const struct otp_otlp_frame *frame, char *function, char *place) {
    struct otp_otlp_line line;
    say_module(frame, function, place);
    for (size_t i = 0; i < frame->line_count && otp_otlp_line(reader, profile, sample, number, i, &line); i++) {
        say_line(&line, function, place);
        if (!is_wrapper(&line))
            return true;
    }
    return !frame->line_count;
}

void place_own(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char function[PLACE_BYTES],
               char place[PLACE_BYTES]) {
    struct otp_otlp_frame frame;
    for (size_t i = 0; otp_otlp_frame(reader, profile, sample, i, &frame); i++) {
        if (!is_foreign(&frame) && say_own(reader, profile, sample, i, &frame, function, place))
            return;
    }
    place_innermost(reader, profile, sample, function, place);
}

bool place_of_frame(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t number,
                    char function[PLACE_BYTES], char place[PLACE_BYTES]) {
    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    if (!otp_otlp_frame(reader, profile, sample, number, &frame))
        return false;
    say_module(&frame, function, place);
    if (frame.line_count && otp_otlp_line(reader, profile, sample, number, frame.line_count - 1, &line))
        say_line(&line, function, place);
    return true;
}

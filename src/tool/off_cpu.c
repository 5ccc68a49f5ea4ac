// SPDX-License-Identifier: Apache-2.0
#include "tool/off_cpu.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp_reader.h"
#include "tool/inputs.h"
#include "tool/places.h"
#include "tool/requests.h"
#include "tool/reserve.h"
#include "tool/sample_type.h"
#include "tool/text.h"
#include "tool/tool.h"

/* One place that waits for one thing on behalf of one value of the attribute. */
struct place {
    const char *what, *function, *where, *value;
    uint64_t ns;
    uint64_t what_ns; /* of all places that wait for the same */
};

struct off_cpu {
    const struct off_cpu_options *options;
    struct otp_arena *arena;
    struct otp_intern *keys;
    struct place *places;
    size_t room, files;
    uint64_t blocked_ns, whole_ns;
};

/* ---------------------------------------------------------------------------------------------- reading */

static const char *keep(struct off_cpu *off_cpu, const char *text) {
    return otp_arena_copy(off_cpu->arena, text, strlen(text));
}

/* The place of a sample, made if new. NULL: out of memory. */
static struct place *place_of(struct off_cpu *off_cpu, const struct otp_otlp_reader *reader, size_t profile,
                              size_t sample) {
    char function[PLACE_BYTES], where[PLACE_BYTES], key[5 * PLACE_BYTES];
    const char *what = place_attribute(reader, profile, sample, "otelprof.syscall");
    const char *value = place_attribute(reader, profile, sample, off_cpu->options->by);
    place_own(reader, profile, sample, function, where);
    int length = snprintf(key, sizeof(key), "%.511s\n%.511s\n%.511s\n%.511s", what, function, where, value);
    uint32_t number = otp_intern(off_cpu->keys, key, (size_t)length);
    if (number == OTP_INTERN_NONE ||
        !tool_reserve((void **)&off_cpu->places, &off_cpu->room, number, sizeof(off_cpu->places[0])))
        return NULL;
    struct place *place = &off_cpu->places[number];
    if (!place->what)
        *place = (struct place){
            keep(off_cpu, what), keep(off_cpu, function), keep(off_cpu, where), keep(off_cpu, value), 0, 0};
    return place->what && place->function && place->where && place->value ? place : NULL;
}

static bool is_blocked(const char *state) { return strcmp(state, "running") != 0 && strcmp(state, "runnable") != 0; }

static bool add_profile(struct off_cpu *off_cpu, const struct otp_otlp_reader *reader, size_t number) {
    struct otp_otlp_sample sample;
    for (size_t i = 0; otp_otlp_sample(reader, number, i, &sample); i++) {
        uint64_t ns = sample.value > 0 ? (uint64_t)sample.value : 0;
        off_cpu->whole_ns += ns;
        if (!is_blocked(place_attribute(reader, number, i, "otelprof.thread.state")))
            continue;
        struct place *place = place_of(off_cpu, reader, number, i);
        if (!place)
            return false;
        place->ns += ns;
        off_cpu->blocked_ns += ns;
    }
    return true;
}

static bool add(void *user, const struct otp_otlp_reader *reader) {
    struct otp_otlp_profile profile;
    for (size_t i = 0; otp_otlp_profile(reader, i, &profile); i++) {
        struct sample_type type;
        sample_type_of(&profile, &type);
        if (strcmp(type.name, "wall") == 0 && !add_profile(user, reader, i))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- printing */

static int by_what(const void *a, const void *b) {
    return strcmp(((const struct place *)a)->what, ((const struct place *)b)->what);
}

/* What was waited for longest first; and the places of each likewise. */
static int by_time(const void *a, const void *b) {
    const struct place *one = a, *other = b;
    if (one->what_ns != other->what_ns)
        return one->what_ns > other->what_ns ? -1 : 1;
    int same = by_what(a, b);
    if (same)
        return same;
    if (one->ns != other->ns)
        return one->ns > other->ns ? -1 : 1;
    return strcmp(one->function, other->function);
}

static void sort(struct off_cpu *off_cpu, size_t count) {
    struct place *places = off_cpu->places;
    qsort(places, count, sizeof(*places), by_what);
    for (size_t first = 0, next; first < count; first = next) {
        uint64_t sum = 0;
        for (next = first; next < count && strcmp(places[next].what, places[first].what) == 0; next++)
            sum += places[next].ns;
        for (size_t i = first; i < next; i++)
            places[i].what_ns = sum;
    }
    qsort(places, count, sizeof(*places), by_time);
}

static void print_place(const struct off_cpu *off_cpu, const struct place *place) {
    char text[TEXT_SIZE];
    size_t left = 48, width = off_cpu->options->width > left + 40 ? off_cpu->options->width - left : 40;
    printf("  %10s", text_duration(text, place->ns));
    printf(" %8s    ", text_share(text, place->ns, place->what_ns));
    text_column(*place->value ? place->value : "(none)", 20);
    printf("  ");
    text_column(place->function, width / 2);
    putchar(' ');
    text_cut(place->where, width / 2);
    putchar('\n');
}

static void print_text(const struct off_cpu *off_cpu, size_t count) {
    char text[TEXT_SIZE], share[TEXT_SIZE];
    printf("Blocked %s, %s of what the threads' time is, by what was waited for, and by function and %s\n",
           text_duration(text, off_cpu->blocked_ns), text_share(share, off_cpu->blocked_ns, off_cpu->whole_ns),
           off_cpu->options->by);
    size_t shown = 0;
    for (size_t i = 0; i < count; i++) {
        const struct place *place = &off_cpu->places[i];
        bool first = i == 0 || strcmp(place->what, place[-1].what) != 0;
        bool last = i + 1 == count || strcmp(place->what, place[1].what) != 0;
        if (first) {
            printf("\n%-16s %s", *place->what ? place->what : "no system call", text_duration(text, place->what_ns));
            printf(", %s\n", text_share(text, place->what_ns, off_cpu->blocked_ns));
            shown = 0;
        }
        if (++shown <= off_cpu->options->rows)
            print_place(off_cpu, place);
        else if (last)
            printf("%22s(and %zu more)\n", "", shown - off_cpu->options->rows);
    }
}

static void print_json(const struct off_cpu *off_cpu, size_t count) {
    fputs("{\"by\":", stdout);
    text_json(off_cpu->options->by);
    printf(",\"blocked_ns\":%" PRIu64 ",\"whole_ns\":%" PRIu64 ",\n\"places\":[", off_cpu->blocked_ns,
           off_cpu->whole_ns);
    for (size_t i = 0; i < count; i++) {
        const struct place *place = &off_cpu->places[i];
        printf("%s\n {\"ns\":%" PRIu64 ",\"syscall\":", i ? "," : "", place->ns);
        text_json(place->what);
        fputs(",\"function\":", stdout);
        text_json(place->function);
        fputs(",\"place\":", stdout);
        text_json(place->where);
        fputs(",\"value\":", stdout);
        text_json(place->value);
        putchar('}');
    }
    fputs("]}\n", stdout);
}

static int print(struct off_cpu *off_cpu) {
    size_t count = otp_intern_count(off_cpu->keys);
    if (!count) {
        tool_complain("no blocked thread in %zu file%s (profile wall)", off_cpu->files, off_cpu->files == 1 ? "" : "s");
        return TOOL_FAILED;
    }
    sort(off_cpu, count);
    (off_cpu->options->json ? print_json : print_text)(off_cpu, count);
    return TOOL_OK;
}

int off_cpu_report(char **paths, int count, const struct off_cpu_options *options) {
    struct off_cpu_options complete = *options;
    if (!complete.by)
        complete.by = "http.route";
    struct off_cpu off_cpu = {.options = &complete, .arena = otp_arena_new(0)};
    struct tool_inputs inputs;
    int code = TOOL_FAILED;
    off_cpu.keys = off_cpu.arena ? otp_intern_new(off_cpu.arena) : NULL;
    bool good = tool_inputs_list(paths, count, &inputs);
    if (!off_cpu.keys) {
        tool_complain("out of memory");
    } else {
        good = tool_requests_read(&inputs, add, &off_cpu, &off_cpu.files) && good;
        if (off_cpu.files)
            code = print(&off_cpu);
    }
    tool_inputs_free(&inputs);
    free(off_cpu.places);
    otp_arena_free(off_cpu.arena);
    return good ? code : TOOL_FAILED;
}

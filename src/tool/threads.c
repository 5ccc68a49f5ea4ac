// SPDX-License-Identifier: Apache-2.0
#include "tool/threads.h"

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
#include "tool/survey.h"
#include "tool/text.h"
#include "tool/tool.h"

#define DESCRIPTION_BYTES 1024 /* state, system call, lock */
#define STACK_BYTES 32768
#define MEMBERS_SHOWN 8

/* One sample of the snapshot: a thread, or several that agree in everything. */
struct member {
    struct member *next;
    const char *name, *route;
    long long id, cpu_ns; /* -1: not told */
    uint64_t count;
};

/* Threads that agree in what they do and in their stack. */
struct group {
    const char *what;   /* "sleeping in futex, waits for mutex queue, which thread 12 holds" */
    const char *stack;  /* a line a frame, leaf first */
    long long deadlock; /* -1: in none */
    uint64_t count;
    struct member *members;
};

struct threads {
    const struct survey *survey;
    struct otp_arena *arena;
    struct otp_intern *keys;
    struct group *groups;
    size_t room;
    uint64_t count;
};

/* ---------------------------------------------------------------------------------------------- reading */

static const char *keep(struct threads *threads, const char *text) {
    return otp_arena_copy(threads->arena, text, strlen(text));
}

static void append(char *to, size_t size, const char *before, const char *text) {
    size_t length = strlen(to);
    if (*text)
        snprintf(to + length, size - length, "%s%.200s", before, text);
}

static void describe(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char *text) {
    const char *kind = place_attribute(reader, profile, sample, "otelprof.lock.kind");
    const char *name = place_attribute(reader, profile, sample, "otelprof.lock.name");
    const char *address = place_attribute(reader, profile, sample, "otelprof.lock.address");
    long long owner = place_number(reader, profile, sample, "otelprof.lock.owner.thread.id");
    *text = 0;
    append(text, DESCRIPTION_BYTES, "", place_attribute(reader, profile, sample, "otelprof.thread.state"));
    append(text, DESCRIPTION_BYTES, " in ", place_attribute(reader, profile, sample, "otelprof.syscall"));
    append(text, DESCRIPTION_BYTES, ", waits for ", kind);
    append(text, DESCRIPTION_BYTES, " ", *name ? name : address);
    append(text, DESCRIPTION_BYTES, " to ", place_attribute(reader, profile, sample, "otelprof.lock.mode"));
    if (owner >= 0)
        snprintf(text + strlen(text), DESCRIPTION_BYTES - strlen(text), ", which thread %lld holds", owner);
}

static void list_stack(const struct otp_otlp_reader *reader, size_t profile, size_t sample, char *text) {
    char function[PLACE_BYTES], place[PLACE_BYTES];
    size_t length = 0;
    *text = 0;
    for (size_t i = 0; place_of_frame(reader, profile, sample, i, function, place) && length < STACK_BYTES - 1; i++) {
        int added = snprintf(text + length, STACK_BYTES - length, "%s  %s\n", function, place);
        length += added > 0 ? (size_t)added : 0;
    }
}

/* The group of that description, made if new. NULL: out of memory. */
static struct group *group_of(struct threads *threads, const char *what, const char *stack, long long deadlock) {
    static char key[STACK_BYTES + DESCRIPTION_BYTES + 32];
    int length = snprintf(key, sizeof(key), "%lld\n%s\n%s", deadlock, what, stack);
    size_t size = (size_t)length < sizeof(key) ? (size_t)length : sizeof(key) - 1;
    uint32_t number = otp_intern(threads->keys, key, size);
    if (number == OTP_INTERN_NONE ||
        !tool_reserve((void **)&threads->groups, &threads->room, number, sizeof(threads->groups[0])))
        return NULL;
    struct group *group = &threads->groups[number];
    if (!group->what)
        *group = (struct group){.what = keep(threads, what), .stack = keep(threads, stack), .deadlock = deadlock};
    return group->what && group->stack ? group : NULL;
}

static bool add_member(struct threads *threads, struct group *group, const struct otp_otlp_reader *reader,
                       size_t profile, size_t sample, uint64_t count) {
    struct member *member = otp_arena_alloc(threads->arena, sizeof(*member));
    if (!member)
        return false;
    *member = (struct member){
        .next = group->members,
        .name = keep(threads, place_attribute(reader, profile, sample, "thread.name")),
        .route = keep(threads, place_attribute(reader, profile, sample, "http.route")),
        .id = place_number(reader, profile, sample, "thread.id"),
        .cpu_ns = place_number(reader, profile, sample, "otelprof.thread.cpu_ns"),
        .count = count,
    };
    group->members = member;
    group->count += count;
    threads->count += count;
    return member->name && member->route;
}

static bool add_profile(struct threads *threads, const struct otp_otlp_reader *reader, size_t number) {
    static char stack[STACK_BYTES];
    char what[DESCRIPTION_BYTES];
    struct otp_otlp_sample sample;
    for (size_t i = 0; otp_otlp_sample(reader, number, i, &sample); i++) {
        describe(reader, number, i, what);
        list_stack(reader, number, i, stack);
        struct group *group = group_of(threads, what, stack, place_number(reader, number, i, "otelprof.deadlock"));
        if (!group || !add_member(threads, group, reader, number, i, sample.value > 0 ? (uint64_t)sample.value : 0))
            return false;
    }
    return true;
}

static bool add(void *user, const struct otp_otlp_reader *reader) {
    struct threads *threads = user;
    struct otp_otlp_profile profile;
    for (size_t i = 0; otp_otlp_profile(reader, i, &profile); i++) {
        if (strcmp(profile.sample_name, "goroutine") == 0 && survey_is_last(threads->survey, reader, i) &&
            !add_profile(threads, reader, i))
            return false;
    }
    return true;
}

static bool add_to_survey(void *user, const struct otp_otlp_reader *reader) { return survey_add(user, reader); }

/* ---------------------------------------------------------------------------------------------- printing */

/* Deadlocks first, by number; then the most threads. */
static int by_importance(const void *a, const void *b) {
    const struct group *one = a, *other = b;
    if (one->deadlock != other->deadlock) {
        if (one->deadlock < 0 || other->deadlock < 0)
            return one->deadlock < 0 ? 1 : -1;
        return one->deadlock < other->deadlock ? -1 : 1;
    }
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    int what = strcmp(one->what, other->what);
    return what ? what : strcmp(one->stack, other->stack);
}

static void print_member(const struct member *member) {
    char text[TEXT_SIZE];
    printf("    ");
    if (member->id >= 0)
        printf("%lld ", member->id);
    text_cut(*member->name ? member->name : "(no name)", 40);
    if (member->count > 1)
        printf(" x%" PRIu64, member->count);
    if (*member->route) {
        printf(", ");
        text_cut(member->route, 60);
    }
    if (member->cpu_ns > 0)
        printf(", %s CPU", text_duration(text, (uint64_t)member->cpu_ns));
    putchar('\n');
}

static void print_group(const struct group *group) {
    putchar('\n');
    if (group->deadlock >= 0)
        printf("deadlock %lld: ", group->deadlock);
    printf("%" PRIu64 " thread%s ", group->count, group->count == 1 ? "" : "s");
    text_cut(group->what, 0);
    putchar('\n');
    size_t shown = 0;
    for (const struct member *member = group->members; member && shown < MEMBERS_SHOWN; member = member->next, shown++)
        print_member(member);
    if (shown == MEMBERS_SHOWN)
        printf("    ...\n");
    for (const char *line = group->stack; *line;) {
        size_t length = strcspn(line, "\n");
        char text[2 * PLACE_BYTES + 8];
        snprintf(text, sizeof(text), "%.*s", (int)length, line);
        printf("        ");
        text_cut(text, 0);
        putchar('\n');
        line += length + (line[length] == '\n');
    }
}

static void print_text(const struct threads *threads, size_t count, size_t rows) {
    printf("%" PRIu64 " threads, in %zu groups of equal state and stack\n", threads->count, count);
    for (size_t i = 0; i < count && i < rows; i++)
        print_group(&threads->groups[i]);
    if (count > rows)
        printf("\n(and %zu more)\n", count - rows);
}

static void print_json_group(const struct group *group) {
    printf("{\"threads\":%" PRIu64 ",\"deadlock\":%lld,\"what\":", group->count,
           group->deadlock < 0 ? 0 : group->deadlock);
    text_json(group->what);
    fputs(",\"stack\":", stdout);
    text_json(group->stack);
    fputs(",\"members\":[", stdout);
    for (const struct member *member = group->members; member; member = member->next) {
        printf("%s{\"count\":%" PRIu64 ",\"id\":%lld,\"cpu_ns\":%lld,\"name\":", member == group->members ? "" : ",",
               member->count, member->id, member->cpu_ns);
        text_json(member->name);
        fputs(",\"route\":", stdout);
        text_json(member->route);
        putchar('}');
    }
    fputs("]}", stdout);
}

static int print(struct threads *threads, size_t rows, bool json) {
    size_t count = otp_intern_count(threads->keys);
    if (!count) {
        tool_complain("no snapshot of threads in these files (profile goroutine)");
        return TOOL_FAILED;
    }
    qsort(threads->groups, count, sizeof(threads->groups[0]), by_importance);
    if (!json) {
        print_text(threads, count, rows);
        return TOOL_OK;
    }
    printf("{\"threads\":%" PRIu64 ",\n\"groups\":[", threads->count);
    for (size_t i = 0; i < count; i++) {
        printf("%s\n", i ? "," : "");
        print_json_group(&threads->groups[i]);
    }
    fputs("]}\n", stdout);
    return TOOL_OK;
}

int threads_report(char **paths, int count, size_t rows, bool json) {
    struct survey *survey = survey_new();
    struct threads threads = {.survey = survey, .arena = otp_arena_new(0)};
    struct tool_inputs inputs;
    size_t files = 0;
    int code = TOOL_FAILED;
    threads.keys = threads.arena ? otp_intern_new(threads.arena) : NULL;
    bool good = tool_inputs_list(paths, count, &inputs);
    if (!survey || !threads.keys) {
        tool_complain("out of memory");
    } else {
        good = tool_requests_read(&inputs, add_to_survey, survey, &files) && good;
        if (files && tool_requests_read(&inputs, add, &threads, &(size_t){0}))
            code = print(&threads, rows, json);
    }
    tool_inputs_free(&inputs);
    free(threads.groups);
    otp_arena_free(threads.arena);
    survey_free(survey);
    return good ? code : TOOL_FAILED;
}

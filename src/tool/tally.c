// SPDX-License-Identifier: Apache-2.0
#include "tool/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp_reader.h"

#define ATTRIBUTES_SHOWN 1024 /* bytes of a span's attributes, about */

/* An array that grows. Its items are numbered as the set of the same name numbers them. */
struct list {
    void *items;
    size_t count, room;
};

struct function {
    struct tally_function shown;
    uint64_t seen; /* the last sample that counted it in a total */
};

struct cell {
    uint32_t group, function;
    struct tally_sum self, total, outermost;
};

struct tally {
    struct tally_options options;
    struct tally_summary summary;
    struct otp_arena *arena;
    struct otp_intern *function_set, *group_set, *cell_set, *span_set, *mark_set, *source_set;
    struct list functions; /* struct function */
    struct list groups;    /* struct tally_group */
    struct list cells;     /* struct cell */
    struct list spans;     /* struct tally_span */
    char *scratch;         /* a key in the making */
    size_t scratch_size, scratch_room;
    char *sources;
    uint64_t serial; /* number of the sample at hand */
    bool failed;     /* out of memory */
};

/* The sample at hand. */
struct sample {
    const struct otp_otlp_reader *reader;
    size_t profile, number;
    struct otp_otlp_sample data;
    struct tally_sum value;
    uint32_t group;
};

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t multiply(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

static void sum_add(struct tally_sum *sum, const struct tally_sum *more) {
    sum->samples = add(sum->samples, more->samples);
    sum->value = add(sum->value, more->value);
}

/* Makes room for item `number`, which is at most the count. The item is zeroed if new. NULL: out of memory. */
static void *list_item(struct tally *tally, struct list *list, uint32_t number, size_t size) {
    if (number == OTP_INTERN_NONE || number > list->count) {
        tally->failed = true;
        return NULL;
    }
    if (number == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        void *items = realloc(list->items, room * size);
        if (!items) {
            tally->failed = true;
            return NULL;
        }
        list->items = items;
        list->room = room;
    }
    char *item = (char *)list->items + number * size;
    if (number == list->count) {
        memset(item, 0, size);
        list->count++;
    }
    return item;
}

static void scratch_put(struct tally *tally, const void *bytes, size_t size) {
    if (size > tally->scratch_room - tally->scratch_size) {
        size_t room = (tally->scratch_size + size) * 2;
        char *grown = realloc(tally->scratch, room);
        if (!grown) {
            tally->failed = true;
            return;
        }
        tally->scratch = grown;
        tally->scratch_room = room;
    }
    memcpy(tally->scratch + tally->scratch_size, bytes, size);
    tally->scratch_size += size;
}

static void scratch_string(struct tally *tally, const char *text) { scratch_put(tally, text, strlen(text) + 1); }

struct tally *tally_new(const struct tally_options *options) {
    struct tally *tally = calloc(1, sizeof(*tally));
    if (!tally)
        return NULL;
    tally->options = *options;
    tally->arena = otp_arena_new(0);
    tally->scratch = malloc(4096);
    tally->scratch_room = 4096;
    struct otp_intern **sets[] = {&tally->function_set, &tally->group_set, &tally->cell_set,
                                  &tally->span_set,     &tally->mark_set,  &tally->source_set};
    bool done = tally->arena && tally->scratch;
    for (size_t i = 0; done && i < sizeof(sets) / sizeof(sets[0]); i++)
        done = (*sets[i] = otp_intern_new(tally->arena)) != NULL;
    if (done)
        return tally;
    tally_free(tally);
    return NULL;
}

void tally_free(struct tally *tally) {
    if (!tally)
        return;
    otp_arena_free(tally->arena);
    free(tally->functions.items);
    free(tally->groups.items);
    free(tally->cells.items);
    free(tally->spans.items);
    free(tally->scratch);
    free(tally->sources);
    free(tally);
}

const struct tally_summary *tally_summary(const struct tally *tally) { return &tally->summary; }

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* The number of the function (or line, or address) that a line of a location, or a location without one, names. */
static uint32_t find_function(struct tally *tally, const struct otp_otlp_frame *frame,
                              const struct otp_otlp_line *line) {
    char name[256];
    const char *module = frame->has_mapping ? base_name(frame->file) : "";
    int64_t number = 0;
    tally->scratch_size = 0;
    if (line) {
        scratch_string(tally, *line->function ? line->function : *line->system_name ? line->system_name : "[unnamed]");
        scratch_string(tally, line->file);
        number = line->line;
    } else {
        const char *owner = *module ? module : strcmp(frame->frame_type, "kernel") == 0 ? "kernel" : "unknown";
        if (tally->options.lines && frame->has_mapping)
            snprintf(name, sizeof(name), "%.200s+0x%" PRIx64, owner,
                     frame->address - frame->mapping_start + frame->file_offset);
        else
            snprintf(name, sizeof(name), *owner == '[' ? "%.200s" : "[%.200s]", owner); /* "[vdso]" is so called */
        scratch_string(tally, name);
        scratch_string(tally, "");
    }
    scratch_string(tally, module);
    if (tally->options.lines)
        scratch_put(tally, &number, sizeof(number));
    if (tally->failed)
        return OTP_INTERN_NONE;
    return otp_intern(tally->function_set, tally->scratch, tally->scratch_size);
}

/* The function's entry, filled if new. */
static struct function *function_entry(struct tally *tally, uint32_t number, const struct otp_otlp_line *line) {
    struct function *function = list_item(tally, &tally->functions, number, sizeof(*function));
    if (!function)
        return NULL;
    struct tally_function *shown = &function->shown;
    if (!shown->name) {
        shown->name = otp_intern_key(tally->function_set, number, NULL);
        shown->file = shown->name + strlen(shown->name) + 1;
        shown->module = shown->file + strlen(shown->file) + 1;
        shown->named = line != NULL;
    }
    if (line && tally->options.lines)
        shown->line = line->line;
    else if (line && line->start_line > 0)
        shown->line = line->start_line;
    else if (line && line->line > 0 && (!shown->line || line->line < shown->line))
        shown->line = line->line;
    return function;
}

/* Counts one frame of the sample at hand. */
static void add_frame(struct tally *tally, const struct sample *sample, const struct otp_otlp_frame *frame,
                      const struct otp_otlp_line *line, bool leaf, bool outermost) {
    uint32_t number = find_function(tally, frame, line);
    struct function *function = function_entry(tally, number, line);
    if (!function)
        return;
    const uint32_t key[2] = {sample->group, number};
    struct cell *cell =
        list_item(tally, &tally->cells, otp_intern(tally->cell_set, key, sizeof(key)), sizeof(struct cell));
    if (!cell)
        return;
    cell->group = sample->group;
    cell->function = number;
    if (leaf)
        sum_add(&cell->self, &sample->value);
    if (outermost)
        sum_add(&cell->outermost, &sample->value);
    if (function->seen != tally->serial)
        sum_add(&cell->total, &sample->value);
    function->seen = tally->serial;
}

static void add_stack(struct tally *tally, const struct sample *sample) {
    struct otp_otlp_frame frame;
    for (size_t i = 0; i < sample->data.frame_count && !tally->failed; i++) {
        if (!otp_otlp_frame(sample->reader, sample->profile, sample->number, i, &frame))
            return;
        bool last = i + 1 == sample->data.frame_count;
        if (frame.line_count == 0)
            add_frame(tally, sample, &frame, NULL, i == 0, last);
        for (size_t j = 0; j < frame.line_count && !tally->failed; j++) {
            struct otp_otlp_line line;
            if (!otp_otlp_line(sample->reader, sample->profile, sample->number, i, j, &line))
                break;
            add_frame(tally, sample, &frame, &line, i == 0 && j == 0, last && j + 1 == frame.line_count);
        }
    }
}

/* Finds an attribute of the sample, else of its resource. */
static bool find_attribute(const struct sample *sample, const char *key, struct otp_otlp_value *value) {
    for (size_t i = 0; otp_otlp_sample_attribute(sample->reader, sample->profile, sample->number, i, value); i++) {
        if (strcmp(value->key, key) == 0)
            return true;
    }
    for (size_t i = 0; otp_otlp_resource_attribute(sample->reader, sample->profile, i, value); i++) {
        if (strcmp(value->key, key) == 0)
            return true;
    }
    return false;
}

static const char *value_text(const struct otp_otlp_value *value, char number[24]) {
    if (value->text)
        return value->text;
    snprintf(number, 24, "%" PRId64, value->number);
    return number;
}

/* Puts the sample into the group of its attribute's value. The key of "(none)" is empty, others begin with "=". */
static void add_group(struct tally *tally, struct sample *sample) {
    struct otp_otlp_value value;
    char number[24];
    bool there = tally->options.by && find_attribute(sample, tally->options.by, &value);
    tally->scratch_size = 0;
    if (there) {
        scratch_put(tally, "=", 1);
        scratch_string(tally, value_text(&value, number));
    }
    if (tally->failed)
        return;
    sample->group = otp_intern(tally->group_set, tally->scratch, tally->scratch_size);
    struct tally_group *group = list_item(tally, &tally->groups, sample->group, sizeof(*group));
    if (!group)
        return;
    const char *key = otp_intern_key(tally->group_set, sample->group, NULL);
    group->value = there ? key + 1 : NULL;
    group->number = sample->group;
    sum_add(&group->sum, &sample->value);
}

/* What a span's line shows: what it was about, and which threads worked for it. */
static bool worth_showing(const char *key) {
    return strcmp(key, "thread.id") != 0 && strncmp(key, "cpu.", 4) != 0 && strncmp(key, "otelprof.", 9) != 0;
}

static void add_span_attributes(struct tally *tally, const struct sample *sample, uint32_t span) {
    struct otp_otlp_value value;
    char number[24];
    for (size_t i = 0; otp_otlp_sample_attribute(sample->reader, sample->profile, sample->number, i, &value); i++) {
        if (!worth_showing(value.key))
            continue;
        tally->scratch_size = 0;
        scratch_put(tally, &span, sizeof(span));
        scratch_put(tally, value.key, strlen(value.key));
        scratch_put(tally, "=", 1);
        scratch_string(tally, value_text(&value, number));
        if (tally->failed || otp_intern(tally->mark_set, tally->scratch, tally->scratch_size) == OTP_INTERN_NONE) {
            tally->failed = true;
            return;
        }
    }
}

static void widen(uint64_t *first, uint64_t *last, uint64_t time) {
    if (!*first || time < *first)
        *first = time;
    if (time > *last)
        *last = time;
}

static void add_span(struct tally *tally, const struct sample *sample) {
    uint32_t number = otp_intern(tally->span_set, sample->data.span_id, sizeof(((struct tally_span *)0)->id));
    struct tally_span *span = list_item(tally, &tally->spans, number, sizeof(*span));
    if (!span)
        return;
    memcpy(span->id, sample->data.span_id, sizeof(span->id));
    sum_add(&span->sum, &sample->value);
    for (size_t i = 0; i < sample->data.timestamp_count; i++) {
        widen(&span->first_ns, &span->last_ns, sample->data.timestamps[i]);
        widen(&tally->summary.first_ns, &tally->summary.last_ns, sample->data.timestamps[i]);
    }
    add_span_attributes(tally, sample, number);
}

static bool complete(const struct sample *sample) {
    struct otp_otlp_value value;
    for (size_t i = 0; otp_otlp_sample_attribute(sample->reader, sample->profile, sample->number, i, &value); i++) {
        if (strcmp(value.key, TALLY_STOP_KEY) == 0)
            return false;
    }
    return true;
}

static void add_sample(struct tally *tally, struct sample *sample) {
    struct tally_summary *summary = &tally->summary;
    const uint8_t *trace = tally->options.trace;
    sum_add(&summary->all, &sample->value);
    if (trace && (!sample->data.trace_id || !sample->data.span_id || memcmp(sample->data.trace_id, trace, 16) != 0))
        return;
    tally->serial++;
    sum_add(&summary->taken, &sample->value);
    if (complete(sample))
        sum_add(&summary->complete, &sample->value);
    if (sample->data.trace_id)
        sum_add(&summary->with_span, &sample->value);
    add_group(tally, sample);
    if (trace && !tally->failed)
        add_span(tally, sample);
    if (!tally->failed)
        add_stack(tally, sample);
}

/* Adds the profile's process to the list of sources. */
static void add_source(struct tally *tally, const struct otp_otlp_reader *reader, size_t profile) {
    const char *service = "unknown service";
    struct otp_otlp_value value;
    char line[256], pid[32] = "", number[24];
    for (size_t i = 0; otp_otlp_resource_attribute(reader, profile, i, &value); i++) {
        if (strcmp(value.key, "service.name") == 0 && value.text)
            service = value.text;
        else if (strcmp(value.key, "process.pid") == 0)
            snprintf(pid, sizeof(pid), ", pid %.20s", value_text(&value, number));
    }
    int length = snprintf(line, sizeof(line), "%.200s%s", service, pid);
    uint32_t count = otp_intern_count(tally->source_set);
    if (length < 0 || otp_intern(tally->source_set, line, (size_t)length) != count || count > 8)
        return;
    char *joined = NULL;
    if (asprintf(&joined, "%s%s%s", tally->sources ? tally->sources : "", tally->sources ? "; " : "",
                 count == 8 ? "..." : line) < 0)
        return;
    free(tally->sources);
    tally->sources = joined;
    tally->summary.sources = joined;
}

/* Sums the counters that travel with the profile. */
static void add_counters(struct tally *tally, const struct otp_otlp_reader *reader, size_t profile) {
    struct otelprof_stats delta;
    struct otp_otlp_value value;
    memset(&delta, 0, sizeof(delta));
    for (size_t i = 0; otp_otlp_profile_attribute(reader, profile, i, &value); i++) {
        for (size_t j = 0; j < otp_counters_count && !value.text && value.number > 0; j++) {
            if (strcmp(otp_counters[j].name, value.key) == 0)
                *(uint64_t *)(void *)((char *)&delta + otp_counters[j].offset) = (uint64_t)value.number;
        }
    }
    otp_counters_add(&tally->summary.counters, &delta);
}

/* A value that may be counted, from what is perhaps not ours. */
static uint64_t value_of(const struct otp_otlp_sample *sample) {
    return sample->value > 0 ? (uint64_t)sample->value : 0;
}

/* `only_counts`: the profile beside that of the type, which says how many. */
static struct tally_sum sum_of(const struct tally *tally, const struct otp_otlp_profile *profile,
                               const struct otp_otlp_sample *sample, uint64_t scale, bool only_counts) {
    uint64_t value = value_of(sample);
    if (only_counts)
        return (struct tally_sum){value, 0};
    bool counts = strcmp(profile->sample_unit, "count") == 0;
    uint64_t others = *tally->options.type.count_name ? 0 : sample->events;
    return (struct tally_sum){counts ? value : others, multiply(value, scale)};
}

static void add_profile(struct tally *tally, const struct otp_otlp_reader *reader, size_t number) {
    struct tally_summary *summary = &tally->summary;
    struct otp_otlp_profile profile;
    if (!otp_otlp_profile(reader, number, &profile))
        return;
    const struct tally_options *options = &tally->options;
    uint64_t scale = sample_type_scale(&options->type, &profile);
    bool counts = !scale && sample_type_counts(&options->type, &profile);
    summary->profiles++;
    add_counters(tally, reader, number);
    if (!scale && !counts) {
        summary->profiles_skipped++;
        return;
    }
    if (options->type.is_state && !survey_is_last(options->survey, reader, number))
        return;
    add_source(tally, reader, number);
    if (profile.time_unix_ns)
        widen(&summary->start_ns, &summary->end_ns, profile.time_unix_ns);
    if (profile.time_unix_ns && profile.duration_ns)
        widen(&summary->start_ns, &summary->end_ns, add(profile.time_unix_ns, profile.duration_ns));
    summary->periods_differ |= summary->period && summary->period != (uint64_t)profile.period;
    summary->period = (uint64_t)profile.period;
    for (size_t i = 0; i < profile.sample_count && !tally->failed; i++) {
        struct sample sample = {.reader = reader, .profile = number, .number = i};
        if (!otp_otlp_sample(reader, number, i, &sample.data))
            break;
        sample.value = sum_of(tally, &profile, &sample.data, scale, counts);
        add_sample(tally, &sample);
    }
}

bool tally_add(struct tally *tally, const struct otp_otlp_reader *reader) {
    size_t count = otp_otlp_profile_count(reader);
    for (size_t i = 0; i < count && !tally->failed; i++)
        add_profile(tally, reader, i);
    return !tally->failed;
}

static int compare(uint64_t a, uint64_t b) { return a > b ? -1 : a < b; }

static int by_group(const void *a, const void *b) {
    const struct tally_group *first = a, *second = b;
    int order = compare(first->sum.value, second->sum.value);
    if (order)
        return order;
    if (!first->value || !second->value)
        return (first->value == NULL) - (second->value == NULL);
    return strcmp(first->value, second->value);
}

struct tally_group *tally_groups(const struct tally *tally, size_t *count) {
    size_t size = tally->groups.count * sizeof(struct tally_group);
    struct tally_group *groups = size ? malloc(size) : NULL;
    *count = groups ? tally->groups.count : 0;
    if (groups) {
        memcpy(groups, tally->groups.items, size);
        qsort(groups, *count, sizeof(*groups), by_group);
    }
    return groups;
}

static int by_span(const void *a, const void *b) {
    const struct tally_span *first = a, *second = b;
    int order = compare(first->sum.value, second->sum.value);
    return order ? order : memcmp(first->id, second->id, sizeof(first->id));
}

/* Joins the marks of a span that are about threads, or those that are not, behind what `text` holds. */
static size_t join_marks(const struct tally *tally, uint32_t number, bool threads, char text[ATTRIBUTES_SHOWN],
                         size_t used) {
    uint32_t count = otp_intern_count(tally->mark_set);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t owner;
        const char *key = otp_intern_key(tally->mark_set, i, NULL);
        memcpy(&owner, key, sizeof(owner));
        const char *mark = key + sizeof(owner);
        bool of_thread = strncmp(mark, "thread.", 7) == 0;
        if (owner != number || of_thread != threads || strlen(mark) + 2 >= ATTRIBUTES_SHOWN - used)
            continue;
        used += (size_t)snprintf(text + used, ATTRIBUTES_SHOWN - used, "%s%s", used ? ", " : "", mark);
    }
    return used;
}

/* What the span's samples said about it: first what the program said, then the threads. */
static const char *span_attributes(const struct tally *tally, uint32_t number) {
    char text[ATTRIBUTES_SHOWN] = "";
    size_t used = join_marks(tally, number, false, text, 0);
    used = join_marks(tally, number, true, text, used);
    const char *copy = otp_arena_copy(tally->arena, text, used);
    return copy ? copy : "";
}

struct tally_span *tally_spans(const struct tally *tally, size_t *count) {
    size_t size = tally->spans.count * sizeof(struct tally_span);
    struct tally_span *spans = size ? malloc(size) : NULL;
    *count = spans ? tally->spans.count : 0;
    if (!spans)
        return NULL;
    memcpy(spans, tally->spans.items, size);
    for (size_t i = 0; i < *count; i++)
        spans[i].attributes = span_attributes(tally, (uint32_t)i);
    qsort(spans, *count, sizeof(*spans), by_span);
    return spans;
}

static int by_name(const struct tally_row *first, const struct tally_row *second) {
    int order = strcmp(first->function->name, second->function->name);
    if (!order)
        order = strcmp(first->function->file, second->function->file);
    if (!order)
        order = strcmp(first->function->module, second->function->module);
    if (!order)
        order = first->function->line < second->function->line ? -1 : first->function->line > second->function->line;
    return order;
}

static int by_self(const void *a, const void *b) {
    const struct tally_row *first = a, *second = b;
    int order = compare(first->self.value, second->self.value);
    if (!order)
        order = compare(first->total.value, second->total.value);
    return order ? order : by_name(first, second);
}

static int by_total(const void *a, const void *b) {
    const struct tally_row *first = a, *second = b;
    int order = compare(first->total.value, second->total.value);
    if (!order)
        order = compare(first->self.value, second->self.value);
    return order ? order : by_name(first, second);
}

static int by_outermost(const void *a, const void *b) {
    const struct tally_row *first = a, *second = b;
    int order = compare(first->outermost.value, second->outermost.value);
    return order ? order : by_name(first, second);
}

struct tally_row *tally_rows(const struct tally *tally, uint32_t group, enum tally_order order, size_t *count) {
    static int (*const orders[])(const void *, const void *) = {by_self, by_total, by_outermost};
    const struct cell *cells = tally->cells.items;
    const struct function *functions = tally->functions.items;
    size_t used = 0;
    for (size_t i = 0; i < tally->cells.count; i++)
        used += cells[i].group == group;
    struct tally_row *rows = used ? malloc(used * sizeof(*rows)) : NULL;
    *count = rows ? used : 0;
    used = 0;
    for (size_t i = 0; rows && i < tally->cells.count; i++) {
        if (cells[i].group == group)
            rows[used++] = (struct tally_row){&functions[cells[i].function].shown, cells[i].self, cells[i].total,
                                              cells[i].outermost};
    }
    if (rows)
        qsort(rows, used, sizeof(*rows), orders[order]);
    return rows;
}

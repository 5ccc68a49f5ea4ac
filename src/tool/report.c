// SPDX-License-Identifier: Apache-2.0
#include "tool/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/text.h"

#define WHERE_WIDTH 30
#define NUMBERS_WIDTH 40 /* of the columns before a function's name */
#define NAME_WIDTH_MIN 20
#define SPAN_WIDTH 67 /* of the columns before a span's attributes */
#define DAY_LENGTH 11 /* "2026-11-23 " */
#define ENDS_SHOWN 3  /* functions where stacks of one kind ended */

static const struct {
    const char *stop, *meaning;
} meanings[] = {
    {"unknown_module", "an address in no module known yet (just loaded), or in none at all"},
    {"no_rows", "code without unwind information"},
    {"unsupported", "unwind information of a kind that the compact tables cannot hold"},
    {"read_fault", "the stack could not be read there"},
    {"bad_frame", "the caller's frame did not lie above: damaged or foreign stack"},
    {"depth", "deeper than 512 frames"},
    {"exiting", "the thread had already given up its memory"},
    {"no_tables", "the tables were not there (start-up, or the limit on their size)"},
    {"not_walked", "a lock was released too often to walk the stack each time"},
};

const char *report_stop_meaning(const char *stop) {
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strcmp(meanings[i].stop, stop) == 0)
            return meanings[i].meaning;
    }
    return "";
}

static void indent(size_t columns) {
    for (size_t i = 0; i < columns; i++)
        putchar(' ');
}

/* The last `parts` components of a path. */
static const char *tail(const char *path, int parts) {
    const char *at = path + strlen(path);
    while (at > path && parts > 0)
        parts -= *--at == '/';
    return *at == '/' && at > path ? at + 1 : at;
}

/* "folder/file.c:12", as much of it as fits; without a file the module. */
static void print_where(const struct tally_function *function) {
    char where[256];
    if (!*function->file) {
        text_cut(function->named ? function->module : "(no symbols)", 0);
        return;
    }
    for (int parts = 2; parts > 0; parts--) {
        int length = snprintf(where, sizeof(where), "%.200s", tail(function->file, parts));
        if (function->line > 0 && length > 0)
            length += snprintf(where + length, sizeof(where) - (size_t)length, ":%" PRId64, function->line);
        if (length <= WHERE_WIDTH)
            break;
    }
    text_cut(where, 0);
}

static void print_row(const struct report *report, const struct tally_row *row, uint64_t whole, size_t left) {
    char self[TEXT_SIZE], self_share[TEXT_SIZE], total[TEXT_SIZE], total_share[TEXT_SIZE];
    size_t used = left + NUMBERS_WIDTH + WHERE_WIDTH + 2;
    indent(left);
    printf("%10s %7s  %10s %7s   ", sample_type_text(self, report->type, row->self.value),
           text_share(self_share, row->self.value, whole), sample_type_text(total, report->type, row->total.value),
           text_share(total_share, row->total.value, whole));
    text_column(row->function->name, report->width > used + NAME_WIDTH_MIN ? report->width - used : NAME_WIDTH_MIN);
    fputs("  ", stdout);
    print_where(row->function);
    putchar('\n');
}

static void print_heading(const struct report *report, size_t left) {
    size_t used = left + NUMBERS_WIDTH + WHERE_WIDTH + 2;
    indent(left);
    printf("%10s %7s  %10s %7s   ", "SELF", "", "TOTAL", "");
    text_column(report->lines ? "LINE OF" : "FUNCTION",
                report->width > used + NAME_WIDTH_MIN ? report->width - used : NAME_WIDTH_MIN);
    fputs("  FILE:LINE OR MODULE\n", stdout);
}

static bool print_rows(const struct report *report, uint32_t group, uint64_t whole, size_t most, size_t left) {
    size_t count;
    struct tally_row *rows = tally_rows(report->tally, group, report->order, &count);
    for (size_t i = 0; rows && i < count && i < most; i++)
        print_row(report, &rows[i], whole, left);
    if (count > most) {
        indent(left);
        printf("%10s (and %zu more)\n", "", count - most);
    }
    free(rows);
    return rows || !whole || count == 0;
}

/* "CPU 12.3 s in 1234 samples at 99 Hz", "LIVE 12.3 MiB in 1234 objects, estimated from one in 512 KiB". */
static void print_sum_of_all(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    const struct sample_type *type = report->type;
    char text[TEXT_SIZE];
    bool one_period = summary->period && !summary->periods_differ;
    printf("\n%s %s", type->label, sample_type_text(text, type, summary->all.value));
    bool waits = type->unit == UNIT_NS && *type->count_name;
    if (*type->count_name)
        printf(" in %" PRIu64 " %s", summary->all.samples, waits ? "waits" : "objects");
    else if (type->unit == UNIT_NS)
        printf(" in %" PRIu64 " samples", summary->all.samples);
    if (strcmp(type->name, "cpu") == 0 && one_period)
        printf(" at %.4g Hz", 1e9 / (double)summary->period);
    else if (waits && one_period)
        printf(", estimated from one sample in %s of waiting", text_duration(text, summary->period));
    else if (*type->count_name && one_period)
        printf(", estimated from one allocation in %s", text_bytes(text, summary->period));
}

/* What else there is, and which windows count. */
static void print_choice(const struct report *report) {
    bool several;
    size_t types, processes = survey_processes(report->survey, &several);
    const char *names = survey_names(report->survey, &types);
    if (types > 1)
        printf("shown: %s of %s (--type)\n", report->type->name, names);
    if (report->type->is_state && several)
        printf("as of the last window of %s\n", processes == 1 ? "the process" : "each process");
}

/* Lines about what was read. */
static void print_head(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    char start[TEXT_SIZE], end[TEXT_SIZE], length[TEXT_SIZE], share[TEXT_SIZE];
    text_cut(summary->sources ? summary->sources : "no profile", 0);
    printf(": %zu file%s", report->files, report->files == 1 ? "" : "s");
    if (summary->start_ns) {
        text_time(start, summary->start_ns, 0);
        text_time(end, summary->end_ns, 0);
        bool same_day = strncmp(start, end, DAY_LENGTH) == 0;
        printf(", %s to %s UTC (%s)", start, same_day ? end + DAY_LENGTH : end,
               text_duration(length, summary->end_ns - summary->start_ns));
    }
    print_sum_of_all(report);
    if (!report->trace) {
        printf(", stacks complete %s", text_share(share, summary->complete.samples, summary->taken.samples));
        printf(", in spans %s", text_share(share, summary->with_span.samples, summary->taken.samples));
    }
    putchar('\n');
    print_choice(report);
    putchar('\n');
}

static bool print_functions(const struct report *report) {
    print_heading(report, 0);
    return print_rows(report, 0, tally_summary(report->tally)->taken.value, report->rows, 0);
}

static bool print_groups(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    char cpu[TEXT_SIZE], share[TEXT_SIZE];
    size_t count;
    struct tally_group *groups = tally_groups(report->tally, &count);
    bool done = groups || summary->taken.samples == 0;
    printf("%10s %7s  %9s   ", report->type->label, "", report->type->count_label);
    text_cut(report->by, 0);
    putchar('\n');
    for (size_t i = 0; groups && i < count && i < report->rows; i++) {
        printf("%10s %7s  %9" PRIu64 "   ", sample_type_text(cpu, report->type, groups[i].sum.value),
               text_share(share, groups[i].sum.value, summary->taken.value), groups[i].sum.samples);
        text_cut(groups[i].value ? groups[i].value : "(none)", report->width > 60 ? report->width - 33 : 27);
        putchar('\n');
    }
    if (count > report->rows)
        printf("%10s (and %zu more)\n", "", count - report->rows);
    for (size_t i = 0; groups && i < count && i < report->rows && report->functions; i++) {
        putchar('\n');
        text_cut(report->by, 0);
        fputs(groups[i].value ? " = " : " ", stdout);
        text_cut(groups[i].value ? groups[i].value : "(none)", 0);
        printf(": %s\n", sample_type_text(cpu, report->type, groups[i].sum.value));
        print_heading(report, 2);
        done = print_rows(report, groups[i].number, groups[i].sum.value, report->functions, 2) && done;
    }
    free(groups);
    return done;
}

static void print_offset(uint64_t time, uint64_t start) {
    char text[TEXT_SIZE];
    if (!time) {
        printf("  %11s", "-");
        return;
    }
    snprintf(text, sizeof(text), "+%.1f ms", (double)(time - start) / 1e6);
    printf("  %11s", text);
}

static void print_span(const struct report *report, const struct tally_span *span) {
    const struct tally_summary *summary = tally_summary(report->tally);
    char id[TEXT_SIZE], cpu[TEXT_SIZE];
    printf("%-16s  %10s  %8" PRIu64, text_hex(id, span->id, sizeof(span->id)),
           sample_type_text(cpu, report->type, span->sum.value), span->sum.samples);
    print_offset(span->first_ns, summary->first_ns);
    print_offset(span->last_ns, summary->first_ns);
    fputs("   ", stdout);
    text_cut(span->attributes,
             report->width > SPAN_WIDTH + NAME_WIDTH_MIN ? report->width - SPAN_WIDTH : NAME_WIDTH_MIN);
    putchar('\n');
}

static bool print_trace(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    char id[TEXT_SIZE], time[TEXT_SIZE], length[TEXT_SIZE], cpu[TEXT_SIZE];
    size_t count;
    struct tally_span *spans = tally_spans(report->tally, &count);
    printf("trace %s: %s %s in %" PRIu64 " %s", text_hex(id, report->trace, 16), report->type->label,
           sample_type_text(cpu, report->type, summary->taken.value), summary->taken.samples,
           report->type->unit == UNIT_NS ? "samples" : "objects");
    if (summary->first_ns)
        printf("\nfrom %s UTC, %s from the first sample to the last", text_time(time, summary->first_ns, 6),
               text_duration(length, summary->last_ns - summary->first_ns));
    printf("\n\n%-16s  %10s  %8s  %11s  %11s   ATTRIBUTES\n", "SPAN", report->type->label, report->type->count_label,
           "FIRST", "LAST");
    for (size_t i = 0; spans && i < count && i < report->rows; i++)
        print_span(report, &spans[i]);
    if (count > report->rows)
        printf("(and %zu more)\n", count - report->rows);
    free(spans);
    putchar('\n');
    return print_functions(report) && (spans || summary->taken.samples == 0);
}

/* Where stacks of one kind ended, most of them first. */
static bool print_ends(const struct report *report, const struct tally_group *group) {
    size_t count;
    struct tally_row *rows = tally_rows(report->tally, group->number, TALLY_BY_OUTERMOST, &count);
    for (size_t i = 0; rows && i < count && i < ENDS_SHOWN && rows[i].outermost.samples; i++) {
        printf("%9" PRIu64 "  ends in ", rows[i].outermost.samples);
        text_cut(rows[i].function->name, 0);
        fputs("  ", stdout);
        print_where(rows[i].function);
        putchar('\n');
    }
    free(rows);
    return rows || !count;
}

static bool print_incomplete(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    char share[TEXT_SIZE];
    size_t count;
    struct tally_group *groups = tally_groups(report->tally, &count);
    bool done = groups || summary->taken.samples == 0;
    printf("%9s %8s  %s\n", "SAMPLES", "SHARE", "WHY THE STACK ENDED");
    for (size_t i = 0; groups && i < count; i++) {
        snprintf(share, sizeof(share), "%.3f %%",
                 summary->taken.samples ? 100.0 * (double)groups[i].sum.samples / (double)summary->taken.samples : 0.0);
        printf("%9" PRIu64 " %8s  ", groups[i].sum.samples, share);
        text_cut(groups[i].value ? groups[i].value : "complete", 0);
        const char *meaning = groups[i].value ? report_stop_meaning(groups[i].value) : "the thread's start was reached";
        printf("%s%s\n", *meaning ? ": " : "", meaning);
        if (groups[i].value)
            done = print_ends(report, &groups[i]) && done;
    }
    free(groups);
    return done;
}

/* What fired is in the files or counted as lost: with CPU samples alone it can be checked here. An estimate made of a
 * chosen allocation or wait does not say of how many events it comes. */
static void print_balance(const struct report *report, const struct otelprof_stats *counters, uint64_t lost) {
    const struct tally_summary *summary = tally_summary(report->tally);
    uint64_t fired = counters->samples_fired;
    uint64_t locks = counters->lock_samples + counters->lock_holders;
    if (counters->heap_samples || locks) {
        uint64_t others = counters->heap_samples + locks;
        printf("\nfired %" PRIu64 ": CPU %" PRIu64 ", allocations %" PRIu64 ", waits %" PRIu64 "; lost %" PRIu64 "\n",
               fired, fired > others ? fired - others : 0, counters->heap_samples, locks, lost);
        return;
    }
    if (strcmp(report->type->name, "cpu") != 0) {
        printf("\nfired %" PRIu64 "; lost %" PRIu64 "\n", fired, lost);
        return;
    }
    uint64_t known = summary->all.samples + lost;
    printf("\nfired %" PRIu64 " = in these files %" PRIu64 " + lost %" PRIu64, fired, summary->all.samples, lost);
    if (known == fired)
        puts(", exactly");
    else if (known < fired)
        printf(" + %" PRIu64 " that are not in these files\n", fired - known);
    else
        printf(" - %" PRIu64 " whose counters are not in these files\n", known - fired);
}

/* Counters as the profiles carry them, and beside them what these files hold. */
static void print_losses(const struct report *report) {
    const struct otelprof_stats *counters = &tally_summary(report->tally)->counters;
    uint64_t lost = 0;
    for (size_t i = 0; i < otp_counters_count; i++) {
        uint64_t value = otp_counter_value(&otp_counters[i], counters);
        if (strstr(otp_counters[i].name, "samples.lost."))
            lost += value;
        if (value || otp_counters[i].always)
            printf("%12" PRIu64 "  %s\n", value, otp_counters[i].name);
    }
    print_balance(report, counters, lost);
}

bool report_text(const struct report *report) {
    print_head(report);
    switch (report->kind) {
    case REPORT_FUNCTIONS:
        return print_functions(report);
    case REPORT_GROUPS:
        return print_groups(report);
    case REPORT_TRACE:
        return print_trace(report);
    case REPORT_INCOMPLETE:
        return print_incomplete(report);
    case REPORT_LOSSES:
        print_losses(report);
        return true;
    }
    return true;
}

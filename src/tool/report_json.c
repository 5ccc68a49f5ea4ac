// SPDX-License-Identifier: Apache-2.0
/* The reports as one JSON object: all rows, times in ns, in the order of the text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/report.h"
#include "tool/text.h"

static void print_sum(const struct report *report, const char *name, const struct tally_sum *sum) {
    static const char *const units[] = {[UNIT_NS] = "ns", [UNIT_BYTES] = "bytes", [UNIT_COUNT] = "count"};
    printf("\"%s\":{\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 "}", name, units[report->type->unit], sum->value,
           *report->type->count_name ? "objects" : "samples", sum->samples);
}

static const char *name_of_sum(const struct report *report) {
    return strcmp(report->type->name, "cpu") == 0 ? "cpu" : "sum";
}

static bool print_rows(const struct report *report, uint32_t group) {
    size_t count;
    struct tally_row *rows = tally_rows(report->tally, group, report->order, &count);
    fputs("\"functions\":[", stdout);
    for (size_t i = 0; rows && i < count; i++) {
        const struct tally_function *function = rows[i].function;
        fputs(i ? ",\n{\"function\":" : "\n{\"function\":", stdout);
        text_json(function->name);
        fputs(",\"file\":", stdout);
        text_json(function->file);
        printf(",\"line\":%" PRId64 ",\"module\":", function->line);
        text_json(function->module);
        putchar(',');
        print_sum(report, "self", &rows[i].self);
        putchar(',');
        print_sum(report, "total", &rows[i].total);
        putchar(',');
        print_sum(report, "outermost", &rows[i].outermost);
        putchar('}');
    }
    putchar(']');
    free(rows);
    return rows || count == 0;
}

static bool print_groups(const struct report *report) {
    bool done = true;
    size_t count;
    struct tally_group *groups = tally_groups(report->tally, &count);
    fputs(",\n\"by\":", stdout);
    text_json(report->by);
    fputs(",\n\"groups\":[", stdout);
    for (size_t i = 0; groups && i < count; i++) {
        fputs(i ? ",\n{\"value\":" : "\n{\"value\":", stdout);
        if (groups[i].value)
            text_json(groups[i].value);
        else
            fputs("null", stdout);
        putchar(',');
        print_sum(report, name_of_sum(report), &groups[i].sum);
        putchar(',');
        done = print_rows(report, groups[i].number) && done;
        putchar('}');
    }
    putchar(']');
    free(groups);
    return done;
}

static bool print_spans(const struct report *report) {
    char id[TEXT_SIZE];
    size_t count;
    struct tally_span *spans = tally_spans(report->tally, &count);
    printf(",\n\"trace\":\"%s\",\n\"spans\":[", text_hex(id, report->trace, 16));
    for (size_t i = 0; spans && i < count; i++) {
        printf("%s\n{\"span\":\"%s\",", i ? "," : "", text_hex(id, spans[i].id, sizeof(spans[i].id)));
        print_sum(report, name_of_sum(report), &spans[i].sum);
        printf(",\"first_unix_ns\":%" PRIu64 ",\"last_unix_ns\":%" PRIu64 ",\"attributes\":", spans[i].first_ns,
               spans[i].last_ns);
        text_json(spans[i].attributes);
        putchar('}');
    }
    fputs("],\n", stdout);
    free(spans);
    return print_rows(report, 0);
}

static void print_counters(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    fputs(",\n\"counters\":{", stdout);
    for (size_t i = 0; i < otp_counters_count; i++)
        printf("%s\n\"%s\":%" PRIu64, i ? "," : "", otp_counters[i].name,
               otp_counter_value(&otp_counters[i], &summary->counters));
    putchar('}');
}

bool report_json(const struct report *report) {
    const struct tally_summary *summary = tally_summary(report->tally);
    bool done = true;
    size_t types;
    fputs("{\"type\":", stdout);
    text_json(report->type->name);
    fputs(",\"types\":", stdout);
    text_json(survey_names(report->survey, &types));
    fputs(",\n\"sources\":", stdout);
    text_json(summary->sources ? summary->sources : "");
    printf(",\n\"files\":%zu,\"profiles\":%" PRIu64 ",\"profiles_skipped\":%" PRIu64 ",\n\"start_unix_ns\":%" PRIu64
           ",\"end_unix_ns\":%" PRIu64 ",\"%s\":%" PRIu64 ",\n",
           report->files, summary->profiles, summary->profiles_skipped, summary->start_ns, summary->end_ns,
           report->type->unit == UNIT_NS ? "period_ns" : "period", summary->periods_differ ? 0 : summary->period);
    print_sum(report, "all", &summary->all);
    putchar(',');
    print_sum(report, "taken", &summary->taken);
    putchar(',');
    print_sum(report, "complete", &summary->complete);
    putchar(',');
    print_sum(report, "with_span", &summary->with_span);
    switch (report->kind) {
    case REPORT_FUNCTIONS:
        fputs(",\n", stdout);
        done = print_rows(report, 0);
        break;
    case REPORT_GROUPS:
    case REPORT_INCOMPLETE:
        done = print_groups(report);
        break;
    case REPORT_TRACE:
        done = print_spans(report);
        break;
    case REPORT_LOSSES:
        print_counters(report);
        break;
    }
    fputs("}\n", stdout);
    return done;
}

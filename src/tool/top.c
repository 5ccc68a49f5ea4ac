// SPDX-License-Identifier: Apache-2.0
/* `otelprof top`: reads profiles from files and prints where the CPU time went, or the memory. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "tool/inputs.h"
#include "tool/leaks.h"
#include "tool/locks.h"
#include "tool/off_cpu.h"
#include "tool/report.h"
#include "tool/requests.h"
#include "tool/threads.h"
#include "tool/tool.h"

#define WIDTH_DEFAULT 116
#define WIDTH_MIN 90
#define WIDTH_MAX 1000

const char tool_top_help[] =
    "otelprof top [OPTIONS] FILE|DIR...\n"
    "\n"
    "otelprof top --leaks OLD NEW\n"
    "otelprof top --locks|--off-cpu [--by KEY] FILE|DIR...\n"
    "otelprof top --threads FILE|DIR...\n"
    "\n"
    "Reads OTLP profiles (of a DIR: its *.otlp files), adds them up, and prints where the CPU time went, or the "
    "memory.\n"
    "SELF is what the function did itself, TOTAL includes what it called. Inlined functions count as functions; one\n"
    "that is several times in a stack counts once in TOTAL. Of live memory the last window of each process counts.\n"
    "\n"
    "  -t, --type NAME    what is shown: cpu, inuse_space (heap), alloc_space (alloc), inuse_objects, alloc_objects,\n"
    "                     block (lock: who waited), mutex (who released what was waited for), block_contentions,\n"
    "                     mutex_contentions, wall, goroutine (threads), or another type of these files (default: the "
    "first\n"
    "                     that there is)\n"
    "      --leaks        what of live memory has grown from the last window in OLD to the last one in NEW\n"
    "      --locks        for each lock: how long it was waited for, by whom, and who held it, by function and route "
    "(or\n"
    "                     by another attribute: --by)\n"
    "      --off-cpu      where threads were blocked: by what they waited for, by function and route (--by)\n"
    "      --threads      the threads of the last snapshot, by equal stack and state, and deadlocks\n"
    "  -n, --rows N       rows of each table (default 20)\n"
    "      --self         most SELF first (default)\n"
    "      --total        most TOTAL first\n"
    "      --lines        by source line (code without names: by address) instead of by function\n"
    "      --by KEY       by the value of an attribute of the samples, such as http.route or thread.name, or of the\n"
    "                     process, such as process.pid; (none) stands for samples without it\n"
    "      --functions N  with --by: the first N functions of each value\n"
    "      --trace ID     what one trace did in these processes: its spans and their functions; ID is 32 hex digits\n"
    "      --incomplete   why stacks are incomplete, and where they ended\n"
    "      --losses       the counters that came with the profiles: samples fired, lost and why\n"
    "      --json         as JSON: all rows, times in ns, memory in bytes\n"
    "      --width N      characters of a line (default: the terminal's, else 116)\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 printed; 1 a file could not be read (the others were), or there was nothing to print; 2 a mistake\n"
    "on the command line.\n";

enum {
    OPTION_SELF = 256,
    OPTION_TOTAL,
    OPTION_LINES,
    OPTION_BY,
    OPTION_FUNCTIONS,
    OPTION_TRACE,
    OPTION_INCOMPLETE,
    OPTION_LOSSES,
    OPTION_JSON,
    OPTION_WIDTH,
    OPTION_LEAKS,
    OPTION_LOCKS,
    OPTION_OFF_CPU,
    OPTION_THREADS,
};

static const struct option long_options[] = {
    {"rows", required_argument, NULL, 'n'},
    {"self", no_argument, NULL, OPTION_SELF},
    {"total", no_argument, NULL, OPTION_TOTAL},
    {"lines", no_argument, NULL, OPTION_LINES},
    {"by", required_argument, NULL, OPTION_BY},
    {"functions", required_argument, NULL, OPTION_FUNCTIONS},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"incomplete", no_argument, NULL, OPTION_INCOMPLETE},
    {"losses", no_argument, NULL, OPTION_LOSSES},
    {"json", no_argument, NULL, OPTION_JSON},
    {"width", required_argument, NULL, OPTION_WIDTH},
    {"type", required_argument, NULL, 't'},
    {"leaks", no_argument, NULL, OPTION_LEAKS},
    {"locks", no_argument, NULL, OPTION_LOCKS},
    {"off-cpu", no_argument, NULL, OPTION_OFF_CPU},
    {"threads", no_argument, NULL, OPTION_THREADS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct top_options {
    struct report report;
    uint8_t trace[16];
    const char *type; /* NULL: by what there is */
    bool json, help, leaks, locks, off_cpu, threads;
    int kinds;                /* how many of the options that choose a report were given */
    struct sample_type shown; /* that type, or the default of these files */
};

static bool parse_count(const char *text, size_t low, size_t high, size_t *out) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || strchr(text, '-') || value < low || value > high)
        return false;
    *out = value;
    return true;
}

static bool parse_trace(const char *text, uint8_t id[16]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 32)
        return false;
    for (size_t i = 0; i < 32; i++) {
        char lower = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *digit = strchr(digits, lower);
        if (!digit)
            return false;
        id[i / 2] = (uint8_t)(id[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static void choose(struct top_options *options, enum report_kind kind) {
    options->report.kind = kind;
    options->kinds++;
}

/* An option with a value of its own. */
static int parse_value(struct top_options *options, int option) {
    struct report *report = &options->report;
    switch (option) {
    case 'n':
        return parse_count(optarg, 1, 1000000, &report->rows)
                   ? TOOL_OK
                   : tool_usage("top", "-n is a number of rows from 1, not '%s'", optarg);
    case OPTION_FUNCTIONS:
        return parse_count(optarg, 0, 1000000, &report->functions)
                   ? TOOL_OK
                   : tool_usage("top", "--functions is a number, not '%s'", optarg);
    case OPTION_WIDTH:
        return parse_count(optarg, WIDTH_MIN, WIDTH_MAX, &report->width)
                   ? TOOL_OK
                   : tool_usage("top", "--width is %d to %d, not '%s'", WIDTH_MIN, WIDTH_MAX, optarg);
    case 't':
        options->type = optarg;
        return *optarg ? TOOL_OK : tool_usage("top", "--type needs the name of a type");
    case OPTION_TRACE:
        choose(options, REPORT_TRACE);
        report->trace = options->trace;
        return parse_trace(optarg, options->trace) ? TOOL_OK
                                                   : tool_usage("top", "a trace id is 32 hex digits, not '%s'", optarg);
    default:
        choose(options, REPORT_GROUPS);
        report->by = optarg;
        return *optarg ? TOOL_OK : tool_usage("top", "--by needs the name of an attribute");
    }
}

/* Those that are not made of a tally. */
static int check_own_reports(const struct top_options *options, int files) {
    bool only_by = !options->kinds || (options->kinds == 1 && options->report.kind == REPORT_GROUPS);
    int chosen = options->leaks + options->locks + options->off_cpu + options->threads;
    if (chosen > 1)
        return tool_usage("top", "--leaks, --locks, --off-cpu and --threads exclude each other");
    if (options->leaks && (files != 2 || options->kinds || options->type))
        return tool_usage("top", "--leaks takes two files or directories, and no other report");
    if (options->threads && (options->kinds || options->type))
        return tool_usage("top", "--threads is a report of its own");
    if ((options->locks || options->off_cpu) && (!only_by || options->type || options->report.functions))
        return tool_usage("top", "%s is a report of its own, which only --by goes with",
                          options->locks ? "--locks" : "--off-cpu");
    return TOOL_OK;
}

static int parse(int argc, char **argv, struct top_options *options) {
    *options = (struct top_options){.report = {.rows = 20}};
    optind = 1;
    opterr = 0;
    int code = TOOL_OK;
    for (int option; code == TOOL_OK && (option = getopt_long(argc, argv, ":n:t:h", long_options, NULL)) != -1;) {
        switch (option) {
        case OPTION_SELF:
            options->report.order = TALLY_BY_SELF;
            break;
        case OPTION_TOTAL:
            options->report.order = TALLY_BY_TOTAL;
            break;
        case OPTION_LINES:
            options->report.lines = true;
            break;
        case OPTION_INCOMPLETE:
            choose(options, REPORT_INCOMPLETE);
            options->report.by = TALLY_STOP_KEY;
            break;
        case OPTION_LOSSES:
            choose(options, REPORT_LOSSES);
            break;
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_LEAKS:
            options->leaks = true;
            break;
        case OPTION_LOCKS:
            options->locks = true;
            break;
        case OPTION_OFF_CPU:
            options->off_cpu = true;
            break;
        case OPTION_THREADS:
            options->threads = true;
            break;
        case 'h':
            options->help = true;
            return TOOL_OK;
        case ':':
            return tool_usage("top", "%s needs a value", argv[optind - 1]);
        case '?':
            return tool_usage("top", "there is no option %s", argv[optind - 1]);
        default:
            code = parse_value(options, option);
        }
    }
    if (code == TOOL_OK && options->kinds > 1)
        code = tool_usage("top", "--by, --trace, --incomplete and --losses exclude each other");
    if (code == TOOL_OK && options->report.functions && options->report.kind != REPORT_GROUPS)
        code = tool_usage("top", "--functions goes with --by");
    if (code == TOOL_OK && optind >= argc)
        code = tool_usage("top", "no file or directory is named");
    return code == TOOL_OK ? check_own_reports(options, argc - optind) : code;
}

static size_t terminal_width(void) {
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_MIN)
        return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
    return WIDTH_DEFAULT;
}

static int print(const struct top_options *options, const struct tally *tally) {
    const struct tally_summary *summary = tally_summary(tally);
    const char *what = options->report.type->name;
    if (!summary->all.samples && !summary->all.value && options->report.kind != REPORT_LOSSES) {
        tool_complain("no sample of %s in %zu file%s", what, options->report.files,
                      options->report.files == 1 ? "" : "s");
        return TOOL_FAILED;
    }
    if (!summary->taken.samples && options->report.trace) {
        tool_complain("no sample of this trace among %llu", (unsigned long long)summary->all.samples);
        return TOOL_FAILED;
    }
    if ((options->json ? report_json : report_text)(&options->report))
        return TOOL_OK;
    tool_complain("out of memory");
    return TOOL_FAILED;
}

/* The type to show. False, with a message, if there is none of what was asked for. */
static bool choose_type(const struct top_options *options, const struct survey *survey, struct sample_type *type) {
    size_t count;
    const char *names = survey_names(survey, &count);
    if (!options->type) {
        survey_default(survey, type);
        return true;
    }
    sample_type_find(options->type, type);
    if (survey_has(survey, type))
        return true;
    tool_complain("there is no sample of %s; these files have: %s", type->name, count ? names : "none");
    return false;
}

static bool add_to_survey(void *user, const struct otp_otlp_reader *reader) { return survey_add(user, reader); }
static bool add_to_tally(void *user, const struct otp_otlp_reader *reader) { return tally_add(user, reader); }

/* The report on all files, whose types and windows are known. */
static int top(struct top_options *options, const struct tool_inputs *inputs, struct survey *survey) {
    struct report *report = &options->report;
    struct sample_type *type = &options->shown;
    if (!choose_type(options, survey, type))
        return TOOL_FAILED;
    const struct tally_options wanted = {report->by, report->trace, report->lines, *type, survey};
    struct tally *tally = tally_new(&wanted);
    if (!tally) {
        tool_complain("out of memory");
        return TOOL_FAILED;
    }
    tool_requests_read(inputs, add_to_tally, tally, &(size_t){0}); /* what is wrong with files was said before */
    report->tally = tally;
    report->type = type;
    report->survey = survey;
    if (!report->width)
        report->width = terminal_width();
    int code = print(options, tally);
    tally_free(tally);
    return code;
}

static int survey_and_report(struct top_options *options, char **arguments, int count) {
    struct tool_inputs inputs;
    struct survey *survey = survey_new();
    int code = TOOL_FAILED;
    bool good = tool_inputs_list(arguments, count, &inputs) && survey;
    if (survey)
        good = tool_requests_read(&inputs, add_to_survey, survey, &options->report.files) && good;
    if (survey && options->report.files)
        code = top(options, &inputs, survey);
    else
        good = false;
    survey_free(survey);
    tool_inputs_free(&inputs);
    return good ? code : TOOL_FAILED;
}

int tool_top(int argc, char **argv) {
    struct top_options options;
    int code = parse(argc, argv, &options);
    if (options.help) {
        fputs(tool_top_help, stdout);
        return tool_finish(TOOL_OK);
    }
    if (code != TOOL_OK)
        return code;
    size_t width = options.report.width ? options.report.width : terminal_width();
    const struct locks_options locks = {options.report.by, options.report.rows, width, options.json};
    const struct off_cpu_options off_cpu = {options.report.by, options.report.rows, width, options.json};
    if (options.leaks)
        code = leaks_report(argv[optind], argv[optind + 1], options.report.rows, width, options.json);
    else if (options.locks)
        code = locks_report(argv + optind, argc - optind, &locks);
    else if (options.off_cpu)
        code = off_cpu_report(argv + optind, argc - optind, &off_cpu);
    else if (options.threads)
        code = threads_report(argv + optind, argc - optind, options.report.rows, options.json);
    else
        code = survey_and_report(&options, argv + optind, argc - optind);
    return tool_finish(code);
}

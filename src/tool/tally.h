// SPDX-License-Identifier: Apache-2.0
/*
 * Adds up the samples of one type of many requests: by function or line, in groups by the value of one attribute, and
 * by span of one trace. Every line of a location counts as a frame, so inlined functions do; a function that is several
 * times in a stack counts once in its total.
 */
#ifndef OTP_TOOL_TALLY_H
#define OTP_TOOL_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/counters.h"
#include "tool/sample_type.h"
#include "tool/survey.h"

struct otp_otlp_reader;
struct tally;

#define TALLY_STOP_KEY "otelprof.stack.stop" /* on samples whose stack is not complete */

struct tally_options {
    const char *by;       /* attribute of the sample, else of the resource, that makes groups; NULL: one group */
    const uint8_t *trace; /* 16 bytes: only samples of this trace; NULL: all */
    bool lines;           /* entries are lines (unnamed code: addresses) instead of functions */
    struct sample_type type;
    const struct survey *survey; /* of all requests: for types that tell a state */
};

/* How many (samples, or objects), and the value that they stand for, in the type's unit. */
struct tally_sum {
    uint64_t samples;
    uint64_t value;
};

struct tally_function {
    const char *name;   /* of the function, or what stands for it */
    const char *file;   /* source file; "" */
    const char *module; /* base name of the object; "" */
    bool named;         /* false: code without names, `name` says where it is */
    int64_t line;       /* of the entry; for functions where they begin, or the first line seen; 0: not known */
};

/* A function within a group. */
struct tally_row {
    const struct tally_function *function;
    struct tally_sum self;
    struct tally_sum total;
    struct tally_sum outermost; /* samples whose stack ends with it */
};

struct tally_group {
    const char *value; /* NULL: samples without the attribute */
    uint32_t number;
    struct tally_sum sum;
};

struct tally_span {
    uint8_t id[8];
    struct tally_sum sum;
    uint64_t first_ns, last_ns; /* unix time of samples; 0: none had a time */
    const char *attributes;     /* "key=value, key=value", in order of appearance */
};

/* What was read, and what was taken of it. */
struct tally_summary {
    uint64_t profiles;
    uint64_t profiles_skipped;  /* of other types */
    struct tally_sum all;       /* of all samples read */
    struct tally_sum taken;     /* of those that the options chose */
    struct tally_sum complete;  /* of those taken: the stack reached the thread's start */
    struct tally_sum with_span; /* of those taken */
    uint64_t start_ns, end_ns;  /* unix time that the profiles cover */
    uint64_t first_ns, last_ns; /* unix time of the samples taken; 0: none had a time */
    uint64_t period;            /* of the last profile, in its unit */
    bool periods_differ;
    struct otelprof_stats counters; /* those of profile/counters.h, added up */
    const char *sources;            /* "service, pid 1; service, pid 2" */
};

/* NULL when out of memory. The options' strings must stay. */
struct tally *tally_new(const struct tally_options *options);

/* Takes NULL. */
void tally_free(struct tally *tally);

/* Adds a request. False when out of memory. */
bool tally_add(struct tally *tally, const struct otp_otlp_reader *reader);

const struct tally_summary *tally_summary(const struct tally *tally);

/*
 * Lists from malloc(), in the order in which they are shown; the entries' strings belong to the tally. NULL with
 * *count 0 when there is nothing, or no memory. Groups and spans: largest first. Rows of a group: most self or
 * most total first.
 */
struct tally_group *tally_groups(const struct tally *tally, size_t *count);
struct tally_span *tally_spans(const struct tally *tally, size_t *count);

enum tally_order { TALLY_BY_SELF, TALLY_BY_TOTAL, TALLY_BY_OUTERMOST };
struct tally_row *tally_rows(const struct tally *tally, uint32_t group, enum tally_order order, size_t *count);

#endif

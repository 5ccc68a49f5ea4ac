// SPDX-License-Identifier: Apache-2.0
/* What `otelprof top` prints. Two forms of the same: for people, and JSON. */
#ifndef OTP_TOOL_REPORT_H
#define OTP_TOOL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/tally.h"

enum report_kind {
    REPORT_FUNCTIONS,
    REPORT_GROUPS,     /* --by */
    REPORT_TRACE,      /* --trace */
    REPORT_INCOMPLETE, /* --incomplete */
    REPORT_LOSSES,     /* --losses */
};

struct report {
    const struct tally *tally;
    const struct sample_type *type;
    const struct survey *survey;
    enum report_kind kind;
    enum tally_order order;
    size_t rows;          /* at most, of a table */
    size_t functions;     /* at most, of each group; 0: none */
    size_t width;         /* characters of a line */
    size_t files;         /* that were read */
    const char *by;       /* REPORT_GROUPS */
    const uint8_t *trace; /* REPORT_TRACE */
    bool lines;
};

/* Write to stdout. False when out of memory. */
bool report_text(const struct report *report);
bool report_json(const struct report *report);

/* A sentence about a value of TALLY_STOP_KEY; "" for one that this release does not know. */
const char *report_stop_meaning(const char *stop);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The unwind tables of all modules, in memory that programs read: builds rows, puts them there, publishes
 * directories. Every call on the profiler thread only; readers (programs, otp_walk()) run at any time.
 *
 * Order of use: otp_modules_scan(), build, needs, [make maps], bind, publish; after that scan, build, publish. If
 * publish says OTELPROF_E_LIMIT: needs, make larger maps, bind, publish.
 */
#ifndef OTP_UNWIND_TABLES_H
#define OTP_UNWIND_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "unwind_table.h"

struct otp_modules;
struct otp_tables;

/* Where tables lie: mapped BPF arrays, or plain memory. All of it zeroed when it is new. */
struct otp_tables_memory {
    uint64_t *rows;                  /* two rows a value */
    size_t row_capacity;             /* in rows */
    uint64_t *pages;                 /* two entries a value */
    size_t page_capacity;            /* in entries */
    uint64_t *rules;                 /* OTP_RULES_MAX values, each a struct otp_rule */
    struct otp_segment *segments[2]; /* OTP_SEGMENTS_MAX each */
    struct otp_control *control;
};

struct otp_tables_stats {
    uint64_t rows; /* in the memory bound */
    uint64_t row_capacity;
    uint64_t pages;
    uint64_t page_capacity;
    uint64_t rules;             /* distinct */
    uint64_t segments;          /* in the directory in force */
    uint64_t modules_built;     /* sets of rows made so far */
    uint64_t modules_reused;    /* modules that came again and found their rows */
    uint64_t modules_uncovered; /* of the directory in force: no room, or rows could not be made */
    uint64_t modules_left_out;  /* of those: over OTP_SEGMENTS_MAX */
    uint64_t modules_frameptr;  /* of the directory in force: without .eh_frame, or anonymous */
    uint64_t unsupported_rows;  /* of all that was built: rules that the tables cannot hold */
    uint64_t bad_entries;       /* of all that was built: entries of .eh_frame that made no sense */
    uint64_t build_ns;          /* time spent in making rows, in all */
    uint64_t publications;
};

/* NULL when out of memory. */
struct otp_tables *otp_tables_new(void);

/* Takes NULL. The memory bound stays as it is: readers may go on. */
void otp_tables_free(struct otp_tables *tables);

/*
 * Makes rows for modules that have none yet, in private memory until the next publish or bind. A module whose rows
 * cannot be made follows frame pointers (nothing to read) or is uncovered (out of memory, absurd size), and is
 * counted. 0, or OTELPROF_E_MEMORY.
 */
int otp_tables_build(struct otp_tables *tables, const struct otp_modules *modules);

/* How many rows and page entries all modules that are mapped now take, those not yet copied included. */
void otp_tables_needs(const struct otp_tables *tables, size_t *rows, size_t *pages);

/*
 * From now on the tables live in `memory` (copied; what it points to stays the caller's and must outlive the tables
 * or the next bind). Copies the rows of mapped modules from where they are, the memory bound before included, which
 * must still be readable and may be unmapped only afterwards; rows of modules that are gone are left behind. No
 * directory is in force there until the next publish. 0; OTELPROF_E_LIMIT: `memory` is too small for something,
 * which is uncovered until the next bind.
 */
int otp_tables_bind(struct otp_tables *tables, const struct otp_tables_memory *memory);

/*
 * Puts new rows into the memory bound and a directory of all mapped modules in force, under the next generation.
 * 0; OTELPROF_E_LIMIT: published, but something did not fit, and its segment is marked OTP_SEGMENT_UNCOVERED: larger
 * memory would help; OTELPROF_E_STATE: nothing bound. Modules over OTP_SEGMENTS_MAX are left out, anonymous ones
 * first, and counted (modules_left_out, also in modules_uncovered).
 */
int otp_tables_publish(struct otp_tables *tables, const struct otp_modules *modules);

/* The generation in force: otp_control.directory >> 1. 0 before the first publish; goes on across binds. */
uint32_t otp_tables_generation(const struct otp_tables *tables);

void otp_tables_stats(const struct otp_tables *tables, struct otp_tables_stats *stats);

#endif

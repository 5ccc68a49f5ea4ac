// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps the unwind tables true: follows the modules that come and go, publishes their rows, and has the kernel's tables
 * made larger when they are full. On the profiler thread, but for what says otherwise.
 */
#ifndef OTP_CORE_TABLE_KEEPER_H
#define OTP_CORE_TABLE_KEEPER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/capture.h"
#include "unwind/modules.h"
#include "unwind/tables.h"

struct otp_notes;

struct otp_table_keeper {
    struct otp_modules *modules;
    struct otp_tables *tables;
    struct otp_capture *capture; /* the engine's; NULL until otp_table_keeper_bind() */
    struct otp_notes *notes;
    unsigned filters;    /* seccomp filters at the start */
    bool filtered;       /* more of them now: no bpf(2) or perf_event_open(2) any more */
    bool growth_failed;  /* do not try again */
    uint64_t not_before; /* CLOCK_MONOTONIC: the next rescan for an unknown address */
    uint64_t wait_ms;    /* after it, if it does not help */
};

/* Lists the modules and makes their rows. 0 or OTELPROF_E_MEMORY. Then *rows and *pages say what to reserve. */
int otp_table_keeper_start(struct otp_table_keeper *keeper, struct otp_notes *notes, size_t *rows, size_t *pages);

/* Puts the tables into the capture's memory. 0 or a negative enum otelprof_error. */
int otp_table_keeper_bind(struct otp_table_keeper *keeper, struct otp_capture *capture);

/* Hooks walk by the tables in force from now on: again after otp_hook_state_make(). */
void otp_table_keeper_show(const struct otp_table_keeper *keeper);

/*
 * No hook reads the tables from now on, or they stay mapped. Before the capture goes. Takes what was never bound.
 */
void otp_table_keeper_unbind(struct otp_table_keeper *keeper);

/* Gives everything back but the memory bound. Takes what was never started. */
void otp_table_keeper_stop(struct otp_table_keeper *keeper);

/*
 * Looks for modules that came or went. `sampling`: the events are on, and to be on again after tables were exchanged.
 * True if the tables are new.
 */
bool otp_table_keeper_rescan(struct otp_table_keeper *keeper, bool sampling);

/* The same if a program met an address that no module covers, with growing patience while looking does not help. */
void otp_table_keeper_rescan_if_wanted(struct otp_table_keeper *keeper, bool sampling);

/* After the records of that moment were taken in: once the patience is over, programs may ask again. */
void otp_table_keeper_rearm(struct otp_table_keeper *keeper);

/* True while bpf(2) and perf_event_open(2) may be called: no seccomp filter came since the start. */
bool otp_table_keeper_may_call_kernel(struct otp_table_keeper *keeper);

/* The figures of modules and tables. */
void otp_table_keeper_stats(const struct otp_table_keeper *keeper, struct otelprof_stats *stats);

#endif

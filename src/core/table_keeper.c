// SPDX-License-Identifier: Apache-2.0
#include "core/table_keeper.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "core/notes.h"
#include "core/seccomp.h"
#include "hooks/hook_state.h"

#define RESCAN_FIRST_MS 100  /* between two scans for an unknown address that stays unknown: doubles ... */
#define RESCAN_LAST_MS 10000 /* ... up to this */
#define ROWS_SPARE 65536u    /* rows reserved beyond twice what is there */
#define PAGES_SPARE 4096u
#define KEPT_GENERATIONS 64u /* modules gone longer than this are forgotten */
#define NANOS_PER_MS 1000000u
#define HOOKS_PATIENCE_NS 100000000u /* for hooks that walk by tables that are about to go */

/* What to reserve: maps cannot grow, and making larger ones takes as long as the start. */
static void wanted_sizes(const struct otp_table_keeper *keeper, size_t *rows, size_t *pages) {
    otp_tables_needs(keeper->tables, rows, pages);
    *rows = *rows * 2 + ROWS_SPARE;
    *pages = *pages * 2 + PAGES_SPARE;
}

int otp_table_keeper_start(struct otp_table_keeper *keeper, struct otp_notes *notes, size_t *rows, size_t *pages) {
    bool changed;
    keeper->notes = notes;
    keeper->filters = otp_seccomp_filters();
    keeper->wait_ms = RESCAN_FIRST_MS;
    keeper->modules = otp_modules_new();
    keeper->tables = otp_tables_new();
    if (!keeper->modules || !keeper->tables)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the list of modules");
    if (otp_modules_scan(keeper->modules, 1, &changed))
        otp_notes_add(notes, "modules cannot be listed (%s): stacks end with \"module unknown\"", otp_error_text());
    if (otp_tables_build(keeper->tables, keeper->modules))
        otp_notes_add(notes, "out of memory for unwind tables");
    wanted_sizes(keeper, rows, pages);
    return 0;
}

/* Says what a directory cannot hold. */
static void note_left_out(struct otp_table_keeper *keeper) {
    struct otp_tables_stats stats;
    otp_tables_stats(keeper->tables, &stats);
    if (stats.modules_left_out)
        otp_notes_add(keeper->notes,
                      "more than %d executable mappings: stacks end in those beyond, as \"module unknown\"",
                      OTP_SEGMENTS_MAX);
}

void otp_table_keeper_show(const struct otp_table_keeper *keeper) {
    struct otp_tables_memory memory;
    otp_capture_tables_memory(keeper->capture, &memory);
    struct otp_walker walker;
    bool walks = otp_capture_walker(keeper->capture, &walker) && !keeper->filtered;
    otp_hook_show_tables(&memory, walks ? &walker : NULL);
}

/* From here on hooks have no tables, until new ones are shown. */
static void hide(struct otp_table_keeper *keeper) {
    if (!otp_hook_hide_tables(otp_clock_ns(CLOCK_MONOTONIC) + HOOKS_PATIENCE_NS))
        otp_capture_leave_tables(keeper->capture);
}

void otp_table_keeper_unbind(struct otp_table_keeper *keeper) {
    if (keeper->capture)
        hide(keeper);
}

int otp_table_keeper_bind(struct otp_table_keeper *keeper, struct otp_capture *capture) {
    struct otp_tables_memory memory;
    keeper->capture = capture;
    otp_capture_tables_memory(capture, &memory);
    int result = otp_tables_bind(keeper->tables, &memory);
    if (!result)
        result = otp_tables_publish(keeper->tables, keeper->modules);
    otp_table_keeper_show(keeper);
    note_left_out(keeper);
    return result == OTELPROF_E_LIMIT ? 0 : result; /* the rest is uncovered, and counted */
}

void otp_table_keeper_stop(struct otp_table_keeper *keeper) {
    otp_tables_free(keeper->tables);
    otp_modules_free(keeper->modules);
    keeper->tables = NULL;
    keeper->modules = NULL;
    keeper->capture = NULL;
}

bool otp_table_keeper_may_call_kernel(struct otp_table_keeper *keeper) {
    if (!keeper->filtered && otp_seccomp_filtered(keeper->filters)) {
        keeper->filtered = true;
        otp_hook_drop_walker();
        otp_notes_add(keeper->notes, "a seccomp filter was installed after the start: unwind tables no longer grow, "
                                     "CPUs that come online are not sampled, what is loaded is read from files only");
    }
    return !keeper->filtered;
}

/*
 * A second set of kernel tables; sampling goes on while it is loaded, and rests while the rows are copied. Once the
 * tables are bound to the new memory there is no way back and none is needed: nothing that follows can fail but the
 * starting of events.
 */
static int grow(struct otp_table_keeper *keeper, bool sampling) {
    struct otp_tables_memory memory;
    size_t rows, pages;
    wanted_sizes(keeper, &rows, &pages);
    int result = otp_capture_grow(keeper->capture, rows, pages, &memory);
    if (result)
        return result;
    /* An event that somebody closed does not matter: all are about to go. */
    if (sampling && otp_capture_disable(keeper->capture))
        otp_log(OTELPROF_LOG_DEBUG, "otelprof: %s", otp_error_text());
    hide(keeper); /* the directory in force is one for both sets */
    bool partly = otp_tables_bind(keeper->tables, &memory) != 0;
    partly = otp_tables_publish(keeper->tables, keeper->modules) != 0 || partly;
    otp_capture_switch(keeper->capture);
    otp_table_keeper_show(keeper);
    if (sampling && otp_capture_enable(keeper->capture))
        otp_notes_add(keeper->notes, "sampling has stopped on some or all CPUs: %s", otp_error_text());
    return partly ? otp_error(OTELPROF_E_LIMIT, "the second set is too small") : 0;
}

static void publish(struct otp_table_keeper *keeper, bool sampling) {
    if (otp_tables_build(keeper->tables, keeper->modules))
        otp_notes_add(keeper->notes, "out of memory for unwind tables");
    bool full = otp_tables_publish(keeper->tables, keeper->modules) == OTELPROF_E_LIMIT;
    note_left_out(keeper);
    if (!full || keeper->growth_failed || !otp_table_keeper_may_call_kernel(keeper))
        return;
    if (grow(keeper, sampling)) {
        keeper->growth_failed = true;
        otp_notes_add(keeper->notes,
                      "unwind tables could not be made larger (%s): newly loaded modules are not covered",
                      otp_error_text());
    }
}

bool otp_table_keeper_rescan(struct otp_table_keeper *keeper, bool sampling) {
    otp_table_keeper_may_call_kernel(keeper); /* looks, for those who read memory */
    uint32_t generation = otp_tables_generation(keeper->tables);
    bool changed = false;
    if (otp_modules_scan(keeper->modules, generation + 1, &changed)) {
        otp_notes_add(keeper->notes, "modules cannot be listed (%s): stacks end with \"module unknown\"",
                      otp_error_text());
        return false;
    }
    if (changed)
        publish(keeper, sampling);
    if (generation > KEPT_GENERATIONS)
        otp_modules_forget(keeper->modules, generation - KEPT_GENERATIONS);
    return changed;
}

void otp_table_keeper_rescan_if_wanted(struct otp_table_keeper *keeper, bool sampling) {
    struct otp_control *control = otp_capture_control(keeper->capture);
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (otp_hook_objects_changed()) {
        control->rescan_wanted = 1;
        keeper->not_before = 0;
    }
    if (!control->rescan_wanted || now < keeper->not_before)
        return;
    if (otp_table_keeper_rescan(keeper, sampling)) {
        keeper->wait_ms = RESCAN_FIRST_MS;
        keeper->not_before = 0;
        control->rescan_wanted = 0;
        return;
    }
    /* Code that was unmapped, or that nobody lists: the wish stays up, so that programs wake nobody meanwhile. */
    keeper->not_before = now + keeper->wait_ms * NANOS_PER_MS;
    keeper->wait_ms = keeper->wait_ms * 2 > RESCAN_LAST_MS ? RESCAN_LAST_MS : keeper->wait_ms * 2;
}

void otp_table_keeper_rearm(struct otp_table_keeper *keeper) {
    struct otp_control *control = otp_capture_control(keeper->capture);
    if (control->rescan_wanted && keeper->not_before && otp_clock_ns(CLOCK_MONOTONIC) >= keeper->not_before) {
        control->rescan_wanted = 0;
        keeper->not_before = 0;
    }
}

void otp_table_keeper_stats(const struct otp_table_keeper *keeper, struct otelprof_stats *stats) {
    struct otp_tables_stats tables;
    if (!keeper->tables || !keeper->modules)
        return;
    otp_tables_stats(keeper->tables, &tables);
    stats->modules_known = otp_modules_count(keeper->modules);
    stats->modules_uncovered = tables.modules_uncovered;
    stats->table_rows = tables.rows;
    stats->table_rows_capacity = tables.row_capacity;
}

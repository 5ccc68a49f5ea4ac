// SPDX-License-Identifier: Apache-2.0
#include "core/thread_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "capture/capture.h"
#include "core/intake.h"
#include "core/notes.h"
#include "core/table_keeper.h"
#include "core/thread_sample.h"

#define NANOS_PER_S 1000000000u

static uint64_t now(void) { return otp_clock_ns(CLOCK_MONOTONIC); }

void otp_thread_keeper_init(struct otp_thread_keeper *keeper, const struct otelprof_options *options,
                            struct otp_notes *notes, struct otp_table_keeper *tables, struct otp_intake *intake) {
    memset(keeper, 0, sizeof(*keeper));
    keeper->options = options;
    keeper->notes = notes;
    keeper->tables = tables;
    keeper->intake = intake;
    otp_thread_pace_init(&keeper->pace, NANOS_PER_S / (uint64_t)options->wall_rate_hz,
                         (uint32_t)options->wall_budget_permille, otp_clock_ns(CLOCK_REALTIME));
    otp_thread_snapshot_init(&keeper->snapshot, intake, options->detail == OTELPROF_DETAIL_FULL);
}

void otp_thread_keeper_bind(struct otp_thread_keeper *keeper, struct otp_capture *capture,
                            int64_t monotonic_minus_clock_ns) {
    keeper->capture = capture;
    keeper->monotonic_minus_clock_ns = monotonic_minus_clock_ns;
}

static struct otp_control *control_of(const struct otp_thread_keeper *keeper) {
    return otp_capture_control(keeper->capture);
}

static uint64_t kernel_clock(const struct otp_thread_keeper *keeper) {
    return now() - (uint64_t)keeper->monotonic_minus_clock_ns;
}

bool otp_thread_keeper_is_on(const struct otp_thread_keeper *keeper) { return keeper->wall || keeper->threads; }

/* ------------------------------------------------------------------------------------------------- places */

static void forget_places(struct otp_thread_keeper *keeper) {
    for (uint32_t i = 0; i < OTP_PLACES; i++)
        keeper->places[i].group = OTP_NO_GROUP;
}

/* For how long a thread stood still at its place, since that was paid out last, goes to its sample. */
static void pay_out(struct otp_thread_keeper *keeper, struct otp_thread_place *place, uint64_t until) {
    if (place->group == OTP_NO_GROUP || until <= place->since_ns)
        return;
    if (keeper->intake->window)
        otp_window_add_value(keeper->intake->window, place->group, (double)(until - place->since_ns));
    place->since_ns = until;
}

/* An epoch ends only if a pass has told anybody in it: the programs keep the places of one epoch before. */
void otp_thread_keeper_settle(struct otp_thread_keeper *keeper) {
    if (!keeper->capture || !keeper->places)
        return;
    struct otp_control *control = control_of(keeper);
    const uint64_t *still = otp_capture_still(keeper->capture);
    uint32_t places = control->places;
    if (!places)
        return;
    for (uint32_t i = 1; i <= places && i <= OTP_PLACES; i++) {
        pay_out(keeper, &keeper->places[i - 1], still[OTP_PLACE_INDEX(control->epoch, i)]);
        keeper->places[i - 1].group = OTP_NO_GROUP;
    }
    control->places = 0;
    control->epoch++;
}

/* ------------------------------------------------------------------------------------------------- records */

/* Time that goes by in one state. Returns the sample's group. */
static uint32_t add_time(struct otp_thread_keeper *keeper, const struct otp_sample *sample, unsigned run, int syscall,
                         uint64_t time_ns) {
    struct otp_thread_sample attributes;
    otp_thread_sample_make(&attributes, run, syscall);
    uint32_t group =
        otp_thread_sample_put(&attributes, keeper->intake->window, sample, OTP_PROFILE_WALL, (double)time_ns);
    keeper->lost += group == OTP_NO_GROUP;
    return group;
}

static void take_time(struct otp_thread_keeper *keeper, const struct otp_thread_state *state,
                      const struct otp_record *header, const struct otp_sample *sample) {
    bool blocked = state->run >= OTP_THREAD_SLEEPING;
    uint32_t group = OTP_NO_GROUP;
    if (state->runnable_ns)
        group = add_time(keeper, sample, OTP_THREAD_RUNNABLE, blocked ? -1 : state->syscall, state->runnable_ns);
    if (state->ran_ns) /* where it ran is not known: where it has come to since */
        add_time(keeper, sample, OTP_THREAD_RUNNING, -1, state->ran_ns);
    if (blocked)
        group = add_time(keeper, sample, state->run, state->syscall, header->weight);
    if (!state->place || state->place > OTP_PLACES)
        return;
    pay_out(keeper, &keeper->places[state->place - 1], state->stood_ns);
    keeper->places[state->place - 1] = (struct otp_thread_place){header->time_ns, group};
}

static void take_thread(void *user, const struct otp_thread_state *state, const void *bytes, size_t size) {
    struct otp_thread_keeper *keeper = user;
    struct otp_record header;
    struct otp_sample sample;
    if (!otp_intake_thread(keeper->intake, bytes, size, &header, &sample)) {
        keeper->lost++;
        return;
    }
    keeper->stops[header.stop]++;
    if (header.weight || state->runnable_ns || state->place)
        take_time(keeper, state, &header, &sample);
    if (header.flags & OTP_RECORD_SNAPSHOT)
        otp_thread_snapshot_take(&keeper->snapshot, state, &sample);
}

void otp_thread_keeper_on_cpu(void *user, const struct otp_record *header, const struct otp_sample *sample) {
    struct otp_thread_keeper *keeper = user;
    if (keeper->wall && header->weight)
        add_time(keeper, sample, OTP_THREAD_RUNNING, -1, header->weight);
    if (header->flags & OTP_RECORD_SNAPSHOT)
        otp_thread_snapshot_take_running(&keeper->snapshot, header, sample);
}

/* -------------------------------------------------------------------------------------------------- passes */

/* Both types end: passes are not possible any more. */
static void fail(struct otp_thread_keeper *keeper, const char *reason) {
    keeper->failed++;
    keeper->wall = keeper->threads = false;
    control_of(keeper)->wall = 0;
    otp_thread_snapshot_give_up(&keeper->snapshot, control_of(keeper));
    otp_notes_add(keeper->notes, "wall and threads: off: %s", reason);
}

/* A pass for what is due. `what`: flags of enum otp_pass. */
static void pass(struct otp_thread_keeper *keeper, uint32_t what) {
    struct otp_control *control = control_of(keeper);
    uint64_t looks = control->threads.looks, untold = control->threads.untold;
    uint64_t start = now(), start_clock = kernel_clock(keeper), cpu = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (!otp_table_keeper_may_call_kernel(keeper->tables)) {
        fail(keeper, "a seccomp filter came that may kill for bpf(2)");
        return;
    }
    control->pass_ns = start_clock;
    control->gap_ns = otp_thread_pace_interval(&keeper->pace);
    if (otp_capture_pass(keeper->capture, what, take_thread, keeper)) {
        fail(keeper, otp_error_text());
        return;
    }
    keeper->thread_count = control->threads.looks - looks;
    keeper->counted = control->threads;
    otp_thread_snapshot_passed(&keeper->snapshot, control, what, control->threads.untold - untold, now());
    if (what & OTP_PASS_TICK) {
        control->last_pass_ns = start_clock;
        keeper->ticks++;
        otp_thread_pace_ticked(&keeper->pace, start, otp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
    }
}

uint64_t otp_thread_keeper_due(const struct otp_thread_keeper *keeper) {
    uint64_t tick = keeper->wall ? keeper->pace.next_ns : UINT64_MAX;
    uint64_t look = keeper->snapshot.phase != OTP_SNAPSHOT_IDLE ? keeper->snapshot.due_ns : UINT64_MAX;
    return tick < look ? tick : look;
}

bool otp_thread_keeper_work(struct otp_thread_keeper *keeper) {
    uint64_t now_ns = now();
    if (!keeper->capture || now_ns < otp_thread_keeper_due(keeper))
        return false;
    uint32_t what = otp_thread_snapshot_wants(&keeper->snapshot, now_ns, false);
    if (keeper->wall && now_ns >= keeper->pace.next_ns)
        what |= OTP_PASS_TICK;
    pass(keeper, what);
    return true;
}

void otp_thread_keeper_begin_window(struct otp_thread_keeper *keeper) {
    if (!keeper->capture || !keeper->threads || keeper->snapshot.phase != OTP_SNAPSHOT_IDLE)
        return;
    if (otp_thread_snapshot_begin(&keeper->snapshot, control_of(keeper), keeper->thread_count, now()))
        otp_notes_add(keeper->notes, "threads: %s", otp_error_text());
}

void otp_thread_keeper_finish(struct otp_thread_keeper *keeper) {
    if (keeper->capture && keeper->snapshot.phase == OTP_SNAPSHOT_TAKING)
        pass(keeper, otp_thread_snapshot_wants(&keeper->snapshot, now(), true));
}

/* ----------------------------------------------------------------------------------------------- on and off */

static int begin_wall(struct otp_thread_keeper *keeper) {
    struct otp_control *control = control_of(keeper);
    if (!keeper->places)
        keeper->places = otp_sys.malloc(OTP_PLACES * sizeof(*keeper->places));
    if (!keeper->places)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for wall time");
    forget_places(keeper);
    control->run++;
    control->wall = 1;
    control->epoch++;
    control->places = 0;
    control->last_pass_ns = kernel_clock(keeper);
    otp_thread_pace_start(&keeper->pace, now());
    return 0;
}

/* What went by since the last tick is told, and nothing more comes. */
static void end_wall(struct otp_thread_keeper *keeper) {
    pass(keeper, OTP_PASS_TICK);
    control_of(keeper)->wall = 0;
    otp_thread_keeper_settle(keeper);
}

int otp_thread_keeper_switch(struct otp_thread_keeper *keeper, bool wall, bool threads) {
    int result = wall || threads ? otp_capture_pass_possible(keeper->capture) : 0;
    if (result)
        wall = threads = false;
    if (keeper->wall && !wall)
        end_wall(keeper);
    else if (!keeper->wall && wall)
        result = begin_wall(keeper);
    keeper->wall = wall && !result;
    if (keeper->threads && !threads)
        otp_thread_snapshot_give_up(&keeper->snapshot, control_of(keeper));
    bool begins = threads && !keeper->threads && !result;
    keeper->threads = threads && !result;
    if (begins)
        otp_thread_keeper_begin_window(keeper);
    return result;
}

void otp_thread_keeper_unbind(struct otp_thread_keeper *keeper) {
    keeper->wall = keeper->threads = false;
    keeper->capture = NULL;
    otp_thread_snapshot_free(&keeper->snapshot);
    free(keeper->places);
    keeper->places = NULL;
}

void otp_thread_keeper_stats(const struct otp_thread_keeper *keeper, struct otelprof_stats *stats) {
    stats->wall_ticks = keeper->ticks;
    stats->wall_interval_ns = keeper->wall ? otp_thread_pace_interval(&keeper->pace) : 0;
    stats->thread_looks = keeper->counted.looks;
    stats->thread_records = keeper->counted.told;
    stats->thread_unchanged = keeper->counted.unchanged;
    stats->thread_moved = keeper->counted.moved;
    stats->thread_untracked = keeper->counted.lost;
    stats->thread_passes_failed = keeper->failed;
    stats->thread_samples_lost += keeper->lost + keeper->snapshot.lost;
    stats->thread_snapshots = keeper->snapshot.taken;
    stats->thread_count = keeper->thread_count;
    stats->deadlocks = keeper->snapshot.deadlocks.found;
    for (int i = 0; i < OTP_STOP_COUNT; i++)
        stats->stack_stops[i] += keeper->stops[i];
}

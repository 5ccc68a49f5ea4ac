// SPDX-License-Identifier: Apache-2.0
#include "core/thread_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "control.h"
#include "core/intake.h"
#include "core/thread_sample.h"

#define NANOS_PER_MS 1000000u
#define SECOND_LOOK_NS (50u * NANOS_PER_MS) /* a thread that runs has met several clock events by then */
#define LAST_LOOK_NS (100u * NANOS_PER_MS)  /* after the second */
#define VERIFY_NS (20u * NANOS_PER_MS)
#define LOOKS 3
#define THREADS_APART 256 /* more are told merged: each one apart would fill windows */

void otp_thread_snapshot_init(struct otp_thread_snapshot *snapshot, struct otp_intake *intake, bool full_detail) {
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->intake = intake;
    snapshot->full_detail = full_detail;
}

void otp_thread_snapshot_free(struct otp_thread_snapshot *snapshot) {
    otp_thread_book_free(snapshot->book);
    snapshot->book = NULL;
    snapshot->previous = 0;
    otp_deadlock_watch_free(&snapshot->deadlocks);
    snapshot->phase = OTP_SNAPSHOT_IDLE;
}

/* ------------------------------------------------------------------------------------------------- phases */

int otp_thread_snapshot_begin(struct otp_thread_snapshot *snapshot, struct otp_control *control, uint64_t threads,
                              uint64_t now_ns) {
    if (!snapshot->book)
        snapshot->book = otp_thread_book_new();
    if (!snapshot->book)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for a snapshot of the threads");
    snapshot->phase = OTP_SNAPSHOT_TAKING;
    snapshot->looks = 0;
    snapshot->due_ns = now_ns;
    snapshot->by_thread = threads <= THREADS_APART;
    control->serial = control->snapshot = ++snapshot->serial;
    return 0;
}

void otp_thread_snapshot_give_up(struct otp_thread_snapshot *snapshot, struct otp_control *control) {
    control->snapshot = 0;
    snapshot->phase = OTP_SNAPSHOT_IDLE;
}

uint32_t otp_thread_snapshot_wants(const struct otp_thread_snapshot *snapshot, uint64_t now_ns, bool hurry) {
    if (snapshot->phase == OTP_SNAPSHOT_IDLE || (now_ns < snapshot->due_ns && !hurry))
        return 0;
    if (snapshot->phase == OTP_SNAPSHOT_VERIFYING)
        return OTP_PASS_SNAPSHOT | OTP_PASS_LAST;
    return OTP_PASS_SNAPSHOT | (hurry || snapshot->looks == LOOKS - 1 ? OTP_PASS_LAST : 0);
}

/* ----------------------------------------------------------------------------------------------- deadlocks */

/* Who waits for whom in this snapshot, by those waits that do not end by themselves. NULL: nobody, or no memory. */
static struct otp_wait_edge *edges_of(const struct otp_thread_snapshot *snapshot, size_t *count) {
    size_t threads = otp_thread_book_count(snapshot->book);
    struct otp_wait_edge *edges = NULL;
    *count = 0;
    for (size_t i = 0; i < threads; i++) {
        const struct otp_thread_entry *entry = otp_thread_book_at(snapshot->book, i);
        if (entry->serial != snapshot->serial || !entry->wait.kind || !entry->wait.owner || entry->wait.timed)
            continue;
        if (!edges)
            edges = otp_sys.malloc((threads - i) * sizeof(*edges));
        if (!edges)
            return NULL;
        edges[(*count)++] = (struct otp_wait_edge){
            .waiter = entry->tid, .owner = entry->wait.owner, .lock = entry->wait.address, .switches = entry->switches};
    }
    return edges;
}

/* One line in the log: who waits for which lock of whom. */
static void report(void *user, uint32_t number, const struct otp_wait_edge *edges, size_t count) {
    const struct otp_thread_snapshot *snapshot = user;
    char text[900];
    size_t length = 0;
    for (size_t i = 0; i < count && length < sizeof(text); i++) {
        const struct otp_thread_entry *entry = otp_thread_book_find(snapshot->book, edges[i].waiter);
        char name[OTP_LOCK_NAME_MAX + 1];
        otp_lock_names_get(edges[i].lock, name);
        int added = snprintf(text + length, sizeof(text) - length,
                             "%sthread %" PRIu32 " (%s) waits for %s 0x%" PRIx64 "%s%s, which thread %" PRIu32 " holds",
                             i ? "; " : "", edges[i].waiter, entry ? entry->name : "",
                             entry && entry->wait.kind != OTP_LOCK_MUTEX ? "rwlock" : "mutex", edges[i].lock,
                             *name ? " " : "", name, edges[i].owner);
        length += added > 0 ? (size_t)added : 0;
    }
    otp_log(OTELPROF_LOG_WARN, "otelprof: deadlock %" PRIu32 ": %s", number, text);
}

/* True: a circle is suspected. */
static bool look_for_circles(struct otp_thread_snapshot *snapshot) {
    size_t count;
    struct otp_wait_edge *edges = edges_of(snapshot, &count);
    bool suspected = false;
    if (snapshot->phase == OTP_SNAPSHOT_VERIFYING)
        otp_deadlock_watch_verify(&snapshot->deadlocks, edges, count, report, snapshot);
    else
        suspected = otp_deadlock_watch_suspect(&snapshot->deadlocks, edges, count);
    free(edges);
    return suspected;
}

static void end(struct otp_thread_snapshot *snapshot, struct otp_control *control, uint64_t now_ns) {
    bool suspected = look_for_circles(snapshot);
    control->snapshot = 0;
    if (snapshot->phase == OTP_SNAPSHOT_TAKING) {
        snapshot->taken++;
        if (snapshot->previous) /* those that have told themselves may still be on their way */
            otp_thread_book_sweep(snapshot->book, snapshot->previous);
        snapshot->previous = snapshot->serial;
    }
    snapshot->phase = suspected ? OTP_SNAPSHOT_VERIFYING : OTP_SNAPSHOT_IDLE;
    if (suspected) {
        control->serial = ++snapshot->serial;
        snapshot->due_ns = now_ns + VERIFY_NS;
    }
}

void otp_thread_snapshot_passed(struct otp_thread_snapshot *snapshot, struct otp_control *control, uint32_t what,
                                uint64_t untold, uint64_t now_ns) {
    if (!(what & OTP_PASS_SNAPSHOT))
        return;
    snapshot->looks++;
    snapshot->due_ns = now_ns + (snapshot->looks == 1 ? SECOND_LOOK_NS : LAST_LOOK_NS);
    if (!untold || (what & OTP_PASS_LAST))
        end(snapshot, control, now_ns);
}

/* ------------------------------------------------------------------------------------------------- threads */

/* Notes the thread down. Returns its entry, or NULL when out of memory. */
static struct otp_thread_entry *note(struct otp_thread_snapshot *snapshot, const struct otp_sample *sample,
                                     uint64_t switches, const struct otp_futex_lock *wait) {
    struct otp_thread_entry *entry = otp_thread_book_entry(snapshot->book, sample->tid);
    if (!entry)
        return NULL;
    entry->switches = switches;
    entry->wait = *wait;
    snprintf(entry->name, sizeof(entry->name), "%s", sample->thread_name ? sample->thread_name : "");
    return entry;
}

/* The CPU time that the thread has used since the last snapshot, in units; -1: not known. */
static int64_t cpu_used(struct otp_thread_snapshot *snapshot, struct otp_thread_entry *entry, uint32_t cpu_units) {
    if (!entry)
        return -1;
    uint32_t used = cpu_units - entry->cpu_units;
    bool known = snapshot->previous && entry->serial >= snapshot->previous;
    if (!known || used > UINT32_MAX / 2) /* new, or another thread of the same number */
        used = cpu_units;
    entry->cpu_units = cpu_units;
    return snapshot->previous ? (int64_t)used : -1;
}

static void add(struct otp_thread_snapshot *snapshot, struct otp_thread_sample *attributes,
                const struct otp_sample *sample, int64_t cpu_units) {
    uint32_t deadlock = otp_deadlock_watch_of(&snapshot->deadlocks, sample->tid);
    if (snapshot->by_thread && snapshot->full_detail)
        otp_thread_sample_add_number(attributes, "thread.id", sample->tid);
    if (snapshot->by_thread && cpu_units >= 0)
        otp_thread_sample_add_number(attributes, "otelprof.thread.cpu_ns", cpu_units << OTP_CPU_UNIT_SHIFT);
    if (deadlock)
        otp_thread_sample_add_number(attributes, "otelprof.deadlock", deadlock);
    struct otp_window *window = snapshot->intake->window;
    if (!window || otp_thread_sample_put(attributes, window, sample, OTP_PROFILE_THREADS, 1) == OTP_NO_GROUP)
        snapshot->lost++;
}

void otp_thread_snapshot_take(struct otp_thread_snapshot *snapshot, const struct otp_thread_state *state,
                              const struct otp_sample *sample) {
    struct otp_thread_sample attributes;
    int64_t used = -1;
    struct otp_futex_lock lock = otp_futex_lock_of(state, sample->frames, sample->frame_count);
    struct otp_thread_entry *entry = note(snapshot, sample, state->switches, &lock);
    if (snapshot->phase == OTP_SNAPSHOT_TAKING)
        used = cpu_used(snapshot, entry, (uint32_t)(state->cpu_ns >> OTP_CPU_UNIT_SHIFT));
    if (entry)
        entry->serial = snapshot->serial;
    if (snapshot->phase != OTP_SNAPSHOT_TAKING)
        return;
    otp_thread_sample_make(&attributes, state->run, state->syscall);
    if (lock.kind)
        otp_thread_sample_add_lock(&attributes, snapshot->intake, &lock, snapshot->by_thread && snapshot->full_detail);
    add(snapshot, &attributes, sample, used);
}

void otp_thread_snapshot_take_running(struct otp_thread_snapshot *snapshot, const struct otp_record *header,
                                      const struct otp_sample *sample) {
    static const struct otp_futex_lock none = {.kind = 0};
    struct otp_thread_sample attributes;
    if (!snapshot->book)
        return;
    struct otp_thread_entry *entry = note(snapshot, sample, 0, &none);
    int64_t used = cpu_used(snapshot, entry, header->cpu_units);
    if (entry)
        entry->serial = snapshot->serial;
    otp_thread_sample_make(&attributes, OTP_THREAD_RUNNING, -1);
    add(snapshot, &attributes, sample, used);
}

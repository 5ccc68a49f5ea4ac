// SPDX-License-Identifier: Apache-2.0
#include "core/lock_keeper.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "core/intake.h"
#include "core/lock_book.h"
#include "core/lock_identity.h"
#include "core/lock_pairs.h"
#include "core/sample_weight.h"
#include "core/stack_watch.h"
#include "hooks/hook_state.h"
#include "hooks/locks.h"

#define SECOND_NS 1000000000u
#define HOOKS_PATIENCE_NS (SECOND_NS / 10) /* for hooks that are at work */
#define PARTNER_NS (2 * (uint64_t)SECOND_NS)
#define RECORDS_MAX 1000u /* a second, of each class */
#define RELEASES_MAX 2000u

_Static_assert(OTP_HOOK_COUNTERS <= sizeof(((struct otp_lock_keeper *)0)->counted_before) / sizeof(uint64_t),
               "room for the counters of before");

static uint64_t now(void) { return otp_clock_ns(CLOCK_MONOTONIC); }

void otp_lock_keeper_init(struct otp_lock_keeper *keeper, const struct otelprof_options *options,
                          struct otp_stack_watch *stacks) {
    memset(keeper, 0, sizeof(*keeper));
    keeper->options = options;
    keeper->stacks = stacks;
    for (int i = 0; i < OTP_HOOK_COUNTERS; i++)
        keeper->counted_before[i] = otp_hook_counted((enum otp_hook_counter)i);
}

/* ------------------------------------------------------------------------------------------------ on and off */

int otp_lock_keeper_on(struct otp_lock_keeper *keeper) {
    keeper->pairs = otp_lock_pairs_new();
    keeper->book = otp_lock_book_new();
    if (!keeper->pairs || !keeper->book) {
        otp_lock_pairs_free(keeper->pairs);
        otp_lock_book_free(keeper->book);
        keeper->pairs = NULL;
        keeper->book = NULL;
        return otp_error(OTELPROF_E_MEMORY, "no memory for the lock profile");
    }
    for (int i = 0; i < OTP_WAIT_CLASSES; i++) {
        struct otp_lock_pace *pace = &keeper->pace[i];
        uint64_t wanted = pace->wanted ? pace->wanted : (uint64_t)keeper->options->lock_interval_ns;
        *pace = (struct otp_lock_pace){.since_ns = now(), .wanted = wanted, .set = wanted};
    }
    keeper->releases = (struct otp_lock_pace){.since_ns = now()};
    otp_stack_watch_begin(keeper->stacks);
    otp_locks_enable(keeper->pace[OTP_WAIT_LOCK].wanted);
    return 0;
}

bool otp_lock_keeper_is_on(const struct otp_lock_keeper *keeper) { return keeper->pairs != NULL; }

void otp_lock_keeper_off(struct otp_lock_keeper *keeper) {
    if (keeper->pairs && !otp_locks_disable(now() + HOOKS_PATIENCE_NS))
        otp_log(OTELPROF_LOG_DEBUG, "otelprof: a wait is still being recorded while the lock profile ends");
}

uint64_t otp_lock_keeper_interval(const struct otp_lock_keeper *keeper) {
    return keeper->pairs ? otp_locks_interval(OTP_WAIT_LOCK) : (uint64_t)keeper->options->lock_interval_ns;
}

void otp_lock_keeper_forget(struct otp_lock_keeper *keeper) {
    if (!keeper->pairs)
        return;
    keeper->unseen += otp_lock_pairs_give_up(keeper->pairs, UINT64_MAX) + otp_lock_pairs_crowded_out(keeper->pairs);
    otp_lock_pairs_free(keeper->pairs);
    otp_lock_book_free(keeper->book);
    keeper->pairs = NULL;
    keeper->book = NULL;
    otp_stack_watch_end(keeper->stacks);
}

/* ------------------------------------------------------------------------------------------------- records */

struct taking {
    struct otp_lock_keeper *keeper;
    struct otp_intake *intake;
    uint64_t now_ns;
};

/* Which lock it was: by the function that waited for it first, where nothing else names it. */
static void identify(struct otp_lock_identity *identity, struct otp_intake *intake, const struct otp_record *record,
                     const struct otp_lock_entry *entry) {
    otp_lock_identity_make(identity, record->kind);
    if (record->lock)
        otp_lock_identity_add_lock(identity, intake, record->lock, entry ? entry->site : 0, entry && entry->told);
}

static void count(struct otp_lock_keeper *keeper, const struct otp_record *record) {
    keeper->stops[record->stop]++;
    keeper->with_span += record->context_size != 0;
}

static void add(struct otp_intake *intake, struct otp_sample *sample, const struct otp_lock_identity *identity) {
    sample->extras = identity->extras;
    sample->extra_count = identity->count;
    otp_window_add(intake->window, sample); /* counts what it loses */
}

/* The holder's side: as many contentions, and as long, as the wait stands for. */
static void credit_holder(void *user, const void *bytes, size_t size, const struct otp_lock_credit *credit) {
    struct taking *taking = user;
    struct otp_record record;
    struct otp_sample sample;
    struct otp_lock_identity identity;
    taking->keeper->holders++;
    if (!otp_intake_lock(taking->intake, OTP_RECORD_RELEASE, bytes, size, taking->now_ns, &record, &sample))
        return;
    count(taking->keeper, &record);
    taking->keeper->by_leaf += record.stop == OTP_STOP_NOT_WALKED;
    sample.type = OTP_PROFILE_MUTEX_CONTENTIONS;
    sample.value = credit->contentions;
    sample.twin_value = credit->delay_ns;
    identify(&identity, taking->intake, &record, otp_lock_book_find(taking->keeper->book, record.lock));
    add(taking->intake, &sample, &identity);
}

static void find_holder(struct taking *taking, const struct otp_record *record, double weight) {
    const struct otp_lock_credit credit = {record->release, weight, weight * (double)record->weight};
    bool given_up = record->flags & (OTP_RECORD_TIMED_OUT | OTP_RECORD_INTERRUPTED);
    if (record->kind >= OTP_LOCK_CONDITION || given_up)
        return;
    if (record->release)
        otp_lock_pairs_wait(taking->keeper->pairs, &credit, now(), credit_holder, taking);
    else
        taking->keeper->unseen++;
}

static void take_wait(struct taking *taking, const void *bytes, size_t size) {
    struct otp_lock_keeper *keeper = taking->keeper;
    struct otp_record record;
    struct otp_sample sample;
    struct otp_lock_identity identity;
    if (!otp_intake_lock(taking->intake, OTP_RECORD_WAIT, bytes, size, taking->now_ns, &record, &sample))
        return;
    count(keeper, &record);
    double weight = otp_sample_weight(record.mass, record.interval);
    sample.type = OTP_PROFILE_BLOCK_CONTENTIONS;
    sample.value = weight;
    sample.twin_value = weight * (double)record.weight;
    uint64_t site = sample.frame_count ? sample.frames[0].address : 0;
    const struct otp_lock_entry *entry =
        keeper->book && record.lock ? otp_lock_book_waited(keeper->book, record.lock, site) : NULL;
    identify(&identity, taking->intake, &record, entry);
    if (record.flags & (OTP_RECORD_TIMED_OUT | OTP_RECORD_INTERRUPTED))
        otp_lock_identity_add_text(&identity, "otelprof.lock.outcome",
                                   record.flags & OTP_RECORD_TIMED_OUT ? "timeout" : "interrupted");
    if (record.tid && keeper->options->detail == OTELPROF_DETAIL_FULL)
        otp_lock_identity_add_owner(&identity, record.tid);
    add(taking->intake, &sample, &identity);
    keeper->pace[record.kind < OTP_LOCK_CONDITION ? OTP_WAIT_LOCK : OTP_WAIT_WORK].records++;
    if (keeper->pairs)
        find_holder(taking, &record, weight);
}

void otp_lock_keeper_take(struct otp_lock_keeper *keeper, struct otp_intake *intake, const void *bytes, size_t size,
                          uint64_t now_ns) {
    struct taking taking = {keeper, intake, now_ns};
    struct otp_record record;
    memcpy(&record, bytes, sizeof(record));
    if (record.type == OTP_RECORD_WAIT)
        take_wait(&taking, bytes, size);
    else if (keeper->pairs && ++keeper->releases.records)
        otp_lock_pairs_release(keeper->pairs, record.release, bytes, size, now(), credit_holder, &taking);
}

/* -------------------------------------------------------------------------------------------------- bounds */

static void set_interval(struct otp_lock_pace *pace, int class, uint64_t interval) {
    pace->set = interval;
    otp_locks_set_interval((enum otp_wait_class) class, interval);
}

/* Twice as far apart as soon as a second has too many, and back when one has few. */
static void keep_pace(struct otp_lock_pace *pace, int class, uint64_t now_ns) {
    uint64_t in_force = otp_locks_interval((enum otp_wait_class) class);
    if (in_force != pace->set) /* somebody has set another since */
        pace->wanted = pace->set = in_force;
    bool over = now_ns - pace->since_ns >= SECOND_NS;
    if (pace->records <= RECORDS_MAX && !over)
        return;
    if (pace->records > RECORDS_MAX) {
        set_interval(pace, class, in_force * 2);
        otp_log(OTELPROF_LOG_DEBUG, "otelprof: lock: over %u samples a second: %llu us apart from now on", RECORDS_MAX,
                (unsigned long long)in_force * 2 / 1000);
    } else if (pace->records < RECORDS_MAX / 4 && in_force > pace->wanted) {
        set_interval(pace, class, in_force / 2 > pace->wanted ? in_force / 2 : pace->wanted);
    }
    pace->records = 0;
    pace->since_ns = now_ns;
}

/* Where threads bar one that waits from its lock, each of their releases may be the one: those are many more. */
static void keep_releases(struct otp_lock_pace *pace, uint64_t now_ns) {
    uint32_t power = otp_locks_thinning();
    if (pace->records <= RELEASES_MAX && now_ns - pace->since_ns < SECOND_NS)
        return;
    if (pace->records > RELEASES_MAX)
        otp_locks_set_thinning(power + 1);
    else if (pace->records < RELEASES_MAX / 4 && power)
        otp_locks_set_thinning(power - 1);
    pace->records = 0;
    pace->since_ns = now_ns;
}

void otp_lock_keeper_settle(struct otp_lock_keeper *keeper) {
    uint64_t now_ns = now();
    if (!keeper->pairs)
        return;
    keeper->unseen += otp_lock_pairs_give_up(keeper->pairs, now_ns - PARTNER_NS);
    for (int i = 0; i < OTP_WAIT_CLASSES; i++)
        keep_pace(&keeper->pace[i], i, now_ns);
    keep_releases(&keeper->releases, now_ns);
}

void otp_lock_keeper_end_window(struct otp_lock_keeper *keeper) {
    if (keeper->book)
        otp_lock_book_end_window(keeper->book);
}

static uint64_t counted(const struct otp_lock_keeper *keeper, enum otp_hook_counter counter) {
    return otp_hook_counted(counter) - keeper->counted_before[counter];
}

void otp_lock_keeper_stats(const struct otp_lock_keeper *keeper, struct otelprof_stats *stats) {
    stats->lock_samples = counted(keeper, OTP_HOOK_WAITS);
    stats->lock_holders = keeper->holders;
    stats->samples_fired += stats->lock_samples + stats->lock_holders;
    stats->samples_with_span += keeper->with_span;
    stats->lost_ring_full += counted(keeper, OTP_HOOK_WAITS_FULL);
    stats->lock_holders_unseen = keeper->unseen + (keeper->pairs ? otp_lock_pairs_crowded_out(keeper->pairs) : 0);
    stats->lock_holders_leaf = keeper->by_leaf;
    stats->lock_holders_lost = counted(keeper, OTP_HOOK_RELEASES_FULL);
    stats->lock_unpublished = counted(keeper, OTP_HOOK_UNPUBLISHED);
    for (int i = 0; i < OTP_STOP_COUNT; i++)
        stats->stack_stops[i] += keeper->stops[i];
    stats->lock_interval_ns = keeper->pairs ? otp_locks_interval(OTP_WAIT_LOCK) : 0;
    stats->lock_work_interval_ns = keeper->pairs ? otp_locks_interval(OTP_WAIT_WORK) : 0;
}

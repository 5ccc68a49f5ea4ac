// SPDX-License-Identifier: Apache-2.0
#include "hooks/lock_wait.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "context/context.h"
#include "hooks/draw.h"
#include "hooks/hook_ring.h"
#include "hooks/hook_state.h"

/* All zero: a thread that has not waited yet. Initial-exec, so that it needs no allocation. */
struct thread {
    uint64_t run, random;
    struct {
        uint64_t left; /* until the next sample, ns */
        uint64_t interval;
    } draws[OTP_WAIT_CLASSES];
    uint64_t numbers; /* of its releases: the last one */
    bool inside;      /* a record is being made */
};

static _Thread_local struct thread self __attribute__((tls_model("initial-exec")));

static enum otp_wait_class class_of(enum otp_lock_kind kind) {
    return kind < OTP_LOCK_CONDITION ? OTP_WAIT_LOCK : OTP_WAIT_WORK;
}

static uint64_t now(void) { return otp_clock_ns(CLOCK_MONOTONIC); }

/* ----------------------------------------------------------------------------------------------- sampling */

/* Once a run and thread, as for allocations. */
static OTP_HOOK_FUNCTION void seed(void) {
    struct otp_hook_state *state = otp_hook_state();
    uint64_t run = atomic_load_explicit(&state->run, memory_order_relaxed);
    if (self.run == run)
        return;
    self.run = run;
    self.numbers = 0; /* in a forked child others may get them again */
    self.random = (atomic_fetch_add_explicit(&state->seed, 1, memory_order_relaxed) + 1) * 0xa0761d6478bd642fu;
    for (int i = 0; i < OTP_WAIT_CLASSES; i++)
        self.draws[i].interval = 0;
}

static OTP_HOOK_FUNCTION void draw(enum otp_wait_class class, uint64_t interval) {
    self.draws[class].interval = interval;
    self.draws[class].left = otp_draw_distance(otp_draw_bits(&self.random), interval);
}

/* Chances do not depend on what came before, so a new interval may be taken up between any two waits. */
static OTP_HOOK_FUNCTION void prepare_draw(enum otp_wait_class class) {
    uint64_t interval = atomic_load_explicit(&otp_hook_state()->wait_interval[class], memory_order_relaxed);
    seed();
    if (self.draws[class].interval != interval)
        draw(class, interval);
}

/* ------------------------------------------------------------------------------------------------ waiting */

bool otp_lock_wait_begin(struct otp_lock_wait *wait, enum otp_lock_kind kind, const volatile void *lock,
                         uint32_t owner) {
    enum otp_wait_class class = class_of(kind);
    if (!otp_hook_on(OTP_HOOK_LOCK) || otp_thread_is_ours || self.inside)
        return false;
    prepare_draw(class);
    *wait = (struct otp_lock_wait){
        .lock = (uintptr_t)lock,
        .start_ns = now(),
        .left = self.draws[class].left,
        .interval = self.draws[class].interval,
        .place = OTP_LOCK_NOWHERE,
        .owner = owner,
        .kind = kind,
    };
    return true;
}

void otp_lock_wait_post(struct otp_lock_wait *wait) {
    uint64_t from = wait->start_ns + wait->left;
    wait->place = otp_lock_post(wait->lock, from > OTP_WAKING_NS ? from - OTP_WAKING_NS : 0);
    if (wait->place == OTP_LOCK_NOWHERE)
        otp_hook_count(OTP_HOOK_UNPUBLISHED);
    wait->posted = true;
}

/* How a wait ended, where it was a release that was seen. */
struct ending {
    bool seen;
    enum otp_release_class class;
    struct otp_release_notice notice;
    bool has_who; /* there will be no record of it: this is who it was */
    struct otp_releaser who;
};

/* The release that made the lock free for this thread, which has it now, so that no other can have come since. */
static OTP_HOOK_FUNCTION void find_release(const struct otp_lock_wait *wait, struct ending *ending) {
    struct otp_release_notice shared;
    ending->class = OTP_RELEASE_EXCLUSIVE;
    ending->seen = otp_release_last(wait->lock, OTP_RELEASE_EXCLUSIVE, &ending->notice);
    if (wait->kind == OTP_LOCK_WRITE && otp_release_last(wait->lock, OTP_RELEASE_SHARED, &shared) &&
        (!ending->seen || shared.time_ns > ending->notice.time_ns)) {
        ending->class = OTP_RELEASE_SHARED;
        ending->notice = shared;
        ending->seen = true;
    }
    ending->seen = ending->seen && ending->notice.time_ns >= wait->start_ns;
}

/* How the lock was held by who ended the wait. */
static enum otp_lock_kind holder_kind(const struct otp_lock_wait *wait, enum otp_release_class class) {
    if (wait->kind == OTP_LOCK_READ || wait->kind == OTP_LOCK_WRITE)
        return class == OTP_RELEASE_SHARED ? OTP_LOCK_READ : OTP_LOCK_WRITE;
    return wait->kind;
}

static OTP_HOOK_FUNCTION void fill(struct otp_record *record, const struct otp_lock_wait *wait, uint64_t waited,
                                   uint64_t mass, const struct ending *ending, enum otp_wait_end end) {
    record->tid = wait->owner;
    record->kind = wait->kind;
    record->lock = wait->lock;
    record->weight = waited;
    record->interval = wait->interval;
    record->mass = mass;
    record->release = ending->seen ? ending->notice.number & OTP_RELEASE_NUMBER_MASK : 0;
    record->flags = end == OTP_WAIT_TIMED_OUT     ? OTP_RECORD_TIMED_OUT
                    : end == OTP_WAIT_INTERRUPTED ? OTP_RECORD_INTERRUPTED
                                                  : 0;
}

/* A record of this thread, for `put`; NULL: the profile is off by now, or no buffer was free. Then leave_record(). */
static OTP_HOOK_FUNCTION struct otp_record *enter_record(enum otp_record_type type, enum otp_hook_counter lost,
                                                         uint64_t caller, unsigned *phase) {
    struct otp_record *record = NULL;
    self.inside = true;
    *phase = otp_hook_enter();
    if (otp_hook_on(OTP_HOOK_LOCK)) {
        if (type == OTP_RECORD_WAIT)
            otp_hook_count(OTP_HOOK_WAITS);
        record = otp_hook_capture(type, caller);
        if (!record)
            otp_hook_count(lost);
    }
    return record;
}

static OTP_HOOK_FUNCTION void leave_record(struct otp_record *record, unsigned phase) {
    if (record)
        otp_hook_ring_put(record, otp_hook_record_size(record));
    otp_hook_leave(phase);
    self.inside = false;
}

/* The record that the thread which released had no time for. */
static OTP_HOOK_FUNCTION void stand_in(const struct otp_lock_wait *wait, const struct ending *ending) {
    size_t size = ending->who.size < sizeof(ending->who.context) ? ending->who.size : sizeof(ending->who.context);
    struct otp_record *record = otp_hook_leaf_record(OTP_RECORD_RELEASE, ending->who.caller, ending->who.context, size);
    if (!record) {
        otp_hook_count(OTP_HOOK_RELEASES_FULL);
        return;
    }
    record->kind = holder_kind(wait, ending->class);
    record->lock = wait->lock;
    record->release = ending->notice.number & OTP_RELEASE_NUMBER_MASK;
    otp_hook_ring_put(record, otp_hook_record_size(record));
}

static OTP_HOOK_FUNCTION __attribute__((noinline)) void chosen(const struct otp_lock_wait *wait, uint64_t waited,
                                                               uint64_t mass, struct ending *ending,
                                                               enum otp_wait_end end, uint64_t caller) {
    int saved = errno;
    unsigned phase;
    struct otp_record *record = enter_record(OTP_RECORD_WAIT, OTP_HOOK_WAITS_FULL, caller, &phase);
    if (record) {
        fill(record, wait, waited, mass, ending, end);
        if (ending->has_who)
            stand_in(wait, ending);
    }
    leave_record(record, phase);
    errno = saved;
}

/* Without a record of the release to come. A wait that began but was not posted when the lock was let go is chosen
 * here only. */
static OTP_HOOK_FUNCTION void look_for_who(const struct otp_lock_wait *wait, struct ending *ending) {
    if (!ending->seen || !(ending->notice.number & (OTP_RELEASE_SAYS_WHO | OTP_RELEASE_NO_RECORD)))
        return;
    ending->has_who = (ending->notice.number & OTP_RELEASE_SAYS_WHO) &&
                      otp_release_who(wait->lock, ending->class, &ending->notice, &ending->who);
    if (!ending->has_who)
        ending->notice.number = 0;
}

void otp_lock_wait_end(const struct otp_lock_wait *wait, enum otp_wait_end end, uint64_t caller) {
    enum otp_wait_class class = class_of(wait->kind);
    uint64_t end_ns = now();
    struct ending ending; /* large: not all of it is set */
    ending.seen = ending.has_who = false;
    if (wait->posted) {
        if (end == OTP_WAIT_GOT && wait->place != OTP_LOCK_NOWHERE)
            find_release(wait, &ending);
        otp_lock_unpost(wait->lock, wait->place);
    }
    if (end == OTP_WAIT_ERROR || end_ns <= wait->start_ns || self.inside)
        return;
    uint64_t waited = end_ns - wait->start_ns;
    uint64_t mass = ending.seen ? ending.notice.time_ns - wait->start_ns + OTP_WAKING_NS : waited;
    if (mass <= wait->left) {
        self.draws[class].left = wait->left - mass;
        return;
    }
    draw(class, wait->interval);
    look_for_who(wait, &ending);
    chosen(wait, waited, mass, &ending, end, caller);
}

/* ---------------------------------------------------------------------------------------------- releasing */

/*
 * While a waiter that is chosen goes on waiting, others may take and release the lock a million times a second, and
 * each of these releases may be the one. Of those that come fast one in 2^n is recorded with its stack; the others say
 * who they are in their notice, and the one that ends the wait is recorded by the waiter.
 */
static OTP_HOOK_FUNCTION uint32_t thinning(uint64_t gap_ns) {
    uint32_t power = atomic_load_explicit(&otp_hook_state()->release_thinning, memory_order_relaxed);
    while (power < OTP_THINNING_MAX && gap_ns << power < OTP_RELEASE_GAP_NS)
        power++;
    return power;
}

/* True for one in 2^power, by chance. */
static OTP_HOOK_FUNCTION bool left_in(uint32_t power) {
    return !(otp_draw_bits(&self.random) >> (64 - OTP_THINNING_MAX) & (((uint64_t)1 << power) - 1));
}

/* A thread that has used up its numbers gets others. */
static OTP_HOOK_FUNCTION uint64_t next_number(void) {
    seed();
    self.numbers += OTP_RELEASE_NUMBER_STEP;
    if (!(uint32_t)self.numbers || self.numbers <= UINT32_MAX)
        self.numbers = otp_release_numbers() + OTP_RELEASE_NUMBER_STEP;
    return self.numbers;
}

static OTP_HOOK_FUNCTION void say_who(struct otp_releaser *who, uint64_t caller) {
    const struct otp_thread_record *context = otp_context_own_record();
    who->caller = caller;
    who->size = 0;
    if (!context)
        return;
    uint16_t attrs = context->attrs_size < OTP_RECORD_ATTRS_MAX ? context->attrs_size : OTP_RECORD_ATTRS_MAX;
    who->size = (uint64_t)OTP_RECORD_HEADER + attrs;
    who->context[(who->size - 1) / 8] = 0;
    memcpy(who->context, context, who->size);
}

/* Posts the notice of a release that a chosen waiter may be waiting for: to be recorded after it, or not. */
static OTP_HOOK_FUNCTION __attribute__((noinline)) void post_wanted(struct otp_lock_release *release,
                                                                    enum otp_release_class class, uint64_t caller) {
    struct otp_release_notice before;
    struct otp_releaser who;
    bool again = otp_release_last(release->lock, class, &before);
    release->wanted = left_in(thinning(again ? release->notice.time_ns - before.time_ns : OTP_RELEASE_GAP_NS));
    if (release->wanted) {
        otp_release_post(release->lock, class, &release->notice, NULL);
        return;
    }
    release->notice.number |= OTP_RELEASE_SAYS_WHO;
    say_who(&who, caller);
    otp_release_post(release->lock, class, &release->notice, &who);
}

bool otp_lock_release_begin(struct otp_lock_release *release, enum otp_lock_kind kind, const volatile void *lock,
                            uint64_t caller) {
    enum otp_release_class class = kind == OTP_LOCK_READ ? OTP_RELEASE_SHARED : OTP_RELEASE_EXCLUSIVE;
    if (!otp_hook_on(OTP_HOOK_LOCK) || otp_thread_is_ours || self.inside)
        return false;
    *release = (struct otp_lock_release){
        .lock = (uintptr_t)lock, .kind = kind, .notice = {.number = next_number(), .time_ns = now()}};
    if (otp_lock_chosen(release->lock, release->notice.time_ns)) {
        post_wanted(release, class, caller);
    } else {
        release->notice.number |= OTP_RELEASE_NO_RECORD;
        otp_release_post(release->lock, class, &release->notice, NULL);
    }
    return true;
}

void otp_lock_release_end(const struct otp_lock_release *release, bool released, uint64_t caller) {
    if (!released || !release->wanted || self.inside)
        return;
    int saved = errno;
    unsigned phase;
    struct otp_record *record = enter_record(OTP_RECORD_RELEASE, OTP_HOOK_RELEASES_FULL, caller, &phase);
    if (record) {
        record->kind = release->kind;
        record->lock = release->lock;
        record->release = release->notice.number;
    }
    leave_record(record, phase);
    errno = saved;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * One snapshot of the threads after the other. Most threads are told by the first pass; those that run then tell
 * themselves at their next clock event, or are told by a later pass, the last of which leaves nobody out. Then: who
 * waits for whom. On the profiler thread.
 */
#ifndef OTP_CORE_THREAD_SNAPSHOT_H
#define OTP_CORE_THREAD_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/deadlock_watch.h"
#include "core/thread_book.h"
#include "profile/window.h"
#include "record.h"
#include "thread_state.h"

struct otp_control;
struct otp_intake;

enum otp_snapshot_phase {
    OTP_SNAPSHOT_IDLE,
    OTP_SNAPSHOT_TAKING,
    OTP_SNAPSHOT_VERIFYING, /* a circle of waits was seen: are they the same a little later? */
};

struct otp_thread_snapshot {
    struct otp_intake *intake;
    bool full_detail; /* thread ids are told */
    bool by_thread;   /* this snapshot tells each thread apart: there are not too many */
    enum otp_snapshot_phase phase;
    unsigned looks;    /* passes of this snapshot so far */
    uint32_t serial;   /* of this one */
    uint32_t previous; /* of the one before that was taken, not verified; 0: none */
    uint64_t due_ns;   /* CLOCK_MONOTONIC: the next pass */
    struct otp_thread_book *book;
    struct otp_deadlock_watch deadlocks;
    uint64_t taken, lost; /* snapshots; threads in them that the window did not take */
};

/* `intake` must outlive it. */
void otp_thread_snapshot_init(struct otp_thread_snapshot *snapshot, struct otp_intake *intake, bool full_detail);

/* Gives memory back; it can go on after that, and remembers nothing. */
void otp_thread_snapshot_free(struct otp_thread_snapshot *snapshot);

/* A snapshot begins, with a pass at once. `threads`: about how many there are. 0 or OTELPROF_E_MEMORY. */
int otp_thread_snapshot_begin(struct otp_thread_snapshot *snapshot, struct otp_control *control, uint64_t threads,
                              uint64_t now_ns);

/* Flags of enum otp_pass for a pass now; 0: none is due. `hurry`: it must end with this pass. */
uint32_t otp_thread_snapshot_wants(const struct otp_thread_snapshot *snapshot, uint64_t now_ns, bool hurry);

/* Such a pass is over: `what` it was for, and how many threads are still untold. */
void otp_thread_snapshot_passed(struct otp_thread_snapshot *snapshot, struct otp_control *control, uint32_t what,
                                uint64_t untold, uint64_t now_ns);

/* Ends what goes on, as if it had never begun. */
void otp_thread_snapshot_give_up(struct otp_thread_snapshot *snapshot, struct otp_control *control);

/* Takes a thread in that a pass has told. */
void otp_thread_snapshot_take(struct otp_thread_snapshot *snapshot, const struct otp_thread_state *state,
                              const struct otp_sample *sample);

/* Takes a thread in that has told itself by a record of the CPU program. */
void otp_thread_snapshot_take_running(struct otp_thread_snapshot *snapshot, const struct otp_record *header,
                                      const struct otp_sample *sample);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Deadlocks, from what snapshots say of who waits for whom. A circle in one snapshot is a suspicion only: the threads
 * were not looked at in the same moment. It is a deadlock if a later look finds each of its waits as it was, and that
 * none of its threads was switched in between: then they all waited at once.
 */
#ifndef OTP_CORE_DEADLOCK_WATCH_H
#define OTP_CORE_DEADLOCK_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lock_wait_graph.h"

/* Zero at first. The edges here are those of circles alone, sorted by waiter; `cycle` is the circle's number. */
struct otp_deadlock_watch {
    struct otp_wait_edge *suspects, *known;
    size_t suspect_count, known_count;
    uint32_t found; /* deadlocks so far: the last one's number */
};

/*
 * Takes the edges of a snapshot, which it sorts. True: there is a circle that is not known as a deadlock, and that
 * otp_deadlock_watch_verify() should look at a little later. Those known whose threads have gone on are forgotten.
 */
bool otp_deadlock_watch_suspect(struct otp_deadlock_watch *watch, struct otp_wait_edge *edges, size_t count);

/* Takes the edges of the later look, and tells each deadlock that is new: its number, and its edges. */
typedef void (*otp_deadlock_fn)(void *user, uint32_t number, const struct otp_wait_edge *edges, size_t count);
void otp_deadlock_watch_verify(struct otp_deadlock_watch *watch, struct otp_wait_edge *edges, size_t count,
                               otp_deadlock_fn report, void *user);

/* The number of the deadlock that the thread is in; 0: in none. */
uint32_t otp_deadlock_watch_of(const struct otp_deadlock_watch *watch, uint32_t thread);

/* Gives memory back; only the count of those found stays. */
void otp_deadlock_watch_free(struct otp_deadlock_watch *watch);

#endif

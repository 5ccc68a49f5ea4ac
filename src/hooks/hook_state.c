// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_state.h"

#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hooks/hook_memory.h"

#define LOOK_NS 50000 /* between two looks while waiting */

static struct otp_hook_state idle;
_Atomic(struct otp_hook_state *) otp_hook_state_now = &idle;

int otp_hook_state_make(void) {
    if (otp_hook_state() != &idle)
        return 0;
    void *memory;
    int result = otp_hook_memory_new(sizeof(struct otp_hook_state), "the state of the hooks", &memory);
    if (!result)
        atomic_store_explicit(&otp_hook_state_now, memory, memory_order_release);
    return result;
}

void otp_hook_new_run(void) {
    uint64_t run = otp_clock_ns(CLOCK_REALTIME) << 16 ^ (uint64_t)getpid();
    atomic_fetch_add(&otp_hook_state()->seed, run);
    atomic_store(&otp_hook_state()->run, run);
}

static bool wait_for(unsigned phase, uint64_t deadline_ns) {
    while (atomic_load(&otp_hook_state()->readers[phase].count)) {
        if (otp_clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
            return false;
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    }
    return true;
}

/*
 * Twice, as in sleepable RCU: a hook may have read the phase long ago and count itself in only now, in the half that
 * was waited for last time.
 */
bool otp_hook_wait(uint64_t deadline_ns) {
    for (int i = 0; i < 2; i++) {
        unsigned before = atomic_fetch_add(&otp_hook_state()->phase, 1) & 1;
        if (!wait_for(before, deadline_ns))
            return false;
    }
    return true;
}

/* The copies that are shown, and those for the next time. Both may be in use only where a hook was left behind. */
static struct {
    struct otp_tables_memory tables;
    struct otp_walker walker;
} shown[2];
static unsigned next_shown;

void otp_hook_show_tables(const struct otp_tables_memory *tables, const struct otp_walker *walker) {
    struct otp_hook_state *state = otp_hook_state();
    shown[next_shown].tables = *tables;
    if (walker)
        shown[next_shown].walker = *walker;
    atomic_store(&state->tables, &shown[next_shown].tables);
    atomic_store(&state->walker, walker ? &shown[next_shown].walker : NULL);
}

bool otp_hook_objects_changed(void) { return atomic_exchange(&otp_hook_state()->objects_changed, false); }

void otp_hook_drop_walker(void) { atomic_store(&otp_hook_state()->walker, NULL); }

/* A hook that is left behind may be looking at the copy: the other one is used from then on. */
bool otp_hook_hide_tables(uint64_t deadline_ns) {
    otp_hook_drop_walker();
    if (!atomic_exchange(&otp_hook_state()->tables, NULL) || otp_hook_wait(deadline_ns))
        return true;
    next_shown ^= 1;
    return false;
}

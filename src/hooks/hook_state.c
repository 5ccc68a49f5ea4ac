// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_state.h"

#include <time.h>

#include "base/clock.h"
#include "hooks/hook_memory.h"

#define LOOK_NS 50000 /* between two looks while waiting */

static struct otp_hook_state idle;
struct otp_hook_state *otp_hook_state = &idle;

int otp_hook_state_make(void) {
    if (otp_hook_state != &idle)
        return 0;
    void *memory;
    int result = otp_hook_memory_new(sizeof(struct otp_hook_state), "the state of the hooks", &memory);
    if (!result)
        otp_hook_state = memory;
    return result;
}

static bool wait_for(unsigned phase, uint64_t deadline_ns) {
    while (atomic_load(&otp_hook_state->readers[phase].count)) {
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
        unsigned before = atomic_fetch_add(&otp_hook_state->phase, 1) & 1;
        if (!wait_for(before, deadline_ns))
            return false;
    }
    return true;
}

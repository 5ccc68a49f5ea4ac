// SPDX-License-Identifier: Apache-2.0
#include "hooks/locks.h"

#include "hooks/draw.h"
#include "hooks/hook_state.h"

void otp_locks_enable(uint64_t interval_ns) {
    for (int i = 0; i < OTP_WAIT_CLASSES; i++)
        otp_locks_set_interval((enum otp_wait_class)i, interval_ns);
    otp_locks_set_thinning(0);
    otp_hook_new_run();
    atomic_fetch_or(&otp_hook_state()->enabled, OTP_HOOK_LOCK);
}

bool otp_locks_disable(uint64_t deadline_ns) {
    atomic_fetch_and(&otp_hook_state()->enabled, ~(uint32_t)OTP_HOOK_LOCK);
    return otp_hook_wait(deadline_ns);
}

bool otp_locks_are_on(void) { return otp_hook_on(OTP_HOOK_LOCK); }

void otp_locks_set_interval(enum otp_wait_class class, uint64_t interval_ns) {
    if (interval_ns > OTP_DRAW_INTERVAL_MAX)
        interval_ns = OTP_DRAW_INTERVAL_MAX;
    atomic_store(&otp_hook_state()->wait_interval[class], interval_ns ? interval_ns : 1);
}

uint64_t otp_locks_interval(enum otp_wait_class class) { return atomic_load(&otp_hook_state()->wait_interval[class]); }

void otp_locks_set_thinning(uint32_t power) {
    atomic_store(&otp_hook_state()->release_thinning, power < OTP_THINNING_MAX ? power : OTP_THINNING_MAX);
}

uint32_t otp_locks_thinning(void) { return atomic_load(&otp_hook_state()->release_thinning); }

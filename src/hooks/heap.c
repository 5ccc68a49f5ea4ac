// SPDX-License-Identifier: Apache-2.0
#include "hooks/heap.h"

#include "hooks/draw.h"
#include "hooks/hook_state.h"

void otp_heap_enable(uint64_t interval_bytes) {
    otp_heap_set_interval(interval_bytes);
    otp_hook_new_run();
    atomic_fetch_or(&otp_hook_state()->enabled, OTP_HOOK_HEAP);
}

bool otp_heap_disable(uint64_t deadline_ns) {
    atomic_fetch_and(&otp_hook_state()->enabled, ~(uint32_t)OTP_HOOK_HEAP);
    return otp_hook_wait(deadline_ns);
}

bool otp_heap_is_on(void) { return otp_hook_on(OTP_HOOK_HEAP); }

void otp_heap_set_interval(uint64_t interval_bytes) {
    if (interval_bytes > OTP_DRAW_INTERVAL_MAX)
        interval_bytes = OTP_DRAW_INTERVAL_MAX;
    atomic_store(&otp_hook_state()->interval, interval_bytes ? interval_bytes : 1);
}

uint64_t otp_heap_interval(void) { return atomic_load(&otp_hook_state()->interval); }

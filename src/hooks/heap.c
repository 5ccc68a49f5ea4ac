// SPDX-License-Identifier: Apache-2.0
#include "hooks/heap.h"

#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "hooks/heap_sampler.h"
#include "hooks/hook_state.h"
#include "hooks/live_blocks.h"

/* Two threads of the host may switch it on at once. Held for a few mappings: never while the loader is asked. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static int make_memory(uint32_t live_max) {
    pthread_mutex_lock(&making);
    int result = otp_hook_state_make();
    if (!result)
        result = otp_hook_ring_make();
    if (!result)
        result = otp_live_make(live_max);
    pthread_mutex_unlock(&making);
    return result;
}

int otp_heap_install(uint32_t live_max) {
    int result = make_memory(live_max);
    if (!result)
        result = otp_patch_install();
    if (result)
        otp_patch_remove();
    return result;
}

void otp_heap_remove(void) { otp_patch_remove(); }

void otp_heap_enable(uint64_t interval_bytes) {
    otp_heap_set_interval(interval_bytes);
    /* Each run of the program, and each worker of it, is another sample of the same allocations. */
    uint64_t run = otp_clock_ns(CLOCK_REALTIME) << 16 ^ (uint64_t)getpid();
    atomic_fetch_add(&otp_hook_state()->seed, run);
    atomic_store(&otp_hook_state()->run, run);
    atomic_fetch_or(&otp_hook_state()->enabled, OTP_HOOK_HEAP);
}

bool otp_heap_disable(uint64_t deadline_ns) {
    atomic_fetch_and(&otp_hook_state()->enabled, ~(uint32_t)OTP_HOOK_HEAP);
    return otp_hook_wait(deadline_ns);
}

bool otp_heap_is_on(void) { return otp_hook_on(OTP_HOOK_HEAP); }

void otp_heap_set_interval(uint64_t interval_bytes) {
    if (interval_bytes > OTP_SAMPLER_INTERVAL_MAX)
        interval_bytes = OTP_SAMPLER_INTERVAL_MAX;
    atomic_store(&otp_hook_state()->interval, interval_bytes ? interval_bytes : 1);
}

uint64_t otp_heap_interval(void) { return atomic_load(&otp_hook_state()->interval); }

void otp_heap_forked_child(void) {
    pthread_mutex_init(&making, NULL); /* another thread of the parent may have held it */
    otp_patch_forked_child();
}

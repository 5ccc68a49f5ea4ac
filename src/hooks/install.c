// SPDX-License-Identifier: Apache-2.0
#include "hooks/install.h"

#include <pthread.h>

#include "hooks/hook_ring.h"
#include "hooks/live_blocks.h"
#include "hooks/lock_board.h"

/* Two threads of the host may switch something on at once. Held for a few mappings: never while the loader is asked. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static int make_memory(uint32_t types, uint32_t live_max) {
    pthread_mutex_lock(&making);
    int result = otp_hook_state_make();
    if (!result)
        result = otp_hook_ring_make();
    if (!result && (types & OTP_HOOK_HEAP))
        result = otp_live_make(live_max);
    if (!result && (types & OTP_HOOK_LOCK))
        result = otp_lock_board_make();
    pthread_mutex_unlock(&making);
    return result;
}

int otp_hooks_install(uint32_t types, uint32_t live_max) {
    int result = make_memory(types, live_max);
    if (!result)
        result = otp_patch_install(types);
    if (result)
        otp_patch_remove(types);
    return result;
}

void otp_hooks_remove(uint32_t types) { otp_patch_remove(types); }

void otp_hooks_forked_child(void) {
    pthread_mutex_init(&making, NULL); /* another thread of the parent may have held it */
    otp_patch_forked_child();
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Has words lead to hooks and puts them back. Takes the loader's lock: on threads of the host. The hooks stay idle
 * until the profiler thread enables their type (heap.h, locks.h).
 */
#ifndef OTP_HOOKS_INSTALL_H
#define OTP_HOOKS_INSTALL_H

#include <stdint.h>

#include "hooks/hook_state.h"
#include "hooks/patch.h"

/*
 * Makes what the hooks of these types (enum otp_hook_type) need, with room for `live_max` live blocks, and has the
 * words of all objects lead to them. 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL, with a sentence. Any thread of the host.
 */
int otp_hooks_install(uint32_t types, uint32_t live_max);

/* Puts their words back. */
void otp_hooks_remove(uint32_t types);

/* In a forked child. Async-signal-safe. */
void otp_hooks_forked_child(void);

#endif

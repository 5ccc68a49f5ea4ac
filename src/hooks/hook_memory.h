// SPDX-License-Identifier: Apache-2.0
/* Memory that hooks use: mapped for good, because a hook may be looking at it at any time, and wiped in a child. */
#ifndef OTP_HOOKS_HOOK_MEMORY_H
#define OTP_HOOKS_HOOK_MEMORY_H

#include <stddef.h>

/* Zeroed pages. `what` it is for. 0, OTELPROF_E_MEMORY, OTELPROF_E_KERNEL, with a sentence. */
int otp_hook_memory_new(size_t size, const char *what, void **memory);

#endif

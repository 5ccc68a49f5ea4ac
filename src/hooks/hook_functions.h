// SPDX-License-Identifier: Apache-2.0
/* The hooks themselves. Their arguments are those of the functions that they stand in front of; see hook_table.h. */
#ifndef OTP_HOOKS_HOOK_FUNCTIONS_H
#define OTP_HOOKS_HOOK_FUNCTIONS_H

#include <stddef.h>

#include "hooks/hook_capture.h"

struct otp_nothrow; /* std::nothrow_t */

OTP_HOOK_FUNCTION void *otp_hook_malloc(size_t size);
OTP_HOOK_FUNCTION void *otp_hook_calloc(size_t count, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_realloc(void *block, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_reallocarray(void *block, size_t count, size_t size);
OTP_HOOK_FUNCTION void otp_hook_free(void *block);
OTP_HOOK_FUNCTION void *otp_hook_aligned_alloc(size_t alignment, size_t size);
OTP_HOOK_FUNCTION int otp_hook_posix_memalign(void **block, size_t alignment, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_memalign(size_t alignment, size_t size);
OTP_HOOK_FUNCTION void *otp_hook_valloc(size_t size);
OTP_HOOK_FUNCTION void *otp_hook_pvalloc(size_t size);

OTP_HOOK_FUNCTION void *otp_hook__Znwm(size_t size);
OTP_HOOK_FUNCTION void *otp_hook__Znam(size_t size);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmRKSt9nothrow_t(size_t size, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnamRKSt9nothrow_t(size_t size, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmSt11align_val_t(size_t size, size_t alignment);
OTP_HOOK_FUNCTION void *otp_hook__ZnamSt11align_val_t(size_t size, size_t alignment);
OTP_HOOK_FUNCTION void *otp_hook__ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void *otp_hook__ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdlPv(void *block);
OTP_HOOK_FUNCTION void otp_hook__ZdaPv(void *block);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvm(void *block, size_t size);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvm(void *block, size_t size);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvRKSt9nothrow_t(void *block, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvRKSt9nothrow_t(void *block, const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvSt11align_val_t(void *block, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvSt11align_val_t(void *block, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
OTP_HOOK_FUNCTION void otp_hook__ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);
OTP_HOOK_FUNCTION void otp_hook__ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                                    const struct otp_nothrow *nothrow);

OTP_HOOK_FUNCTION void *otp_hook_dlopen(const char *file, int flags);
OTP_HOOK_FUNCTION int otp_hook_dlclose(void *handle);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Large blocks as mappings of their own. What is taken for a short while goes back to the system at once, and does not
 * stay behind in the host's allocator, which may keep what it was given for long (jemalloc: dirty pages of an arena
 * that nobody uses again).
 */
#ifndef OTP_BASE_PAGES_H
#define OTP_BASE_PAGES_H

#include <stddef.h>

/* Zeroed, aligned to a page. NULL when out of memory. */
void *otp_pages_alloc(size_t size);

/* Takes NULL; `size` as it was asked for. */
void otp_pages_free(void *pages, size_t size);

#endif

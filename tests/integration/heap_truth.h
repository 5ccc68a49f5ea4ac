// SPDX-License-Identifier: Apache-2.0
/* The part of heap_truth that is C++. */
#ifndef OTP_TESTS_HEAP_TRUTH_H
#define OTP_TESTS_HEAP_TRUTH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *site_new(size_t size);
void release_new(void *block);

#ifdef __cplusplus
}
#endif

#endif

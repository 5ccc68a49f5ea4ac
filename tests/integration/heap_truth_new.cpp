// SPDX-License-Identifier: Apache-2.0
/* new[] and delete[]. */
#include "heap_truth.h"

#include <new>

__attribute__((noinline)) void *site_new(size_t size) {
    char *volatile block = new (std::nothrow) char[size];
    return block;
}

__attribute__((noinline)) void release_new(void *block) { delete[] static_cast<char *>(block); }

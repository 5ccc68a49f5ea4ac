// SPDX-License-Identifier: Apache-2.0
/* new[] and delete[], those with an alignment too. */
#include "heap_truth.h"

#include <new>

static constexpr std::align_val_t alignment{64};

__attribute__((noinline)) void *site_new(void *, size_t size) {
    char *volatile block = new char[size];
    return block;
}

__attribute__((noinline)) void *site_new_aligned(void *, size_t size) {
    char *volatile block = new (alignment) char[size];
    return block;
}

__attribute__((noinline)) void heap_release_new(void *block) { delete[] static_cast<char *>(block); }

__attribute__((noinline)) void heap_release_new_aligned(void *block) { ::operator delete[](block, alignment); }

// SPDX-License-Identifier: Apache-2.0
/* A library that heap_hosts loads later: its calls of malloc and free go through words of its own. */
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) void *module_allocate(size_t size);
__attribute__((visibility("default"))) void module_release(void *block);

static void *at_load;

__attribute__((constructor)) static void load(void) { at_load = malloc(100000); }

__attribute__((destructor)) static void unload(void) { free(at_load); }

__attribute__((noinline)) void *module_allocate(size_t size) {
    void *block = malloc(size);
    if (block)
        memset(block, 1, size < 64 ? size : 64);
    return block;
}

__attribute__((noinline)) void module_release(void *block) { free(block); }

// SPDX-License-Identifier: Apache-2.0
/*
 * A program that brings an allocator of its own, as one that is linked with a static jemalloc does: what it calls
 * itself goes through no word, what libraries call does. Prints the diagnosis.
 */
#include <errno.h>
#include <malloc.h>
#include <otelprof/otelprof.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"

/* Blocks are never used again. Each has its size before it. */
#define AREA_BYTES ((size_t)1 << 30)

static char *area;
static _Atomic size_t used;

static void *take(size_t alignment, size_t size) {
    if (!area) {
        char *new_area =
            mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (new_area == MAP_FAILED)
            return NULL;
        area = new_area;
    }
    size_t whole = size + alignment + 32;
    size_t at = atomic_fetch_add(&used, (whole + 15) & ~(size_t)15);
    if (size > AREA_BYTES || at + whole > AREA_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t block = ((uintptr_t)area + at + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1);
    memcpy((char *)block - sizeof(size), &size, sizeof(size));
    return (void *)block;
}

__attribute__((visibility("default"))) void *malloc(size_t size) { return take(16, size); }

__attribute__((visibility("default"))) void free(void *block) { (void)block; }

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : take(16, bytes); /* fresh pages are zero */
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size) {
    size_t before = 0;
    void *larger = take(16, size);
    if (block)
        memcpy(&before, (char *)block - sizeof(before), sizeof(before));
    if (larger && block)
        memcpy(larger, block, before < size ? before : size);
    return larger;
}

__attribute__((visibility("default"))) int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = take(alignment, size);
    return *block ? 0 : ENOMEM;
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size) {
    return take(alignment, size);
}

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size) { return take(alignment, size); }

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    struct otelprof_stats stats = {.size = sizeof(stats)};
    char text[2048];
    options.output_dir = argc > 1 ? argv[1] : NULL;
    options.start_timeout_ms = 20000;
    options.heap_interval_bytes = 1;
    GIVES(0, otelprof_init(&options));
    GIVES(OTELPROF_STATE_DEGRADED, otelprof_state());
    otelprof_diagnose(text, sizeof(text));
    puts(text);
    for (int i = 0; i < 2000; i++) { /* the first 16 KiB of a thread may go unseen */
        char *copy = strdup("a call of malloc in the C library");
        free(copy);
        free(malloc(1000));
    }
    GIVES(0, otelprof_flush(10000));
    otelprof_stats(&stats);
    expect(stats.heap_samples > 1000 && stats.heap_samples < 2200, __LINE__, "%llu samples",
           (unsigned long long)stats.heap_samples);
    GIVES(0, stats.heap_live_blocks);
    GIVES(0, otelprof_shutdown(10000));
    return atomic_load(&expect_failures) != 0;
}

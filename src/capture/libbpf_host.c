// SPDX-License-Identifier: Apache-2.0
#include "capture/libbpf_host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pages.h"

/* cmake/OtelprofDependencies.cmake renames in our copy of libbpf what is defined here under otelprof_bpf_*. */

/* Where it prints when no print function is set; one always is. */
FILE *otelprof_bpf_stderr;

static int print_to_log(enum libbpf_print_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static int print_to_log(enum libbpf_print_level level, const char *format, va_list arguments) {
    char text[512];
    int length = vsnprintf(text, sizeof(text), format, arguments);
    while (length > 0 && (size_t)length < sizeof(text) && text[length - 1] == '\n')
        text[--length] = 0;
    /* What is fatal comes back as an error of ours, with a sentence; these are details for people who debug. */
    (void)level;
    otp_log(OTELPROF_LOG_DEBUG, "libbpf: %s", text);
    return 0;
}

void otp_libbpf_host_set_up(void) {
    libbpf_set_print(print_to_log);
    libbpf_set_memlock_rlim(0); /* libbpf would raise the host's RLIMIT_MEMLOCK */
}

/* ---------------------------------------------------------------------------------------------- memory */

/*
 * It reads the kernel's BTF twice, 11 MB, for the few milliseconds of a load. Large blocks are pages of their own, kept
 * in a list without a lock (a child may be forked at any time); all else is the C library's.
 */
#define LARGE ((size_t)128 << 10)
#define LARGE_MAX 64 /* a load has three at a time; beyond the list, blocks are the C library's too */

static struct {
    _Atomic(void *) block; /* NULL: free place */
    size_t size;
} large_blocks[LARGE_MAX];

void *otelprof_bpf_malloc(size_t size);
void *otelprof_bpf_calloc(size_t count, size_t size);
void *otelprof_bpf_realloc(void *block, size_t size);
void otelprof_bpf_free(void *block);

/* The place of a large block in the list, or -1. */
static int place_of(const void *block) {
    for (int i = 0; block && i < LARGE_MAX; i++) {
        if (atomic_load(&large_blocks[i].block) == block)
            return i;
    }
    return -1;
}

/* NULL when out of memory, or the list is full. */
static void *large(size_t size) {
    void *block = otp_pages_alloc(size);
    for (int i = 0; block && i < LARGE_MAX; i++) {
        void *none = NULL;
        if (!atomic_compare_exchange_strong(&large_blocks[i].block, &none, block))
            continue;
        large_blocks[i].size = size; /* read by whoever has the block, which nobody has yet */
        return block;
    }
    otp_pages_free(block, size);
    return NULL;
}

void *otelprof_bpf_malloc(size_t size) {
    void *block = size >= LARGE ? large(size) : NULL;
    return block ? block : malloc(size);
}

void *otelprof_bpf_calloc(size_t count, size_t size) {
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole))
        return NULL;
    void *block = whole >= LARGE ? large(whole) : NULL; /* pages are zeroed */
    return block ? block : calloc(count, size);
}

void otelprof_bpf_free(void *block) {
    int place = place_of(block);
    if (place < 0) {
        free(block);
        return;
    }
    size_t size = large_blocks[place].size;
    atomic_store(&large_blocks[place].block, NULL);
    otp_pages_free(block, size);
}

/* A block that began small stays the C library's. */
void *otelprof_bpf_realloc(void *block, size_t size) {
    int place = place_of(block);
    if (place < 0)
        return block ? realloc(block, size) : otelprof_bpf_malloc(size);
    void *moved = otelprof_bpf_malloc(size);
    if (!moved)
        return NULL;
    size_t old = large_blocks[place].size;
    memcpy(moved, block, old < size ? old : size);
    otelprof_bpf_free(block);
    return moved;
}

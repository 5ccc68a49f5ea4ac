// SPDX-License-Identifier: Apache-2.0
#include "capture/libbpf_host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
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
 * It reads the kernel's BTF twice, 11 MB, for the few milliseconds of a load. Large blocks are pages of their own, all
 * else is the C library's. A large block begins 64 bytes into its first page; the words before it tell it from any
 * other pointer.
 */

#define LARGE ((size_t)128 << 10)
#define OFFSET 64
#define PAGE_MASK 4095u
#define MAGIC UINT64_C(0x6f74656c70726f66) /* "otelprof" */

struct head {
    uint64_t magic; /* MAGIC ^ its own address */
    uint64_t size;  /* of the mapping */
};

void *otelprof_bpf_malloc(size_t size);
void *otelprof_bpf_calloc(size_t count, size_t size);
void *otelprof_bpf_realloc(void *block, size_t size);
void otelprof_bpf_free(void *block);

/* The head of a large block, or NULL. Reads within the page of `block` only, which is there. */
__attribute__((no_sanitize("address"))) static struct head *head_of(void *block) {
    if (((uintptr_t)block & PAGE_MASK) != OFFSET)
        return NULL;
    struct head *head = (struct head *)(void *)((char *)block - OFFSET);
    return head->magic == (MAGIC ^ (uint64_t)(uintptr_t)head) ? head : NULL;
}

static void *large(size_t size) {
    struct head *head = size > SIZE_MAX - OFFSET ? NULL : otp_pages_alloc(size + OFFSET);
    if (!head)
        return NULL;
    head->magic = MAGIC ^ (uint64_t)(uintptr_t)head;
    head->size = size + OFFSET;
    return (char *)head + OFFSET;
}

void *otelprof_bpf_malloc(size_t size) { return size >= LARGE ? large(size) : malloc(size); }

void *otelprof_bpf_calloc(size_t count, size_t size) {
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole))
        return NULL;
    return whole >= LARGE ? large(whole) : calloc(count, size);
}

void otelprof_bpf_free(void *block) {
    struct head *head = head_of(block);
    if (head)
        otp_pages_free(head, head->size);
    else
        free(block);
}

/* A block that began small stays the C library's. */
void *otelprof_bpf_realloc(void *block, size_t size) {
    struct head *head = head_of(block);
    if (!head)
        return block ? realloc(block, size) : otelprof_bpf_malloc(size);
    void *moved = otelprof_bpf_malloc(size);
    if (!moved)
        return NULL;
    size_t old = head->size - OFFSET;
    memcpy(moved, block, old < size ? old : size);
    otelprof_bpf_free(block);
    return moved;
}

// SPDX-License-Identifier: Apache-2.0
#include "heap_truth.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

#define NOINLINE __attribute__((noinline))
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

void *(*heap_module_allocate)(size_t size);
void (*heap_module_release)(void *block);

/* ---------------------------------------------------------------------------------------------- functions */

/* Their numbers make equal functions differ, so that the compiler does not make one of two. */
#define DISTINCT(number) __asm__ volatile("" ::"i"(number))

#define CALL(name)                                                                                                     \
    static NOINLINE void *call_##name(void *block, size_t size) {                                                      \
        void *made = site_##name(block, size);                                                                         \
        DISTINCT(2 * __LINE__);                                                                                        \
        return made;                                                                                                   \
    }

#define SITE(name, expression)                                                                                         \
    static NOINLINE void *site_##name(void *block, size_t size) {                                                      \
        (void)block;                                                                                                   \
        void *made = expression;                                                                                       \
        DISTINCT(2 * __LINE__ + 1);                                                                                    \
        return made;                                                                                                   \
    }                                                                                                                  \
    CALL(name)

SITE(8, malloc(size))
SITE(64, malloc(size))
SITE(mixed, malloc(size))
SITE(4k, malloc(size))
SITE(100k, malloc(size))
SITE(1m, malloc(size))
SITE(64m, malloc(size))
SITE(leak, malloc(size))
SITE(handed, malloc(size))
SITE(callback, malloc(size))
SITE(calloc, calloc(size / 50, 50))
SITE(resized, realloc(block, size))
SITE(remapped, realloc(block, size))
SITE(module, heap_module_allocate(size))
SITE(late, malloc(size))
CALL(new)
CALL(new_aligned)

static NOINLINE void *site_aligned(void *block, size_t size) {
    static _Thread_local unsigned turn;
    void *made = NULL;
    (void)block;
    switch (turn++ % 3) {
    case 0:
        GIVES(0, posix_memalign(&made, 64, size));
        break;
    case 1:
        made = aligned_alloc(32, size);
        break;
    default:
        made = memalign(256, size);
    }
    return made;
}

static NOINLINE void *site_strdup(void *block, size_t size) {
    static _Thread_local char text[4096];
    (void)block;
    memset(text, 'x', size - 1);
    text[size - 1] = 0;
    void *made = strdup(text);
    DISTINCT(__LINE__);
    return made;
}

static NOINLINE void *site_asprintf(void *block, size_t size) {
    char *made = NULL;
    (void)block;
    GIVES(size - 1, asprintf(&made, "%*s", (int)size - 1, "x"));
    return made;
}

/* Requests for nothing: they give a block, and are never chosen. */
static NOINLINE void *site_zero(void *block, size_t size) {
    static _Thread_local unsigned turn;
    void *made = turn++ % 2 ? malloc(size) : calloc(size, 8);
    (void)block;
    DISTINCT(__LINE__);
    return made;
}

/* Requests that no allocator grants. */
static NOINLINE void *site_refused(void *block, size_t size) {
    static _Thread_local unsigned turn;
    void *made = NULL;
    (void)block;
    switch (turn++ % 5) {
    case 0:
        return malloc(size);
    case 1:
        return calloc(size, 8);
    case 2:
        return realloc(NULL, size);
    case 3:
        GIVES(EINVAL, posix_memalign(&made, 3, 1 * MIB));
        return made;
    default:
        return aligned_alloc(64, size);
    }
}

CALL(aligned)
CALL(strdup)
CALL(asprintf)
CALL(zero)
CALL(refused)

/* `free` as data: a word that the loader fills. */
static const struct { void (*destroy)(void *block); } operations = {.destroy = free};

static void destroy(void *block) { operations.destroy(block); }
static void release_in_module(void *block) { heap_module_release(block); }

/* ------------------------------------------------------------------------------------------------- table */

/* So many small blocks that `samples` are chosen, about. */
#define SMALL(samples, size) (unsigned)((uint64_t)(samples)*HEAP_INTERVAL / (size))

/*
 * A row is judged from 400 chosen blocks on, and from 100 that are not chosen; those of 1 MiB and more all are. What is
 * kept gives half or a quarter of the samples.
 */
#define ABSURD ((size_t)1 << 62)
const struct heap_site heap_sites[] = {
    {.name = "8", .call = call_8, .release = free, .least = 8, .most = 8, .count = SMALL(1100, 8), .keep = 2},
    {.name = "64",
     .call = call_64,
     .release = free,
     .route = "/small",
     .least = 64,
     .most = 64,
     .count = SMALL(3000, 64),
     .keep = 4},
    {.name = "mixed",
     .call = call_mixed,
     .release = free,
     .route = "/small",
     .least = 16, /* one block of a byte, chosen in one run of 200, would count for 65,536 of its 160,000 objects */
     .most = 600,
     .count = SMALL(3000, 300),
     .keep = 4},
    {.name = "4k",
     .call = call_4k,
     .release = free,
     .route = "/pages",
     .least = 4 * KIB,
     .most = 4 * KIB,
     .count = SMALL(3000, 4 * KIB),
     .keep = 4},
    {.name = "100k",
     .call = call_100k,
     .release = free,
     .route = "/pages",
     .least = 100 * KIB,
     .most = 100 * KIB,
     .count = 3000,
     .keep = 2},
    {.name = "1m",
     .call = call_1m,
     .release = free,
     .route = "/large",
     .least = MIB,
     .most = MIB,
     .count = 60,
     .keep = 4},
    {.name = "64m", .call = call_64m, .release = free, .least = 64 * MIB, .most = 64 * MIB, .count = 24, .keep = 6},
    {.name = "leak",
     .call = call_leak,
     .release = free,
     .route = "/leak",
     .least = 2000,
     .most = 2000,
     .count = SMALL(700, 2000),
     .keep = 1,
     .one_span = 1,
     .outlives = 1},
    {.name = "resized",
     .call = call_resized,
     .release = free,
     .route = "/resized",
     .least = 100,
     .most = 100,
     .count = SMALL(600, 1500),
     .keep = 1,
     .steps = {900, 3000, 200, 2500, 1500}},
    {.name = "remapped",
     .call = call_remapped,
     .release = free,
     .least = 160 * KIB,
     .most = 160 * KIB,
     .count = 1200,
     .keep = 1,
     .steps = {700 * KIB, 200 * KIB, 136 * KIB}},
    {.name = "handed",
     .call = call_handed,
     .release = free,
     .route = "/handed",
     .least = 500,
     .most = 500,
     .count = SMALL(3000, 500),
     .keep = 4,
     .fate = HEAP_HANDED_ON},
    {.name = "callback",
     .call = call_callback,
     .release = destroy,
     .least = 260,
     .most = 260,
     .count = SMALL(3000, 260),
     .keep = 4},
    {.name = "new",
     .call = call_new,
     .release = heap_release_new,
     .route = "/new",
     .above = "libstdc++.so",
     .least = 700,
     .most = 700,
     .count = SMALL(3000, 700),
     .keep = 4},
    {.name = "new_aligned",
     .call = call_new_aligned,
     .release = heap_release_new_aligned,
     .above = "libstdc++.so",
     .least = 704,
     .most = 704,
     .count = SMALL(3000, 704),
     .keep = 4},
    {.name = "aligned",
     .call = call_aligned,
     .release = free,
     .least = 896,
     .most = 896,
     .count = SMALL(3000, 896),
     .keep = 4},
    {.name = "calloc",
     .call = call_calloc,
     .release = free,
     .route = "/zeroed",
     .least = 750,
     .most = 750,
     .count = SMALL(3000, 750),
     .keep = 4},
    {.name = "strdup",
     .call = call_strdup,
     .release = free,
     .above = "libc.so",
     .least = 400,
     .most = 400,
     .count = SMALL(3000, 400),
     .keep = 4},
    {.name = "asprintf",
     .call = call_asprintf,
     .release = free,
     .route = "/text",
     .above = "libc.so",
     .least = 450,
     .most = 450,
     .count = SMALL(2000, 450),
     .keep = 3,
     .asks_more = 1},
    {.name = "module",
     .call = call_module,
     .release = release_in_module,
     .route = "/module",
     .above = "heap_module.so",
     .least = 1500,
     .most = 1500,
     .count = SMALL(3000, 1500),
     .keep = 4,
     .when = HEAP_MODULE_LOADED},
    {.name = "zero", .call = call_zero, .release = free, .least = 0, .most = 0, .count = 1000000, .keep = 20000},
    {.name = "refused",
     .call = call_refused,
     .release = free,
     .least = ABSURD,
     .most = ABSURD,
     .count = 10000,
     .refused = 1},
    {.name = "late",
     .call = call_late,
     .release = free,
     .route = "/late",
     .least = MIB,
     .most = MIB,
     .count = 16,
     .when = HEAP_AT_THE_END},
};
const unsigned heap_site_count = sizeof(heap_sites) / sizeof(heap_sites[0]);

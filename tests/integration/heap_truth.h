// SPDX-License-Identifier: Apache-2.0
/* The places where heap_truth allocates, each a function site_NAME called by a function call_NAME. */
#ifndef OTP_TESTS_HEAP_TRUTH_H
#define OTP_TESTS_HEAP_TRUTH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HEAP_INTERVAL 65536 /* between samples, in bytes */
#define HEAP_STEPS 6

/* What happens to a block that is not kept. */
enum heap_fate { HEAP_RELEASED, HEAP_HANDED_ON };

/* When a site is at work. */
enum heap_when { HEAP_ALWAYS, HEAP_MODULE_LOADED, HEAP_AT_THE_END };

struct heap_site {
    const char *name;  /* of its function, without "site_" */
    const char *route; /* NULL: outside of spans */
    const char *above; /* whose functions stand between the site and the allocator; NULL: nobody's */
    void *(*call)(void *block, size_t size); /* call_NAME; `block` matters to the two that resize */
    void (*release)(void *block);
    size_t least, most;       /* sizes that are asked for, both inclusive */
    unsigned count;           /* of allocations, or of chains of them */
    unsigned keep;            /* one in so many is live until the end of the work; 0: none is */
    size_t steps[HEAP_STEPS]; /* a chain goes through these sizes; 0 ends the list */
    enum heap_fate fate;
    enum heap_when when;
    unsigned one_span : 1;  /* all of its spans are the same one */
    unsigned outlives : 1;  /* what is kept stays longer than that of others */
    unsigned asks_more : 1; /* the C library asks for more than what is counted */
    unsigned refused : 1;   /* nothing of it is granted */
};

extern const struct heap_site heap_sites[];
extern const unsigned heap_site_count;

/* Of the library that is loaded in the middle. */
extern void *(*heap_module_allocate)(size_t size);
extern void (*heap_module_release)(void *block);

/* The C++ part. */
void *site_new(void *block, size_t size);
void *site_new_aligned(void *block, size_t size);
void heap_release_new(void *block);
void heap_release_new_aligned(void *block);

#ifdef __cplusplus
}
#endif

#endif

// SPDX-License-Identifier: Apache-2.0
#include "core/lock_wait_graph.h"

#include <stdlib.h>

#define UNSEEN 0
#define IN_NONE UINT32_MAX

int otp_lock_wait_order(const void *left, const void *right) {
    const struct otp_wait_edge *a = left, *b = right;
    return a->waiter < b->waiter ? -1 : a->waiter > b->waiter;
}

struct otp_wait_edge *otp_lock_wait_find(struct otp_wait_edge *edges, size_t count, uint32_t waiter) {
    const struct otp_wait_edge key = {.waiter = waiter};
    return count ? bsearch(&key, edges, count, sizeof(key), otp_lock_wait_order) : NULL;
}

/* Follows the edges from `start` as far as nobody has been yet, marking them with `walk`. Where that ends; or NULL. */
static struct otp_wait_edge *follow(struct otp_wait_edge *edges, size_t count, struct otp_wait_edge *start,
                                    uint32_t walk) {
    struct otp_wait_edge *edge = start;
    while (edge && edge->cycle == UNSEEN) {
        edge->cycle = IN_NONE;
        edge->reserved = walk;
        edge = otp_lock_wait_find(edges, count, edge->owner);
    }
    return edge;
}

uint32_t otp_lock_wait_cycles(struct otp_wait_edge *edges, size_t count) {
    uint32_t cycles = 0;
    if (!count)
        return 0;
    qsort(edges, count, sizeof(*edges), otp_lock_wait_order);
    for (size_t i = 0; i < count; i++)
        edges[i].cycle = UNSEEN;
    for (size_t i = 0; i < count; i++) {
        struct otp_wait_edge *end = follow(edges, count, &edges[i], (uint32_t)i);
        /* Back on this walk's own way: a circle. */
        if (!end || end->cycle != IN_NONE || end->reserved != (uint32_t)i)
            continue;
        cycles++;
        for (struct otp_wait_edge *at = end; at->cycle != cycles; at = otp_lock_wait_find(edges, count, at->owner))
            at->cycle = cycles;
    }
    for (size_t i = 0; i < count; i++) {
        edges[i].cycle = edges[i].cycle == IN_NONE ? 0 : edges[i].cycle;
        edges[i].reserved = 0;
    }
    return cycles;
}

// SPDX-License-Identifier: Apache-2.0
/* Who waits for whom: a thread waits for one lock at most, so that a circle is found by following the edges. */
#ifndef OTP_CORE_LOCK_WAIT_GRAPH_H
#define OTP_CORE_LOCK_WAIT_GRAPH_H

#include <stddef.h>
#include <stdint.h>

struct otp_wait_edge {
    uint32_t waiter, owner; /* threads */
    uint32_t cycle;         /* number of the circle that it is in, from 1; 0: in none */
    uint32_t reserved;
    uint64_t lock;
    uint64_t switches; /* of the waiter, as counted when the edge was seen */
};

/* Sorts the edges by waiter, of whom each has one, and numbers the circles. Returns how many there are. */
uint32_t otp_lock_wait_cycles(struct otp_wait_edge *edges, size_t count);

/* The order of sorted edges, as qsort(3) wants it. */
int otp_lock_wait_order(const void *left, const void *right);

/* The edge of a waiter in sorted edges, or NULL. */
struct otp_wait_edge *otp_lock_wait_find(struct otp_wait_edge *edges, size_t count, uint32_t waiter);

#endif

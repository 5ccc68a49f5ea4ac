// SPDX-License-Identifier: Apache-2.0
#include "core/deadlock_watch.h"

#include <stdlib.h>

#include "base/sys.h"

static bool same(const struct otp_wait_edge *now, const struct otp_wait_edge *then) {
    return now && now->owner == then->owner && now->lock == then->lock && now->switches == then->switches;
}

/* Removes the circles of `list` of which not every edge is among `edges` as it was. */
static void keep_unchanged(struct otp_wait_edge *list, size_t *list_count, struct otp_wait_edge *edges, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < *list_count; i++) {
        if (same(otp_lock_wait_find(edges, count, list[i].waiter), &list[i]))
            continue;
        uint32_t broken = list[i].cycle;
        for (size_t j = 0; j < *list_count && broken; j++) {
            if (list[j].cycle == broken)
                list[j].cycle = 0;
        }
    }
    for (size_t i = 0; i < *list_count; i++) {
        if (list[i].cycle)
            list[kept++] = list[i];
    }
    *list_count = kept;
}

/* A list with room for `more`. NULL when out of memory: the old one stays. */
static struct otp_wait_edge *with_room(struct otp_wait_edge *list, size_t count, size_t more) {
    return otp_sys.realloc(list, (count + more) * sizeof(*list));
}

bool otp_deadlock_watch_suspect(struct otp_deadlock_watch *watch, struct otp_wait_edge *edges, size_t count) {
    watch->suspect_count = 0;
    uint32_t cycles = otp_lock_wait_cycles(edges, count);
    keep_unchanged(watch->known, &watch->known_count, edges, count);
    if (!cycles)
        return false;
    struct otp_wait_edge *list = with_room(watch->suspects, 0, count);
    if (!list)
        return false;
    watch->suspects = list;
    for (size_t i = 0; i < count; i++) {
        if (edges[i].cycle && !otp_deadlock_watch_of(watch, edges[i].waiter))
            list[watch->suspect_count++] = edges[i];
    }
    return watch->suspect_count > 0;
}

/* Moves the edges of one circle from the suspects to those known, as a deadlock of the next number. */
static void take_over(struct otp_deadlock_watch *watch, uint32_t cycle, otp_deadlock_fn report, void *user) {
    struct otp_wait_edge *list = with_room(watch->known, watch->known_count, watch->suspect_count);
    if (!list)
        return;
    watch->known = list;
    size_t first = watch->known_count;
    watch->found++;
    for (size_t i = 0; i < watch->suspect_count; i++) {
        if (watch->suspects[i].cycle != cycle)
            continue;
        list[watch->known_count] = watch->suspects[i];
        list[watch->known_count++].cycle = watch->found;
    }
    report(user, watch->found, list + first, watch->known_count - first);
    qsort(list, watch->known_count, sizeof(*list), otp_lock_wait_order);
}

void otp_deadlock_watch_verify(struct otp_deadlock_watch *watch, struct otp_wait_edge *edges, size_t count,
                               otp_deadlock_fn report, void *user) {
    otp_lock_wait_cycles(edges, count);
    keep_unchanged(watch->suspects, &watch->suspect_count, edges, count);
    uint32_t told = 0;
    for (size_t i = 0; i < watch->suspect_count; i++) { /* circles stand in the order of neither number nor place */
        uint32_t cycle = 0;
        for (size_t j = 0; j < watch->suspect_count; j++) {
            uint32_t other = watch->suspects[j].cycle;
            if (other > told && (!cycle || other < cycle))
                cycle = other;
        }
        if (!cycle)
            break;
        told = cycle;
        take_over(watch, cycle, report, user);
    }
    watch->suspect_count = 0;
}

uint32_t otp_deadlock_watch_of(const struct otp_deadlock_watch *watch, uint32_t thread) {
    const struct otp_wait_edge *edge = otp_lock_wait_find(watch->known, watch->known_count, thread);
    return edge ? edge->cycle : 0;
}

void otp_deadlock_watch_free(struct otp_deadlock_watch *watch) {
    free(watch->suspects);
    free(watch->known);
    watch->suspects = watch->known = NULL;
    watch->suspect_count = watch->known_count = 0;
}

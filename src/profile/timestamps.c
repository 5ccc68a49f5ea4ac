// SPDX-License-Identifier: Apache-2.0
#include "profile/timestamps.h"

#include <string.h>

#include "base/arena.h"
#include "profile/window.h"

/* Most groups have one or two; a hot one fills chunks of a page. */
#define FIRST_CAPACITY 2
#define LAST_CAPACITY 510

static struct otp_timestamp_chunk *add_chunk(struct otp_arena *arena, struct otp_timestamp_list *list) {
    uint32_t capacity = list->last ? list->last->capacity * 2 : FIRST_CAPACITY;
    if (capacity > LAST_CAPACITY)
        capacity = LAST_CAPACITY;
    struct otp_timestamp_chunk *chunk = otp_arena_alloc(arena, sizeof(*chunk) + capacity * sizeof(chunk->times[0]));
    if (!chunk)
        return NULL;
    chunk->capacity = capacity;
    if (list->last)
        list->last->next = chunk;
    else
        list->first = chunk;
    return list->last = chunk;
}

int otp_timestamp_append(struct otp_arena *arena, struct otp_timestamp_list *list, uint64_t time_ns) {
    struct otp_timestamp_chunk *chunk = list->last;
    if (!chunk || chunk->count == chunk->capacity)
        chunk = add_chunk(arena, list);
    if (!chunk)
        return -1;
    chunk->times[chunk->count++] = time_ns;
    return 0;
}

uint32_t otp_timestamps_take(struct otp_timestamps *at, uint64_t *to, uint32_t max) {
    uint32_t taken = 0;
    const struct otp_timestamp_chunk *chunk = at->chunk;
    while (chunk && taken < max) {
        uint32_t some = chunk->count - at->index;
        if (some > max - taken)
            some = max - taken;
        memcpy(to + taken, chunk->times + at->index, some * sizeof(*to));
        taken += some;
        at->index += some;
        if (at->index == chunk->count) {
            chunk = chunk->next;
            at->index = 0;
        }
    }
    at->chunk = chunk;
    return taken;
}

// SPDX-License-Identifier: Apache-2.0
#include "core/live_set.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "base/pages.h"
#include "base/sys.h"
#include "context_slot.h"
#include "core/sample_weight.h"
#include "hooks/live_blocks.h"

#define LINKED_MAX 1000u /* blocks that keep the link to their span */
#define NANOS_PER_S 1000000000u

struct block {
    struct otp_live_block as;
    uint32_t stack;
    uint32_t context; /* of the span that allocated it; 0: none */
    uint32_t plain;   /* the same without its ids */
    uint32_t stop;
};

/* What blocks share. Made anew now and then, because what only ended blocks had stays in it. */
struct shared {
    struct otp_arena *arena;
    struct otp_intern *modules;  /* struct module_key */
    struct otp_mapping *mapping; /* by number of the module */
    uint32_t mapping_capacity;
    struct otp_intern *stacks;   /* struct otp_frame_ref[], padding zero; mappings are numbers of modules */
    struct otp_intern *contexts; /* records of threads; number 0 is none */
};

struct module_key {
    uint64_t number, start;
};

struct otp_live_set {
    struct block *blocks;
    uint32_t *at_place; /* index of the block + 1 */
    uint32_t count, max, places;
    size_t limit; /* of `shared` */
    struct shared shared;
    size_t renew_at; /* size of `shared` from which on it is worth making it anew */
    uint64_t floor;  /* interval that all blocks have at least */
    uint64_t random;
    struct otp_live_counts counts;
};

/* ------------------------------------------------------------------------------------------ what blocks share */

static void shared_free(struct shared *shared) {
    otp_arena_free(shared->arena);
    memset(shared, 0, sizeof(*shared));
}

static bool shared_make(struct shared *shared, size_t limit) {
    memset(shared, 0, sizeof(*shared));
    shared->arena = otp_arena_new(limit);
    if (shared->arena) {
        shared->modules = otp_intern_new(shared->arena);
        shared->stacks = otp_intern_new(shared->arena);
        shared->contexts = otp_intern_new(shared->arena);
    }
    if (shared->modules && shared->stacks && shared->contexts && otp_intern(shared->contexts, "", 0) == 0)
        return true;
    shared_free(shared);
    return false;
}

static bool copy_mapping(struct otp_arena *arena, struct otp_mapping *to, const struct otp_mapping *from) {
    const char *path = from->path ? from->path : "", *hash = from->htlhash ? from->htlhash : "";
    *to = *from;
    to->path = otp_arena_copy(arena, path, strlen(path));
    to->htlhash = otp_arena_copy(arena, hash, strlen(hash));
    to->build_id = (const uint8_t *)otp_arena_copy(arena, from->build_id, from->build_id_size);
    return to->path && to->htlhash && to->build_id;
}

/* The number of a module, made if new; OTP_INTERN_NONE when out of memory. */
static uint32_t module_of(struct shared *shared, const struct otp_mapping *mapping) {
    struct module_key key = {mapping->module_number, mapping->start};
    uint32_t number = otp_intern_find(shared->modules, &key, sizeof(key));
    if (number != OTP_INTERN_NONE)
        return number;
    number = otp_intern_count(shared->modules);
    if (number == shared->mapping_capacity) {
        uint32_t larger = number ? number * 2 : 32;
        void *copy =
            otp_arena_grow(shared->arena, shared->mapping, number * sizeof(*mapping), larger * sizeof(*mapping));
        if (!copy)
            return OTP_INTERN_NONE;
        shared->mapping = copy;
        shared->mapping_capacity = larger;
    }
    if (!copy_mapping(shared->arena, &shared->mapping[number], mapping))
        return OTP_INTERN_NONE;
    return otp_intern(shared->modules, &key, sizeof(key));
}

/* Gives the mapping behind a frame's number: of a window, or of what blocks shared before. */
typedef const struct otp_mapping *(*mapping_fn)(const void *from, uint32_t number);

static const struct otp_mapping *mapping_of_window(const void *window, uint32_t number) {
    return otp_window_mapping_at(window, number);
}

static const struct otp_mapping *mapping_of_shared(const void *shared, uint32_t number) {
    return &((const struct shared *)shared)->mapping[number];
}

static uint32_t stack_of(struct shared *shared, const struct otp_frame_ref *frames, uint32_t count, mapping_fn mapping,
                         const void *from) {
    struct otp_frame_ref copy[OTP_SAMPLE_FRAMES_MAX];
    if (count > OTP_SAMPLE_FRAMES_MAX)
        count = OTP_SAMPLE_FRAMES_MAX;
    memset(copy, 0, count * sizeof(copy[0])); /* padding is part of the key */
    for (uint32_t i = 0; i < count; i++) {
        copy[i].address = frames[i].address;
        copy[i].kind = frames[i].kind;
        copy[i].mapping = OTP_NO_MAPPING;
        if (frames[i].mapping == OTP_NO_MAPPING)
            continue;
        copy[i].mapping = module_of(shared, mapping(from, frames[i].mapping));
        if (copy[i].mapping == OTP_INTERN_NONE)
            return OTP_INTERN_NONE;
    }
    return otp_intern(shared->stacks, copy, count * sizeof(copy[0]));
}

static uint32_t context_of(struct shared *shared, const void *record, size_t size, bool plain) {
    struct otp_thread_record copy;
    if (size < OTP_RECORD_HEADER)
        return 0;
    if (size > sizeof(copy))
        size = sizeof(copy);
    memcpy(&copy, record, size);
    if (plain) {
        memset(copy.trace_id, 0, sizeof(copy.trace_id));
        memset(copy.span_id, 0, sizeof(copy.span_id));
        copy.trace_flags = 0;
        if (size == OTP_RECORD_HEADER)
            return 0;
    }
    return otp_intern(shared->contexts, &copy, size);
}

/* Takes over what a block needs from what blocks shared before. False when out of memory. */
static bool move_block(struct block *block, const struct shared *from, struct shared *to) {
    size_t stack_size, context_size, plain_size;
    const void *stack = otp_intern_key(from->stacks, block->stack, &stack_size);
    const void *context = otp_intern_key(from->contexts, block->context, &context_size);
    const void *plain = otp_intern_key(from->contexts, block->plain, &plain_size);
    block->stack = stack_of(to, stack, (uint32_t)(stack_size / sizeof(struct otp_frame_ref)), mapping_of_shared, from);
    block->context = otp_intern(to->contexts, context, context_size);
    block->plain = otp_intern(to->contexts, plain, plain_size);
    return block->stack != OTP_INTERN_NONE && block->context != OTP_INTERN_NONE && block->plain != OTP_INTERN_NONE;
}

/* ---------------------------------------------------------------------------------------------- the set */

struct otp_live_set *otp_live_set_new(uint32_t max, uint32_t places, uint64_t seed) {
    struct otp_live_set *set = otp_sys.calloc(1, sizeof(*set));
    if (!set)
        return NULL;
    size_t arrays = max * sizeof(*set->blocks) + places * sizeof(*set->at_place);
    set->max = max;
    set->places = places;
    set->limit =
        (size_t)max * OTP_LIVE_BYTES_A_BLOCK > 2 * arrays ? (size_t)max * OTP_LIVE_BYTES_A_BLOCK - arrays : arrays;
    set->renew_at = set->limit / 2;
    set->random = seed | 1;
    set->floor = 1;
    set->blocks = otp_pages_alloc(max * sizeof(*set->blocks));
    set->at_place = otp_pages_alloc(places * sizeof(*set->at_place));
    if (!set->blocks || !set->at_place || !shared_make(&set->shared, set->limit)) {
        otp_live_set_free(set);
        return NULL;
    }
    return set;
}

void otp_live_set_free(struct otp_live_set *set) {
    if (!set)
        return;
    otp_pages_free(set->blocks, set->max * sizeof(*set->blocks));
    otp_pages_free(set->at_place, set->places * sizeof(*set->at_place));
    shared_free(&set->shared);
    free(set);
}

uint32_t otp_live_set_count(const struct otp_live_set *set) { return set->count; }

struct otp_live_counts otp_live_set_counts(const struct otp_live_set *set) {
    return set->counts;
}

/* The last block takes the place of the one that goes. */
static void drop(struct otp_live_set *set, uint32_t index) {
    set->at_place[set->blocks[index].as.place] = 0;
    set->count--;
    if (index == set->count)
        return;
    set->blocks[index] = set->blocks[set->count];
    set->at_place[set->blocks[index].as.place] = index + 1;
}

/* xorshift64*: 53 bits, from 0 to 1. */
static double next_random(struct otp_live_set *set) {
    set->random ^= set->random >> 12;
    set->random ^= set->random << 25;
    set->random ^= set->random >> 27;
    return (double)(set->random * 0x2545f4914f6cdd1du >> 11) * 0x1p-53;
}

/* True if a block stays under a longer interval, by which it then counts. */
static bool survives(struct otp_live_set *set, struct otp_live_block *block, uint64_t interval) {
    if (block->interval >= interval)
        return true;
    double before = otp_sample_probability(block->size, block->interval);
    double after = otp_sample_probability(block->size, interval);
    block->interval = interval;
    return next_random(set) * before < after;
}

/* What only ended blocks had goes. Where there is no memory for it, everything stays as it was. */
static void renew_shared(struct otp_live_set *set) {
    struct shared fresh;
    struct block *moved = otp_pages_alloc(set->max * sizeof(*moved));
    bool good = moved && shared_make(&fresh, set->limit);
    if (good) {
        memcpy(moved, set->blocks, set->count * sizeof(*moved));
        for (uint32_t i = 0; i < set->count && good; i++)
            good = move_block(&moved[i], &set->shared, &fresh);
        if (good) {
            memcpy(set->blocks, moved, set->count * sizeof(*moved));
            shared_free(&set->shared);
            set->shared = fresh;
        } else {
            shared_free(&fresh);
        }
    }
    otp_pages_free(moved, set->max * sizeof(*moved));
    size_t twice = otp_arena_size(set->shared.arena) * 2;
    set->renew_at = twice > set->limit / 2 ? twice : set->limit / 2;
}

void otp_live_set_add(struct otp_live_set *set, const struct otp_live_block *block, const struct otp_sample *sample,
                      const struct otp_window *window) {
    struct block added = {.as = *block, .stop = sample->stop};
    if (block->place >= set->places || !block->size)
        return;
    if (set->at_place[block->place])
        drop(set, set->at_place[block->place] - 1);
    if (!otp_live_is(block->place, block->word))
        return; /* freed since */
    if (!survives(set, &added.as, set->floor)) {
        set->counts.thinned++;
        otp_live_forget(block->place, block->word);
        return;
    }
    added.stack = stack_of(&set->shared, sample->frames, sample->frame_count, mapping_of_window, window);
    if (sample->context) {
        added.context = context_of(&set->shared, sample->context, sample->context_size, false);
        added.plain = context_of(&set->shared, sample->context, sample->context_size, true);
    }
    if (set->count == set->max || added.stack == OTP_INTERN_NONE || added.context == OTP_INTERN_NONE ||
        added.plain == OTP_INTERN_NONE) {
        set->counts.lost_memory++;
        otp_live_forget(block->place, block->word);
        return;
    }
    set->blocks[set->count] = added;
    set->at_place[block->place] = ++set->count;
}

uint32_t otp_live_set_sweep(struct otp_live_set *set) {
    for (uint32_t i = 0; i < set->count;) {
        if (otp_live_is(set->blocks[i].as.place, set->blocks[i].as.word))
            i++;
        else
            drop(set, i);
    }
    if (otp_arena_size(set->shared.arena) >= set->renew_at)
        renew_shared(set);
    return set->count;
}

void otp_live_set_thin(struct otp_live_set *set, uint64_t interval) {
    set->floor = interval;
    for (uint32_t i = 0; i < set->count;) {
        struct otp_live_block *block = &set->blocks[i].as;
        if (survives(set, block, interval)) {
            i++;
            continue;
        }
        otp_live_forget(block->place, block->word);
        set->counts.thinned++;
        drop(set, i);
    }
}

/* --------------------------------------------------------------------------------------------- showing */

static const struct {
    uint64_t seconds; /* less than this */
    const char *name;
} ages[] = {{60, "<1m"}, {600, "1m-10m"}, {3600, "10m-1h"}, {86400, "1h-1d"}, {UINT64_MAX, ">=1d"}};

static uint32_t age_of(const struct otp_live_block *block, uint64_t now_ns) {
    uint64_t seconds = now_ns > block->time_ns ? (now_ns - block->time_ns) / NANOS_PER_S : 0;
    uint32_t age = 0;
    while (seconds >= ages[age].seconds)
        age++;
    return age;
}

/* Blocks that become one sample. */
struct merged_key {
    uint32_t stack, context, age, stop;
};

struct merged {
    struct otp_arena *arena;
    struct otp_intern *keys;
    struct {
        double objects, bytes;
    } * sums; /* by number of the key */
};

static int earlier(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Blocks up to this time keep their links. */
static uint64_t linked_until(const struct otp_live_set *set, struct otp_arena *arena) {
    if (set->count <= LINKED_MAX)
        return UINT64_MAX;
    uint64_t *times = otp_arena_alloc(arena, set->count * sizeof(*times));
    if (!times)
        return 0;
    for (uint32_t i = 0; i < set->count; i++)
        times[i] = set->blocks[i].as.time_ns;
    qsort(times, set->count, sizeof(*times), earlier);
    return times[LINKED_MAX - 1];
}

static bool merge(const struct otp_live_set *set, struct merged *merged, uint64_t now_ns) {
    uint64_t until = linked_until(set, merged->arena);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct block *block = &set->blocks[i];
        struct merged_key key = {block->stack, block->as.time_ns <= until ? block->context : block->plain,
                                 age_of(&block->as, now_ns), block->stop};
        uint32_t number = otp_intern(merged->keys, &key, sizeof(key));
        if (number == OTP_INTERN_NONE)
            return false;
        double weight = otp_sample_weight(block->as.size, block->as.interval);
        merged->sums[number].objects += weight;
        merged->sums[number].bytes += weight * (double)block->as.size;
    }
    return true;
}

/* The stack in terms of the window. Returns the number of frames. */
static uint32_t frames_of(const struct otp_live_set *set, struct otp_window *window, uint32_t stack,
                          struct otp_frame_ref *frames) {
    size_t size;
    const struct otp_frame_ref *from = otp_intern_key(set->shared.stacks, stack, &size);
    uint32_t count = (uint32_t)(size / sizeof(*from));
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = from[i];
        if (from[i].mapping != OTP_NO_MAPPING)
            frames[i].mapping = otp_window_mapping(window, &set->shared.mapping[from[i].mapping]);
    }
    return count;
}

static void show_merged(const struct otp_live_set *set, const struct merged *merged, uint32_t number,
                        struct otp_window *window) {
    struct otp_frame_ref frames[OTP_SAMPLE_FRAMES_MAX];
    const struct merged_key *key = otp_intern_key(merged->keys, number, NULL);
    size_t context_size;
    const void *context = otp_intern_key(set->shared.contexts, key->context, &context_size);
    const struct otp_extra age = {.key = "otelprof.heap.age", .text = ages[key->age].name};
    const struct otp_sample sample = {
        .type = OTP_PROFILE_INUSE_OBJECTS,
        .value = merged->sums[number].objects,
        .twin_value = merged->sums[number].bytes,
        .frames = frames,
        .frame_count = frames_of(set, window, key->stack, frames),
        .extras = &age,
        .extra_count = 1,
        .stop = (uint8_t)key->stop,
        .context = context_size ? context : NULL,
        .context_size = context_size,
    };
    otp_window_add(window, &sample); /* counts what it loses */
}

void otp_live_set_show(struct otp_live_set *set, struct otp_window *window, uint64_t now_ns) {
    struct merged merged = {.arena = otp_arena_new(0)}; /* bounded by the number of blocks */
    if (!set->count || !merged.arena)
        goto done;
    merged.keys = otp_intern_new(merged.arena);
    merged.sums = otp_arena_alloc(merged.arena, set->count * sizeof(*merged.sums));
    if (merged.keys && merged.sums && merge(set, &merged, now_ns))
        for (uint32_t i = 0; i < otp_intern_count(merged.keys); i++)
            show_merged(set, &merged, i, window);
    else
        set->counts.lost_memory += set->count;
done:
    otp_arena_free(merged.arena);
}

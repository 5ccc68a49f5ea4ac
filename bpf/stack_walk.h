// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The walk over a user stack by the tables that the process made, from registers to frames. */
#ifndef OTP_BPF_STACK_WALK_H
#define OTP_BPF_STACK_WALK_H

#include "hook_walk.h"
#include "maps.h"
#include "record.h"

#ifndef WINDOW      /* tests/bench tries a word */
#define WINDOW 2048 /* bytes of stack copied at a time: 8 bytes cost nearly as much */
#endif
#define CACHE 1024        /* places of the pc cache */
#define RECORD_WORDS 1024 /* a power of two above OTP_KERNEL_FRAMES_MAX + OTP_FRAMES_MAX */

struct otp_stack {
    uint64_t base; /* address of window[0] */
    uint64_t size; /* bytes that are valid */
    uint64_t sp;   /* of the frame being unwound: windows start there if that covers what is wanted */
    uint64_t reads;
    uint8_t window[WINDOW + 8];
};

static int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word);
OTP_INLINE int read_inline(struct otp_stack *stack, uint64_t address, uint64_t *word);
#define OTP_STACK_READ read_inline

#include "unwind_step.h"

struct cache_entry {
    uint64_t pc;
    struct otp_rule rule;
    uint32_t directory;
    uint32_t reserved;
};

/*
 * Working memory. A CPU has one: the CPU program runs in the clock's interrupt and is never interrupted by itself.
 * Programs that can be preempted must not use that; who runs otp_walk brings one (a place in otp_walks), and a pass
 * over the threads has one of its own: there is never more than one at a time.
 */
struct scratch {
    struct otp_record record;
    uint64_t words[RECORD_WORDS + sizeof(struct otp_thread_record) / 8]; /* record.frames and the context */
    struct otp_frame frame;
    struct otp_leaf_registers leaf;
    uint32_t leaf_valid;
    uint32_t directory; /* in force when the walk began */
    uint32_t segment_count;
    uint32_t count; /* user frames so far */
    uint32_t stop;
    uint32_t misses;
    struct otp_segment segment; /* the last one used */
    struct otp_stack stack;
    struct cache_entry alone; /* instead of a cache */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct scratch);
} otp_scratch SEC(".maps");

SHARED_ARRAY(otp_walks, OTP_WALK_PLACES, struct scratch);

struct cache {
    struct cache_entry entries[CACHE];
};

/* Apart from the working memory: a value of a per-CPU map has 32 KiB at most (PCPU_MIN_UNIT_SIZE). */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct cache);
} otp_cache SEC(".maps");

/* Of the record, its frames and the context behind it; to be bounded before use. */
OTP_INLINE uint64_t record_size(const struct scratch *scratch) {
    return sizeof(struct otp_record) +
           (scratch->record.kernel_frames + scratch->record.user_frames) * sizeof(uint64_t) +
           scratch->record.context_size;
}

/* What the walk goes on. */
struct walk {
    struct scratch *scratch;
    struct cache *cache;
};

/* ------------------------------------------------------------------------------------- reading the stack */

OTP_INLINE int window_fill(struct otp_stack *stack, uint64_t base) {
    uint64_t size = WINDOW;
    stack->reads++;
    stack->base = base;
    stack->size = 0;
    if (bpf_probe_read_user(stack->window, WINDOW, (const void *)base)) {
        /* A read that crosses the end of a mapping fails whole: coroutine and signal stacks end so. */
        size = 4096 - (base & 4095);
        if (size >= WINDOW)
            return -1;
        OTP_BOUND(size, WINDOW - 1);
        if (bpf_probe_read_user(stack->window, size, (const void *)base))
            return -1;
    }
    stack->size = size;
    return 0;
}

OTP_INLINE int inside(const struct otp_stack *stack, uint64_t offset) {
    return stack->size >= 8 && offset <= stack->size - 8;
}

/* Makes the window cover the word at `address`. */
static __attribute__((noinline)) int window_move(struct otp_stack *stack, uint64_t address) {
    uint64_t above = address - stack->sp;
    if (window_fill(stack, above <= WINDOW - 8 ? stack->sp : address))
        return -1;
    return inside(stack, address - stack->base) ? 0 : -1;
}

/* Without a call as a rule: where returns are made safe from speculation (AMD's SRSO), one costs as much as the rest.
 */
OTP_INLINE int read_inline(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    if (!inside(stack, address - stack->base) && window_move(stack, address))
        return -1;
    uint64_t offset = address - stack->base;
    OTP_BOUND(offset, WINDOW - 1);
    *word = *(uint64_t *)(stack->window + offset);
    return 0;
}

/* For what is rarely read: one copy for all its callers. */
static __attribute__((noinline)) int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    return read_inline(stack, address, word);
}

/* ------------------------------------------------------------------------------------ rule for an address */

OTP_INLINE uint32_t pair(const uint64_t *value, uint32_t index) { return index & 1 ? *value >> 32 : (uint32_t)*value; }

OTP_INLINE int page_at(uint32_t index, uint32_t *out) {
    uint32_t key = index >> 1;
    uint64_t *value = bpf_map_lookup_elem(&otp_pages, &key);
    if (!value)
        return -1;
    *out = pair(value, index);
    return 0;
}

OTP_INLINE int row_at(uint32_t index, uint32_t *out) {
    uint32_t key = index >> 1;
    uint64_t *value = bpf_map_lookup_elem(&otp_rows, &key);
    if (!value)
        return -1;
    *out = pair(value, index);
    return 0;
}

/* Makes the segment of `pc` scratch->segment. */
static __attribute__((noinline)) int find_segment(struct scratch *scratch, uint64_t pc) {
    uint32_t first = (scratch->directory & 1) * OTP_SEGMENTS_MAX;
    uint32_t low = 0, high = scratch->segment_count;
    for (int i = 0; i < OTP_SEGMENT_STEPS; i++) {
        if (low >= high)
            break;
        uint32_t middle = (low + high) >> 1;
        uint32_t key = first + middle;
        struct otp_segment *segment = bpf_map_lookup_elem(&otp_segments, &key);
        if (!segment)
            return -1;
        if (segment->start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return -1;
    uint32_t key = first + low - 1;
    struct otp_segment *segment = bpf_map_lookup_elem(&otp_segments, &key);
    if (!segment || pc >= segment->end || pc < segment->start)
        return -1;
    scratch->segment = *segment;
    return 0;
}

/* The rule in force at `pc` in a segment with rows: that of the last row at or before it. */
static __attribute__((noinline)) uint32_t find_row(struct scratch *scratch, uint64_t pc) {
    uint32_t page = scratch->segment.first_page + (uint32_t)((pc - scratch->segment.start) >> OTP_PAGE_SHIFT);
    uint32_t offset = pc & 0xfff;
    uint32_t low, high, row;
    if (page_at(page, &low) || page_at(page + 1, &high))
        return OTP_RULE_INDEX_NONE;
    for (int i = 0; i < OTP_ROW_STEPS; i++) {
        if (low >= high)
            break;
        uint32_t middle = (low + high) >> 1;
        if (row_at(middle, &row))
            return OTP_RULE_INDEX_NONE;
        if (OTP_ROW_PC(row) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (row_at(low - 1, &row))
        return OTP_RULE_INDEX_NONE;
    return OTP_ROW_RULE(row);
}

/* Fills `entry` of the cache with the rule at `pc`. -1, or the enum otp_stop that ends the walk. */
static __attribute__((noinline)) int find_rule(struct scratch *scratch, struct cache_entry *entry, uint64_t pc) {
    if ((pc < scratch->segment.start || pc >= scratch->segment.end) && find_segment(scratch, pc))
        return OTP_STOP_UNKNOWN_MODULE;
    if (scratch->segment.flags & OTP_SEGMENT_UNCOVERED)
        return OTP_STOP_NO_TABLES;
    uint32_t number = scratch->segment.flags & OTP_SEGMENT_FRAMEPTR ? OTP_RULE_INDEX_FRAMEPTR : find_row(scratch, pc);
    struct otp_rule *rule = bpf_map_lookup_elem(&otp_rules, &number);
    if (!rule)
        return OTP_STOP_NO_ROWS;
    entry->pc = pc;
    entry->rule = *rule;
    entry->directory = scratch->directory;
    return -1;
}

/* ----------------------------------------------------------------------------------------------- the walk */

/* One frame, whose rule goes through `entry`. Returns 1 to end the loop, with scratch->stop set. */
OTP_INLINE long walk_one(struct scratch *scratch, struct cache_entry *entry, uint64_t pc) {
    struct otp_frame *frame = &scratch->frame;
    int stop;

    uint32_t at = scratch->record.kernel_frames + scratch->count;
    OTP_BOUND(at, RECORD_WORDS - 1);
    scratch->words[at] = pc;
    scratch->count++;

    if (entry->pc != pc || entry->directory != scratch->directory) {
        scratch->misses++;
        stop = find_rule(scratch, entry, pc);
        if (stop >= 0) {
            scratch->stop = stop;
            return 1;
        }
    }
    if (entry->rule.kind == OTP_RULE_SIGNAL) {
        OTP_BOUND(at, RECORD_WORDS - 1);
        scratch->words[at] = frame->pc; /* the kernel made the frame: no call stands before this address */
    }
    scratch->stack.sp = frame->sp;
    stop = otp_unwind_step(&scratch->stack, frame, &entry->rule, scratch->leaf_valid ? &scratch->leaf : 0);
    scratch->leaf_valid = 0;
    if (stop >= 0) {
        scratch->stop = stop;
        return 1;
    }
    if (!frame->pc) {
        scratch->stop = OTP_STOP_COMPLETE; /* a stack that its maker ended with a zero */
        return 1;
    }
    return 0;
}

/* The callbacks of bpf_loop. */
static long walk_frame(uint32_t index, void *context) {
    struct walk *walk = context;
    uint64_t pc = otp_frame_lookup_pc(&walk->scratch->frame);
    uint32_t place = (uint32_t)(pc ^ (pc >> 10));
    OTP_BOUND(place, CACHE - 1);
    return walk_one(walk->scratch, &walk->cache->entries[place], pc);
}

static long walk_frame_alone(uint32_t index, void *context) {
    struct walk *walk = context;
    return walk_one(walk->scratch, &walk->scratch->alone, otp_frame_lookup_pc(&walk->scratch->frame));
}

/* Ready for the first frame. False: there are no tables, and the stack is its leaf alone. */
OTP_INLINE int begin_walk(struct scratch *scratch, const struct otp_control *control) {
    scratch->directory = *(const volatile uint32_t *)&control->directory;
    scratch->segment_count = control->segment_count[scratch->directory & 1];
    scratch->segment.start = scratch->segment.end = 0;
    scratch->stack.base = scratch->stack.size = scratch->stack.reads = 0;
    scratch->count = scratch->misses = 0;
    scratch->stop = OTP_STOP_DEPTH;
    if (!scratch->directory) {
        scratch->stop = OTP_STOP_NO_TABLES;
        scratch->words[scratch->record.kernel_frames & (RECORD_WORDS - 1)] = scratch->frame.pc;
        scratch->count = 1;
        return 0;
    }
    return 1;
}

OTP_INLINE void walk_stack(struct scratch *scratch, struct cache *cache, const struct otp_control *control) {
    struct walk walk = {scratch, cache};
    if (begin_walk(scratch, control) && cache)
        bpf_loop(OTP_FRAMES_MAX, walk_frame, &walk, 0);
}

OTP_INLINE void walk_stack_alone(struct scratch *scratch, const struct otp_control *control) {
    struct walk walk = {scratch, 0};
    if (begin_walk(scratch, control))
        bpf_loop(OTP_FRAMES_MAX, walk_frame_alone, &walk, 0);
}

#endif

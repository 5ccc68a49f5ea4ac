// SPDX-License-Identifier: Apache-2.0
#include "unwind/walk.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define ATTEMPTS 3

struct otp_stack {
    otp_walk_read_fn read;
    void *user;
};

static int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    return stack->read(stack->user, address, word);
}

#include "unwind_step.h"

static uint32_t half(const uint64_t *values, uint32_t index) {
    return (uint32_t)(values[index >> 1] >> ((index & 1) * 32));
}

/*
 * A directory may be filled anew while it is read. Acquiring loads meet the writer's releasing stores: who has seen
 * a word of the next filling also sees that the directory in force has changed, and starts over.
 */
static uint64_t load64(const uint64_t *word) {
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)word, memory_order_acquire);
}

static uint32_t load32(const uint32_t *word) {
    return atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)word, memory_order_acquire);
}

static bool find_segment(const struct otp_tables_memory *memory, uint32_t directory, uint64_t pc,
                         struct otp_segment *found) {
    const struct otp_segment *segments = memory->segments[directory & 1];
    uint32_t low = 0, high = load32(&memory->control->segment_count[directory & 1]);
    if (high > OTP_SEGMENTS_MAX)
        high = OTP_SEGMENTS_MAX;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (load64(&segments[middle].start) <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return false;
    const struct otp_segment *segment = &segments[low - 1];
    found->start = load64(&segment->start);
    found->end = load64(&segment->end);
    found->first_page = load32(&segment->first_page);
    found->flags = load32(&segment->flags);
    return pc >= found->start && pc < found->end;
}

/* The directory may be exchanged meanwhile: every index is checked, and the caller looks at the generation after. */
static uint32_t find_row(const struct otp_tables_memory *memory, const struct otp_segment *segment, uint64_t pc) {
    uint64_t page = segment->first_page + ((pc - segment->start) >> OTP_PAGE_SHIFT);
    if (page + 1 >= memory->page_capacity)
        return OTP_RULE_INDEX_NONE;
    uint32_t low = half(memory->pages, (uint32_t)page), high = half(memory->pages, (uint32_t)page + 1);
    if (high > memory->row_capacity)
        return OTP_RULE_INDEX_NONE;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (OTP_ROW_PC(half(memory->rows, middle)) <= (pc & 0xfff))
            low = middle + 1;
        else
            high = middle;
    }
    return low ? OTP_ROW_RULE(half(memory->rows, low - 1)) : OTP_RULE_INDEX_NONE;
}

enum otp_stop otp_tables_lookup(const struct otp_tables_memory *memory, uint32_t directory, uint64_t pc,
                                struct otp_rule *rule, uint32_t *flags) {
    struct otp_segment segment;
    if (!directory || !find_segment(memory, directory, pc, &segment))
        return directory ? OTP_STOP_UNKNOWN_MODULE : OTP_STOP_NO_TABLES;
    if (flags)
        *flags = segment.flags;
    if (segment.flags & OTP_SEGMENT_UNCOVERED)
        return OTP_STOP_NO_TABLES;
    uint32_t index = segment.flags & OTP_SEGMENT_FRAMEPTR ? OTP_RULE_INDEX_FRAMEPTR : find_row(memory, &segment, pc);
    if (index >= OTP_RULES_MAX)
        index = OTP_RULE_INDEX_NONE;
    *rule = ((const struct otp_rule *)(const void *)memory->rules)[index];
    return OTP_STOP_COMPLETE;
}

static void walk_once(const struct otp_tables_memory *memory, struct otp_walk_result *result, struct otp_frame frame,
                      const struct otp_leaf_registers *leaf, struct otp_stack *stack, uint64_t *frames, uint32_t max) {
    result->stop = OTP_STOP_DEPTH;
    result->count = 0;
    while (result->count < max) {
        struct otp_rule rule;
        uint64_t pc = otp_frame_lookup_pc(&frame);
        frames[result->count++] = pc;
        enum otp_stop found = otp_tables_lookup(memory, result->directory, pc, &rule, NULL);
        if (found != OTP_STOP_COMPLETE) {
            result->stop = found;
            return;
        }
        if (rule.kind == OTP_RULE_SIGNAL)
            frames[result->count - 1] = frame.pc; /* the kernel made the frame: no call stands before this address */
        int stop = otp_unwind_step(stack, &frame, &rule, leaf);
        leaf = NULL;
        if (stop >= 0) {
            result->stop = (enum otp_stop)stop;
            return;
        }
        if (!frame.pc) {
            result->stop = OTP_STOP_COMPLETE;
            return;
        }
    }
}

static uint32_t directory_of(const struct otp_tables_memory *memory) {
    return atomic_load_explicit((_Atomic uint32_t *)&memory->control->directory, memory_order_acquire);
}

struct otp_walk_result otp_walk(const struct otp_tables_memory *memory, const struct otp_frame *frame,
                                const struct otp_leaf_registers *leaf, otp_walk_read_fn read, void *user,
                                uint64_t *frames, uint32_t max) {
    struct otp_stack stack = {read, user};
    struct otp_walk_result result = {0, OTP_STOP_NO_TABLES, 0};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        result.directory = directory_of(memory);
        walk_once(memory, &result, *frame, leaf, &stack, frames, max);
        if (directory_of(memory) == result.directory)
            return result;
    }
    frames[0] = otp_frame_lookup_pc(frame);
    return (struct otp_walk_result){1, OTP_STOP_NO_TABLES, result.directory};
}

// SPDX-License-Identifier: Apache-2.0
#include "hooks/stack_ranges.h"

#include <stddef.h>
#include <string.h>

#include "base/maps.h"
#include "base/pages.h"
#include "hooks/hook_state.h"

#define PAGE 4096u
#define GUARD_GAP ((uint64_t)256 * PAGE) /* Documentation/admin-guide/kernel-parameters.txt: stack_guard_gap */
#define FIRST_CAPACITY 1024u

struct range {
    uint64_t start, end;
    bool grows; /* the main thread's stack */
};

struct otp_stack_list {
    uint32_t count, capacity;
    struct range ranges[];
};

/* The one in force, and the one that is filled next. On the profiler thread. */
static struct otp_stack_list *lists[2];
static unsigned next_list;

static size_t bytes_of(uint32_t capacity) {
    return sizeof(struct otp_stack_list) + (size_t)capacity * sizeof(struct range);
}

static bool grow(struct otp_stack_list **list) {
    uint32_t capacity = *list ? (*list)->capacity * 2 : FIRST_CAPACITY;
    struct otp_stack_list *larger = otp_pages_alloc(bytes_of(capacity));
    if (!larger)
        return false;
    if (*list) {
        memcpy(larger, *list, bytes_of((*list)->count));
        otp_pages_free(*list, bytes_of((*list)->capacity));
    }
    larger->capacity = capacity;
    *list = larger;
    return true;
}

static bool take_line(void *user, const struct otp_maps_line *line) {
    struct otp_stack_list **list = user;
    if (!line->writable)
        return true;
    uint32_t count = *list ? (*list)->count : 0;
    bool grows = otp_maps_line_names(line, "[stack]");
    if (count) {
        struct range *last = &(*list)->ranges[count - 1];
        if (last->end == line->start && !grows) {
            last->end = line->end;
            return true;
        }
    }
    if ((!*list || count == (*list)->capacity) && !grow(list))
        return false;
    (*list)->ranges[count] = (struct range){line->start, line->end, grows};
    (*list)->count = count + 1;
    return true;
}

bool otp_stack_ranges_look(uint64_t deadline_ns) {
    struct otp_stack_list **list = &lists[next_list];
    if (*list && !otp_hook_wait(deadline_ns)) /* it was hidden at the last look; nobody who comes now finds it */
        return false;
    if (*list)
        (*list)->count = 0;
    if (otp_maps_scan(take_line, list, NULL) || !*list)
        return false;
    atomic_store(&otp_hook_state()->stacks, *list);
    next_list ^= 1;
    return true;
}

bool otp_stack_ranges_wanted(void) { return atomic_exchange(&otp_hook_state()->stacks_wanted, false); }

void otp_stack_ranges_hide(void) { atomic_store(&otp_hook_state()->stacks, NULL); }

/* The first range that ends above the address, or NULL. */
static const struct range *range_above(uint64_t address) {
    const struct otp_stack_list *list = atomic_load(&otp_hook_state()->stacks);
    uint32_t low = 0, high = list ? list->count : 0, count = high;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list->ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count ? &list->ranges[low] : NULL;
}

/* The C library keeps it above a thread's stack, in the same mapping (nptl/allocatestack.c of glibc). */
static uint64_t thread_control_block(void) {
#if defined(__x86_64__)
    uint64_t self; /* "the TCB's first word points to itself": System V ABI of x86-64, ELF TLS */
    __asm__("movq %%fs:0, %0" : "=r"(self));
    return self;
#else
    return (uint64_t)(uintptr_t)__builtin_thread_pointer();
#endif
}

/*
 * A thread on its own stack is sure of all of it up to its control block, whatever the list says: that is as old as the
 * last look, and the neighbours of a mapping may be gone since.
 */
uint64_t otp_stack_end(uint64_t sp) {
    const struct range *range = range_above(sp);
    if (range && (sp >= range->start || (range->grows && range->start - sp < GUARD_GAP - PAGE))) {
        uint64_t block = thread_control_block() & ~(uint64_t)7;
        return block > sp && block < range->end ? block : range->end;
    }
    otp_hook_count(OTP_HOOK_UNBOUNDED);
    atomic_store_explicit(&otp_hook_state()->stacks_wanted, true, memory_order_relaxed);
    return (sp | (PAGE - 1)) + 1;
}

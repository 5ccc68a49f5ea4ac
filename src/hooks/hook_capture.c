// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_capture.h"

#include <string.h>

#include "context/context.h"
#include "hooks/hook_state.h"
#include "hooks/stack_ranges.h"
#include "unwind/walk.h"

#define HOOK_FRAMES_MAX 8 /* of hooks, one inside the other; without optimisation there are 6 */

extern const char __start_otp_hook_text[] __attribute__((visibility("hidden")));
extern const char __stop_otp_hook_text[] __attribute__((visibility("hidden")));

struct stack {
    uint64_t low, high;
};

/* Sanitizers take what lies between the variables of a stack for nobody's. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static int read_stack(void *user, uint64_t address,
                                                                                     uint64_t *word) {
    const struct stack *stack = user;
    if (address < stack->low || address > stack->high - sizeof(*word) || (address & 7))
        return -1;
    *word = *(const volatile uint64_t *)(uintptr_t)address; /* NOLINT(performance-no-int-to-ptr) */
    return 0;
}

/* The registers here, in the function that this is inlined into. */
static inline __attribute__((always_inline)) void take_registers(struct otp_frame *frame) {
#if defined(__x86_64__)
    __asm__ volatile("leaq 0(%%rip), %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2"
                     : "=r"(frame->pc), "=r"(frame->sp), "=r"(frame->fp));
    frame->lr = 0;
#elif defined(__aarch64__)
    __asm__ volatile("adr %0, .\n\tmov %1, sp\n\tmov %2, x29\n\tmov %3, x30"
                     : "=&r"(frame->pc), "=&r"(frame->sp), "=&r"(frame->fp), "=&r"(frame->lr));
#endif
    frame->exact = 1;
    frame->fp_lost = 0;
}

static uint32_t hook_frames(const uint64_t *frames, uint32_t count) {
    uint32_t skip = 0;
    while (skip < count && frames[skip] >= (uintptr_t)__start_otp_hook_text &&
           frames[skip] < (uintptr_t)__stop_otp_hook_text)
        skip++;
    return skip;
}

/* As the kernel's programs do: the profiler looks for objects that came. */
static void ask_for_modules(const struct otp_tables_memory *tables) {
    _Atomic uint32_t *wanted = (_Atomic uint32_t *)&tables->control->rescan_wanted;
    if (!atomic_load_explicit(wanted, memory_order_relaxed))
        atomic_store_explicit(wanted, 1, memory_order_relaxed);
}

/* Walks the stack into the record; `max` frames at most. */
static OTP_HOOK_FUNCTION __attribute__((noinline)) void walk(struct otp_record *record, uint64_t caller, uint32_t max) {
    uint64_t *frames = (uint64_t *)(void *)(record + 1);
    const struct otp_tables_memory *tables = atomic_load(&otp_hook_state()->tables);
    struct otp_frame frame;
    take_registers(&frame);
    record->user_frames = 1;
    record->stop = OTP_STOP_NO_TABLES;
    frames[0] = caller;
    if (!tables)
        return;
    struct otp_walk_result result;
    const struct otp_walker *walker = atomic_load(&otp_hook_state()->walker);
    if (!walker || !walker->walk(walker, otp_hook_ring_place(record), &frame, frames, max, &result)) {
        struct stack stack = {frame.sp, otp_stack_end(frame.sp)};
        result = otp_walk(tables, &frame, NULL, read_stack, &stack, frames, max);
    }
    if (result.stop == OTP_STOP_UNKNOWN_MODULE)
        ask_for_modules(tables);
    uint32_t skip = hook_frames(frames, result.count);
    record->stop = (uint8_t)result.stop;
    record->directory = result.directory;
    if (skip == result.count) { /* the walk ended in code of ours */
        frames[0] = caller;
        return;
    }
    memmove(frames, frames + skip, (result.count - skip) * sizeof(frames[0]));
    record->user_frames = (uint16_t)(result.count - skip);
}

static void add_context(struct otp_record *record) {
    const struct otp_thread_record *context = otp_context_own_record();
    if (!context)
        return;
    char *to = (char *)(record + 1) + record->user_frames * sizeof(uint64_t);
    uint16_t attrs = context->attrs_size;
    record->context_size =
        (uint16_t)(OTP_RECORD_HEADER + (attrs < OTP_RECORD_ATTRS_MAX ? attrs : OTP_RECORD_ATTRS_MAX));
    memcpy(to, context, record->context_size);
}

size_t otp_hook_record_size(const struct otp_record *record) {
    return sizeof(*record) + record->user_frames * sizeof(uint64_t) + record->context_size;
}

/* What fits into a small buffer goes there: there are few large ones. */
static struct otp_record *move_to_small(struct otp_record *record) {
    size_t size = otp_hook_record_size(record);
    struct otp_record *small = size <= otp_hook_ring_room(OTP_HOOK_SMALL) ? otp_hook_ring_take(OTP_HOOK_SMALL) : NULL;
    if (!small)
        return record;
    memcpy(small, record, size);
    otp_hook_ring_drop(record);
    return small;
}

static uint32_t frames_that_fit(enum otp_hook_size size) {
    return (uint32_t)((otp_hook_ring_room(size) - sizeof(struct otp_record) - sizeof(struct otp_thread_record)) /
                      sizeof(uint64_t));
}

OTP_HOOK_FUNCTION struct otp_record *otp_hook_capture(enum otp_record_type type, uint64_t caller) {
    enum otp_hook_size size = OTP_HOOK_LARGE;
    struct otp_record *record = otp_hook_ring_take(size);
    if (!record)
        record = otp_hook_ring_take(size = OTP_HOOK_SMALL);
    if (!record)
        return NULL;
    memset(record, 0, sizeof(*record));
    record->version = OTP_RECORD_VERSION;
    record->type = (uint8_t)type;
    uint32_t fits = frames_that_fit(size), most = OTP_FRAMES_MAX + HOOK_FRAMES_MAX;
    walk(record, caller, fits < most ? fits : most);
    if (record->user_frames > OTP_FRAMES_MAX)
        record->user_frames = OTP_FRAMES_MAX;
    add_context(record);
    return size == OTP_HOOK_LARGE ? move_to_small(record) : record;
}

OTP_HOOK_FUNCTION struct otp_record *otp_hook_leaf_record(enum otp_record_type type, uint64_t caller,
                                                          const void *context, size_t context_size) {
    struct otp_record *record = otp_hook_ring_take(OTP_HOOK_SMALL);
    if (!record)
        return NULL;
    const struct otp_tables_memory *tables = atomic_load(&otp_hook_state()->tables);
    memset(record, 0, sizeof(*record));
    record->version = OTP_RECORD_VERSION;
    record->type = (uint8_t)type;
    record->stop = OTP_STOP_NOT_WALKED;
    record->user_frames = 1;
    if (tables)
        record->directory = atomic_load_explicit((_Atomic uint32_t *)&tables->control->directory, memory_order_relaxed);
    record->context_size = (uint16_t)context_size;
    memcpy(record + 1, &caller, sizeof(caller));
    memcpy((char *)(record + 1) + sizeof(caller), context, context_size);
    return record;
}

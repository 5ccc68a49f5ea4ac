// SPDX-License-Identifier: Apache-2.0
/*
 * The hooks of malloc and its kind. Nearly always a request takes its size off the thread's budget, or a free looks at
 * one byte, and jumps on to the real function, which then returns to the hook's caller itself.
 *
 * A chosen block is recorded after the real function has made it. A block is taken out of the table of live blocks
 * before it is freed: once it is, another thread may get its address.
 */
#include "hooks/allocation_hooks.h"

#include <stdint.h>

#include "base/thread.h"
#include "hooks/hook_functions.h"
#include "hooks/hook_state.h"
#include "hooks/hook_table.h"
#include "hooks/live_blocks.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define SLOW OTP_HOOK_FUNCTION __attribute__((noinline, cold))
#define CALLER ((uint64_t)(uintptr_t)__builtin_return_address(0) - 1)

_Thread_local struct otp_allocation_thread otp_allocation_thread __attribute__((tls_model("initial-exec")));

/* ------------------------------------------------------------------------------------------- slow and rare */

/* Once a run and thread, so that workers which were forked from one master do not choose alike. */
static OTP_HOOK_FUNCTION void seed(struct otp_allocation_thread *self) {
    struct otp_hook_state *state = otp_hook_state();
    uint64_t run = atomic_load_explicit(&state->run, memory_order_relaxed);
    if (self->run == run)
        return;
    self->run = run;
    self->sampler.random = (atomic_fetch_add_explicit(&state->seed, 1, memory_order_relaxed) + 1) * 0xd6e8feb86659fd93u;
}

/* A request over the budget: the interval by which it is chosen, or 0. */
static OTP_HOOK_FUNCTION __attribute__((noinline)) uint64_t look(size_t size) {
    struct otp_allocation_thread *self = &otp_allocation_thread;
    uint64_t interval = 0;
    if (size > PTRDIFF_MAX)
        return 0; /* no allocator grants it */
    if (self->inside) {
        otp_hook_count(OTP_HOOK_REENTERED);
        return 0;
    }
    if (otp_hook_on(OTP_HOOK_HEAP) && !otp_thread_is_ours)
        interval = atomic_load_explicit(&otp_hook_state()->interval, memory_order_relaxed);
    if (interval)
        seed(self);
    return otp_sampler_look(&self->sampler, size, interval);
}

/* Puts the block among the live ones, and says so in the record. */
static void follow(struct otp_record *record, const void *block) {
    bool lost_free = false;
    uint64_t word = 0;
    record->place = otp_live_put(block, &word, &lost_free);
    record->block = word;
    if (lost_free)
        otp_hook_count(OTP_HOOK_LOST_FREE);
    if (record->place == OTP_LIVE_NOWHERE)
        otp_hook_count(OTP_HOOK_UNTRACKED);
}

static OTP_HOOK_FUNCTION void record(const void *block, size_t size, uint64_t interval, uint64_t caller) {
    otp_hook_count(OTP_HOOK_CHOSEN);
    struct otp_record *made = otp_hook_capture(OTP_RECORD_HEAP, caller);
    if (!made) {
        otp_hook_count(OTP_HOOK_RING_FULL);
        return;
    }
    made->weight = size;
    made->interval = interval;
    follow(made, block);
    otp_hook_ring_put(made, otp_hook_record_size(made));
}

/* Records a block that was chosen, if it was made and the profile is still on. Returns it. */
static OTP_HOOK_FUNCTION __attribute__((noinline)) void *chosen(void *block, size_t size, uint64_t interval,
                                                                uint64_t caller) {
    struct otp_allocation_thread *self = &otp_allocation_thread;
    if (!block || self->inside)
        return block;
    self->inside = true;
    unsigned phase = otp_hook_enter();
    if (otp_hook_on(OTP_HOOK_HEAP))
        record(block, size, interval, caller);
    otp_hook_leave(phase);
    self->inside = false;
    return block;
}

/* Takes `size` off the budget. False: it is time to look. */
static inline bool within_budget(size_t size) {
    struct otp_sampler *sampler = &otp_allocation_thread.sampler;
    if (!likely(size <= sampler->budget))
        return false;
    sampler->budget -= size;
    return true;
}

/* The slow half of a hook that allocates `size` bytes by `call`. */
#define ALLOCATE(size, call)                                                                                           \
    do {                                                                                                               \
        uint64_t interval_ = look(size);                                                                               \
        void *block_ = call;                                                                                           \
        return interval_ ? chosen(block_, size, interval_, CALLER) : block_;                                           \
    } while (0)

/* ------------------------------------------------------------------------------------------- allocating */

/*
 * A hook whose last argument but those in `...` says all about the size. The slow half is a function of its own, so
 * that the hook itself needs no frame.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): lists of parameters and of arguments bring their own */
#define ALLOCATING(name, size, parameters, arguments)                                                                  \
    static SLOW void *slow_##name parameters { ALLOCATE(size, OTP_REAL(name) arguments); }                             \
    void *otp_hook_##name parameters {                                                                                 \
        if (!within_budget(size))                                                                                      \
            return slow_##name arguments;                                                                              \
        return OTP_REAL(name) arguments;                                                                               \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

ALLOCATING(malloc, size, (size_t size), (size))
ALLOCATING(aligned_alloc, size, (size_t alignment, size_t size), (alignment, size))
ALLOCATING(memalign, size, (size_t alignment, size_t size), (alignment, size))
ALLOCATING(valloc, size, (size_t size), (size))
ALLOCATING(pvalloc, size, (size_t size), (size))
ALLOCATING(_Znwm, size, (size_t size), (size))
ALLOCATING(_Znam, size, (size_t size), (size))
ALLOCATING(_ZnwmRKSt9nothrow_t, size, (size_t size, const struct otp_nothrow *nothrow), (size, nothrow))
ALLOCATING(_ZnamRKSt9nothrow_t, size, (size_t size, const struct otp_nothrow *nothrow), (size, nothrow))
ALLOCATING(_ZnwmSt11align_val_t, size, (size_t size, size_t alignment), (size, alignment))
ALLOCATING(_ZnamSt11align_val_t, size, (size_t size, size_t alignment), (size, alignment))
ALLOCATING(_ZnwmSt11align_val_tRKSt9nothrow_t, size, (size_t size, size_t alignment, const struct otp_nothrow *nothrow),
           (size, alignment, nothrow))
ALLOCATING(_ZnamSt11align_val_tRKSt9nothrow_t, size, (size_t size, size_t alignment, const struct otp_nothrow *nothrow),
           (size, alignment, nothrow))

static SLOW void *slow_calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return OTP_REAL(calloc)(count, size); /* which refuses it */
    ALLOCATE(bytes, OTP_REAL(calloc)(count, size));
}

void *otp_hook_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!likely(!__builtin_mul_overflow(count, size, &bytes)) || !within_budget(bytes))
        return slow_calloc(count, size);
    return OTP_REAL(calloc)(count, size);
}

static SLOW int slow_posix_memalign(void **block, size_t alignment, size_t size) {
    uint64_t interval = look(size);
    int error = OTP_REAL(posix_memalign)(block, alignment, size);
    if (!error && interval)
        chosen(*block, size, interval, CALLER);
    return error;
}

int otp_hook_posix_memalign(void **block, size_t alignment, size_t size) {
    if (!within_budget(size))
        return slow_posix_memalign(block, alignment, size);
    return OTP_REAL(posix_memalign)(block, alignment, size);
}

/* ---------------------------------------------------------------------------------------------- freeing */

static SLOW void remove_block(void *block) { otp_live_remove(block); }

/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define FREEING(name, parameters, arguments)                                                                           \
    void otp_hook_##name parameters {                                                                                  \
        if (!likely(!otp_live_maybe(block)))                                                                           \
            remove_block(block);                                                                                       \
        OTP_REAL(name) arguments;                                                                                      \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

FREEING(free, (void *block), (block))
FREEING(_ZdlPv, (void *block), (block))
FREEING(_ZdaPv, (void *block), (block))
FREEING(_ZdlPvm, (void *block, size_t size), (block, size))
FREEING(_ZdaPvm, (void *block, size_t size), (block, size))
FREEING(_ZdlPvRKSt9nothrow_t, (void *block, const struct otp_nothrow *nothrow), (block, nothrow))
FREEING(_ZdaPvRKSt9nothrow_t, (void *block, const struct otp_nothrow *nothrow), (block, nothrow))
FREEING(_ZdlPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
FREEING(_ZdaPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
FREEING(_ZdlPvmSt11align_val_t, (void *block, size_t size, size_t alignment), (block, size, alignment))
FREEING(_ZdaPvmSt11align_val_t, (void *block, size_t size, size_t alignment), (block, size, alignment))
FREEING(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const struct otp_nothrow *nothrow),
        (block, alignment, nothrow))
FREEING(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const struct otp_nothrow *nothrow),
        (block, alignment, nothrow))

/* ------------------------------------------------------------------------------------------ reallocating */

/*
 * The old block counts as freed and the new one as allocated, wherever it lies. A failure changes nothing. The old
 * block is held, neither to be found nor gone, while the real function is at work: it may free the address at any time.
 * Size 0 frees the block where NULL comes back (glibc); where it fails instead, the block is lost from the table.
 */
#define REALLOCATE(bytes, call)                                                                                        \
    do {                                                                                                               \
        uint64_t word_ = 0, interval_ = look_if_over(bytes);                                                           \
        uint32_t place_ = otp_live_maybe(block) ? otp_live_hold(block, &word_) : OTP_LIVE_NOWHERE;                     \
        void *result_ = call;                                                                                          \
        if (place_ != OTP_LIVE_NOWHERE)                                                                                \
            settle(result_ || !(bytes), place_, word_);                                                                \
        return interval_ ? chosen(result_, bytes, interval_, CALLER) : result_;                                        \
    } while (0)

static OTP_HOOK_FUNCTION uint64_t look_if_over(size_t size) { return within_budget(size) ? 0 : look(size); }

static void settle(bool gone, uint32_t place, uint64_t word) {
    if (gone)
        otp_live_forget(place, word);
    else
        otp_live_restore(place, word);
}

static SLOW void *slow_realloc(void *block, size_t size) { REALLOCATE(size, OTP_REAL(realloc)(block, size)); }

void *otp_hook_realloc(void *block, size_t size) {
    struct otp_sampler *sampler = &otp_allocation_thread.sampler;
    if (!likely(size <= sampler->budget && !otp_live_maybe(block)))
        return slow_realloc(block, size);
    sampler->budget -= size;
    return OTP_REAL(realloc)(block, size);
}

void *otp_hook_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return OTP_REAL(reallocarray)(block, count, size); /* which refuses it */
    REALLOCATE(bytes, OTP_REAL(reallocarray)(block, count, size));
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Span context: what the public span calls write, switched on and off for the whole process.
 *
 * The records live in memory that the kernel's programs read (bpf/context_slot.h). This room gets that memory from the
 * caller and knows nothing of maps; any zeroed memory of the right size will do.
 */
#ifndef OTP_CONTEXT_CONTEXT_H
#define OTP_CONTEXT_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include <otelprof/otelprof.h>

#include "context_slot.h"
#include "control.h"

/* Shared memory for the contexts of all threads. It stays mapped until the process ends, also after a stop: a thread
 * may be in the middle of a write. It is not inherited by children (MADV_DONTFORK). */
struct otp_context_memory {
    struct otp_slot *slots;
    uint32_t slot_count; /* 1 to 65536 */
    uint64_t *index;     /* context_index of the programs */
    uint32_t index_size; /* places: a power of two, at least 2 x slot_count */
    struct otp_control *control;
};

/*
 * Makes `memory` live for all threads with one atomic store; tokens made before are stale from then on. The memory may
 * be new or the one of an earlier start: the index is emptied here, slots may hold anything. The fork guard must be
 * armed. One caller at a time, together with otp_context_stop(). 0, OTELPROF_E_INVALID, OTELPROF_E_MEMORY,
 * OTELPROF_E_KERNEL; on failure nothing has changed.
 */
int otp_context_start(const struct otp_context_memory *memory);

/* From here on span calls do nothing. Returns at once: a thread may still be inside a write to its own slot. */
void otp_context_stop(void);

/* Releases what threads left behind that ended without running their destructors. For the profiler thread, once a
 * window: one system call for each registered thread. Not at the same time as start or stop. */
void otp_context_sweep(void);

/*
 * In a forked child: everything off, and the child's otel_thread_ctx_v1 cleared. Async-signal-safe, and touches no
 * shared memory. After _Fork() or a raw clone(), where no handler runs, the next span call finds out by itself; a call
 * of this function before otp_context_start() is needed in every child.
 */
void otp_context_forked_child(void);

/*
 * The valid record of the calling thread, or NULL. It is the thread's own: nobody else changes it, and only a span call
 * of the thread does. No lock, no allocation, no system call; async-signal-safe.
 */
const struct otp_thread_record *otp_context_own_record(void);

/*
 * Called by a span call that finds itself in a forked child, on the caller's thread, before it returns without having
 * done anything. NULL (the default): nothing is called. It must be quick when there is nothing to do, because every
 * span call in a child comes by until otp_context_start(); it may start a thread. Set it before otp_context_start().
 */
extern void (*otp_context_child_call)(void);

/* Fills the counters of `stats` that belong to this room: threads_without_slot, threads_registered, spans_invalid,
 * spans_out_of_order, spans_too_deep, attributes_dropped, attributes_cut. They only grow, over stops and starts too; a
 * child begins at 0. Any thread. */
void otp_context_stats(struct otelprof_stats *stats);

/*
 * The full name that thread `tid` gave itself with otelprof_thread_name(). `kernel_name` is the name that the sample
 * carries: it must be the beginning of the full one, so that a name given since by other means, or the name of an
 * earlier thread with the same id, is not taken. Ended threads are still found until their place is needed. Returns the
 * length, 0 if there is none. Never blocks a writer. Any thread.
 */
size_t otp_context_thread_name(uint32_t tid, const char *kernel_name, char *buffer, size_t size);

#endif

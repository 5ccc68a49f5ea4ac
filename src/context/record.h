// SPDX-License-Identifier: Apache-2.0
/*
 * How the owner of a slot changes its record. Private to this room; inlined into the span calls.
 *
 * Who may look, and when: the sampler interrupts the owner, or runs on the owner's CPU; a reader on another CPU copies
 * the record and looks at the generation again. So the record that is not valid is filled, then the generation makes
 * it the valid one. Bytes of a valid record change in one way only: attributes grow, bytes first and the size after.
 */
#ifndef OTP_CONTEXT_RECORD_H
#define OTP_CONTEXT_RECORD_H

#include <string.h>

#include "context/thread.h"

/*
 * Keeps the stores before it before those after it. The readers that interrupt the owner need the compiler's order
 * only (OTEP 4947, "Writing"); the one on another CPU needs the machine's too, which x86-64 keeps by itself.
 * ThreadSanitizer knows no fences, and its own instrumentation keeps the order.
 */
static inline void otp_order_stores(void) {
#if defined(__x86_64__) || defined(__SANITIZE_THREAD__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_release);
#endif
}

/* The generation after the present one. The slot's half of it is never 0; the low bit changes each time. */
static inline uint64_t otp_next_generation(uint64_t generation) {
    uint64_t next = generation + 1;
    return (uint32_t)next ? next : next + 2;
}

/* Fills all of a record but its attributes. The last four bytes go by one store, because readers of our own (capture)
 * may load them together soon after, which is slow from several stores. */
static inline void otp_record_fill(struct otp_thread_record *record, const uint8_t trace_id[16],
                                   const uint8_t span_id[8], uint8_t valid, uint8_t flags, uint8_t attrs_size) {
    memcpy(record->trace_id, trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, span_id, sizeof(record->span_id));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t tail = valid | (uint32_t)flags << 8 | (uint32_t)attrs_size << 16;
#else
    uint32_t tail = (uint32_t)valid << 24 | (uint32_t)flags << 16 | attrs_size;
#endif
    memcpy((uint8_t *)record + offsetof(struct otp_thread_record, valid), &tail, sizeof(tail));
}

/* Makes record `generation` & 1 the valid one. */
static inline void otp_record_switch(struct otp_thread *self, uint64_t generation, bool valid) {
    struct otp_slot *slot = self->slot;
    otp_order_stores();
    self->generation = generation;
    __atomic_store_n(&slot->generation, (uint32_t)generation, __ATOMIC_RELEASE);
    otp_order_stores();
    *self->outside = valid ? &slot->record[generation & 1] : NULL;
}

/*
 * Makes `level`, with the first `attrs_size` bytes of the active attributes, what readers see: the general form, for
 * all but the commonest cases. The active attributes are those of the present record, or `attrs` if not NULL.
 */
void otp_record_show(struct otp_thread *self, const struct otp_level *level, const uint8_t *attrs, uint8_t attrs_size);

#endif

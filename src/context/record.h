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

/* The generation after the present one. 0 means "never owned" and is left out; the low bit still changes. */
static inline uint32_t otp_next_generation(uint32_t generation) {
    uint32_t next = generation + 1;
    return next ? next : 2;
}

/*
 * Makes `level`, with the first `attrs_size` bytes of the active attributes, what readers see. The active attributes
 * are those of the present record, or `attrs` if not NULL.
 */
static inline void otp_record_show(struct otp_thread *self, const struct otp_level *level, const uint8_t *attrs,
                                   uint8_t attrs_size) {
    struct otp_slot *slot = self->slot;
    uint32_t generation = otp_next_generation(self->generation);
    uint32_t to = generation & 1;
    struct otp_thread_record *record = &slot->record[to];

    otp_order_stores(); /* the generation that made this record invalid is out before it changes */
    memcpy(record->trace_id, level->trace_id, sizeof(record->trace_id));
    memcpy(record->span_id, level->span_id, sizeof(record->span_id));
    record->valid = level->valid;
    record->trace_flags = level->trace_flags;
    record->attrs_size = attrs_size;
    uint8_t synced = self->attrs_synced[to];
    if (attrs) {
        memcpy(record->attrs, attrs, attrs_size);
        self->attrs_synced[to ^ 1] = 0;
    } else {
        if (__builtin_expect(synced < attrs_size, 0)) {
            const uint8_t *from = slot->record[to ^ 1].attrs;
            memcpy(record->attrs + synced, from + synced, (size_t)(attrs_size - synced));
        }
        /* Attributes that are added after this are others than those that the old record has there. */
        if (self->attrs_synced[to ^ 1] > attrs_size)
            self->attrs_synced[to ^ 1] = attrs_size;
    }
    self->attrs_synced[to] = attrs_size;
    self->attrs_size = attrs_size;

    otp_order_stores();
    self->generation = generation;
    __atomic_store_n(&slot->generation, generation, __ATOMIC_RELEASE);
    otp_order_stores();
    *self->outside = level->valid ? record : NULL;
}

#endif

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Span context, shared by memory between the threads of the process (writers) and the programs (readers).
 *
 * A thread that enters its first span claims a slot of the map context_slots, and enters its id into the
 * open-addressed table context_index. A slot holds two records; the low bit of its generation is the index of the
 * valid one. The owner fills the other record, then adds 1 to the generation: the sampler, which interrupts the owner
 * or runs on its CPU, never sees a record in the making.
 */
#ifndef OTP_BPF_CONTEXT_SLOT_H
#define OTP_BPF_CONTEXT_SLOT_H

#include "shared_types.h"

#define OTP_RECORD_ATTRS_MAX 228

/* OpenTelemetry's thread-context record (OTEP 4947), with room for a stated size of attributes. Host byte order. */
struct otp_thread_record {
    uint8_t trace_id[16]; /* all zero: none */
    uint8_t span_id[8];
    uint8_t valid; /* 1: the record counts */
    uint8_t trace_flags;
    uint16_t attrs_size;                 /* bytes of attrs in use */
    uint8_t attrs[OTP_RECORD_ATTRS_MAX]; /* entries: key index, length, bytes; the last of a key counts */
};

#define OTP_RECORD_HEADER 28
_Static_assert(sizeof(struct otp_thread_record) == 256, "a record is four cache lines");
_Static_assert(__builtin_offsetof(struct otp_thread_record, attrs) == OTP_RECORD_HEADER, "OTEP 4947 layout");

struct otp_slot {
    uint32_t owner_tid;  /* as the thread's own PID namespace numbers it; 0: free */
    uint32_t generation; /* low bit: index of the valid record. Never 0 again once owned */
    uint32_t reserved[14];
    struct otp_thread_record record[2];
};
_Static_assert(sizeof(struct otp_slot) == 576, "a slot is a multiple of 64 bytes");

/* Entry of context_index, one 64-bit word so that it is claimed and read at once: low half tid, high half slot. */
#define OTP_INDEX_EMPTY 0ull
#define OTP_INDEX_GONE 0xffffffffull /* tid of an entry whose thread ended: searches go on past it */
#define OTP_INDEX_ENTRY(tid, slot) (((uint64_t)(slot) << 32) | (uint32_t)(tid))
#define OTP_INDEX_TID(entry) ((uint32_t)(entry))
#define OTP_INDEX_SLOT(entry) ((uint32_t)((entry) >> 32))

/* Searches, on both sides, try this many places from the hash of the tid on and then give up. */
#define OTP_INDEX_PROBES 64

OTP_INLINE uint32_t otp_index_hash(uint32_t tid) { return (tid * 0x9e3779b1u) >> 8; }

#endif

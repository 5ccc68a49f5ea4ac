// SPDX-License-Identifier: Apache-2.0
/* The open-addressed table that leads the programs from a thread id to its slot. Lock-free. Private to this room. */
#ifndef OTP_CONTEXT_INDEX_H
#define OTP_CONTEXT_INDEX_H

#include <stdint.h>

#include "context/context.h"

/*
 * Enters thread `tid` with its slot. Returns -1, or the slot of an earlier thread of the same id whose entry was
 * replaced; -2 if there is no place within OTP_INDEX_PROBES. A given id is entered by the thread that has it only.
 */
int64_t otp_index_enter(const struct otp_context_memory *memory, uint32_t tid, uint32_t slot);

/* Marks the entry of `tid` as gone, if it still leads to this slot. */
void otp_index_leave(const struct otp_context_memory *memory, uint32_t tid, uint32_t slot);

/* Marks all places as empty. */
void otp_index_clear(const struct otp_context_memory *memory);

#endif

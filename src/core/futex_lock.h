// SPDX-License-Identifier: Apache-2.0
/*
 * Which lock of the C library a thread in futex(2) waits for, and who holds it: told by the function of the library
 * that is on the thread's stack and by the words that lie at the futex.
 */
#ifndef OTP_CORE_FUTEX_LOCK_H
#define OTP_CORE_FUTEX_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/window.h"
#include "record.h"
#include "thread_state.h"

struct otp_futex_lock {
    uint8_t kind;     /* enum otp_lock_kind: OTP_LOCK_MUTEX, _READ or _WRITE; 0: the thread waits for none of these */
    bool timed;       /* the wait ends by itself */
    uint32_t owner;   /* thread that holds it, by its own PID namespace; 0: not known */
    uint64_t address; /* of the lock; 0: not known */
};

/* Looks the C library's functions up. Takes the loader's lock: on the caller's thread, before the others. */
void otp_futex_lock_find_functions(void);

/* What the thread of that state and stack waits for. */
struct otp_futex_lock otp_futex_lock_of(const struct otp_thread_state *state, const struct otp_frame_ref *frames,
                                        uint32_t frame_count);

/* The same, where it is known what kind of lock it is. */
struct otp_futex_lock otp_futex_lock_read(const struct otp_thread_state *state, enum otp_lock_kind kind);

#endif

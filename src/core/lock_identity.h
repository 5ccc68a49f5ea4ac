// SPDX-License-Identifier: Apache-2.0
/* The attributes that say which lock it is that somebody waits for. On the profiler thread. */
#ifndef OTP_CORE_LOCK_IDENTITY_H
#define OTP_CORE_LOCK_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock_names.h"
#include "profile/window.h"

struct otp_intake;

#define OTP_LOCK_EXTRAS 6

/* The attributes, and what they point to: it stays where it was made. */
struct otp_lock_identity {
    struct otp_extra extras[OTP_LOCK_EXTRAS];
    uint8_t count;
    char name[OTP_LOCK_NAME_MAX + 1], address[24];
    struct otp_frame_ref data, site;
};

/* With the kind (enum otp_lock_kind) alone. */
void otp_lock_identity_make(struct otp_lock_identity *identity, unsigned kind);

/*
 * Adds the lock at `lock`: by the program's own word, by the variable that it lies in, or by the function around
 * `site`, an address of code (0: none); and the address itself if `tell_address`.
 */
void otp_lock_identity_add_lock(struct otp_lock_identity *identity, struct otp_intake *intake, uint64_t lock,
                                uint64_t site, bool tell_address);

void otp_lock_identity_add_owner(struct otp_lock_identity *identity, uint32_t tid);

/* `text` NULL: adds nothing. Both stay the caller's, and must outlive the identity. */
void otp_lock_identity_add_text(struct otp_lock_identity *identity, const char *key, const char *text);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "core/lock_identity.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/intake.h"
#include "record.h"

static const struct {
    const char *kind, *mode;
} words[OTP_LOCK_KINDS] = {
    [OTP_LOCK_MUTEX] = {"mutex", NULL},         [OTP_LOCK_READ] = {"rwlock", "read"},
    [OTP_LOCK_WRITE] = {"rwlock", "write"},     [OTP_LOCK_SPIN] = {"spinlock", NULL},
    [OTP_LOCK_CONDITION] = {"condition", NULL}, [OTP_LOCK_SEMAPHORE] = {"semaphore", NULL},
    [OTP_LOCK_JOIN] = {"join", NULL},           [OTP_LOCK_BARRIER] = {"barrier", NULL},
};

void otp_lock_identity_add_text(struct otp_lock_identity *identity, const char *key, const char *text) {
    if (text)
        identity->extras[identity->count++] = (struct otp_extra){.key = key, .text = text};
}

void otp_lock_identity_make(struct otp_lock_identity *identity, unsigned kind) {
    identity->count = 0;
    otp_lock_identity_add_text(identity, "otelprof.lock.kind", words[kind].kind);
    otp_lock_identity_add_text(identity, "otelprof.lock.mode", words[kind].mode);
}

static void add_name(struct otp_lock_identity *identity, struct otp_intake *intake, uint64_t lock, uint64_t site) {
    otp_lock_names_get(lock, identity->name);
    if (*identity->name) {
        otp_lock_identity_add_text(identity, "otelprof.lock.name", identity->name);
        return;
    }
    struct otp_extra *extra = &identity->extras[identity->count];
    *extra = (struct otp_extra){.key = "otelprof.lock.name"};
    if (otp_intake_data(intake, lock, &identity->data))
        extra->data = &identity->data;
    if (site) {
        identity->site = otp_intake_code(intake, site);
        extra->site = &identity->site;
    }
    identity->count += extra->data || extra->site;
}

void otp_lock_identity_add_lock(struct otp_lock_identity *identity, struct otp_intake *intake, uint64_t lock,
                                uint64_t site, bool tell_address) {
    add_name(identity, intake, lock, site);
    if (!tell_address)
        return;
    snprintf(identity->address, sizeof(identity->address), "0x%" PRIx64, lock);
    otp_lock_identity_add_text(identity, "otelprof.lock.address", identity->address);
}

void otp_lock_identity_add_owner(struct otp_lock_identity *identity, uint32_t tid) {
    identity->extras[identity->count++] = (struct otp_extra){.key = "otelprof.lock.owner.thread.id", .number = tid};
}

// SPDX-License-Identifier: Apache-2.0
#include "core/thread_sample.h"

#include <stdio.h>
#include <string.h>

#include "core/syscall_names.h"

static const char *const states[OTP_THREAD_RUNS] = {
    [OTP_THREAD_RUNNING] = "running",   [OTP_THREAD_RUNNABLE] = "runnable",
    [OTP_THREAD_SLEEPING] = "sleeping", [OTP_THREAD_UNINTERRUPTIBLE] = "uninterruptible",
    [OTP_THREAD_STOPPED] = "stopped",
};

static void add_text(struct otp_thread_sample *sample, const char *key, const char *text) {
    sample->extras[sample->count++] = (struct otp_extra){.key = key, .text = text};
}

void otp_thread_sample_make(struct otp_thread_sample *sample, unsigned run, int syscall) {
    sample->count = 0;
    add_text(sample, "otelprof.thread.state", run < OTP_THREAD_RUNS && states[run] ? states[run] : "unknown");
    const char *name = otp_syscall_name(syscall);
    if (!name) {
        snprintf(sample->syscall, sizeof(sample->syscall), "%d", syscall);
        name = sample->syscall;
    }
    if (*name)
        add_text(sample, "otelprof.syscall", name);
}

void otp_thread_sample_add_number(struct otp_thread_sample *sample, const char *key, int64_t number) {
    sample->extras[sample->count++] = (struct otp_extra){.key = key, .number = number};
}

void otp_thread_sample_add_lock(struct otp_thread_sample *sample, struct otp_intake *intake,
                                const struct otp_futex_lock *lock, bool address) {
    otp_lock_identity_make(&sample->lock, lock->kind);
    if (lock->address)
        otp_lock_identity_add_lock(&sample->lock, intake, lock->address, 0, address);
    if (lock->owner && address)
        otp_lock_identity_add_owner(&sample->lock, lock->owner);
    memcpy(sample->extras + sample->count, sample->lock.extras, sample->lock.count * sizeof(sample->lock.extras[0]));
    sample->count = (uint8_t)(sample->count + sample->lock.count);
}

uint32_t otp_thread_sample_put(const struct otp_thread_sample *sample, struct otp_window *window,
                               const struct otp_sample *base, enum otp_profile_kind type, double value) {
    struct otp_sample copy = *base;
    copy.type = type;
    copy.value = value;
    copy.extras = sample->extras;
    copy.extra_count = sample->count;
    return otp_window_add_group(window, &copy);
}

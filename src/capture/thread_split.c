// SPDX-License-Identifier: Apache-2.0
#include "capture/thread_split.h"

#include <string.h>

#include "context_slot.h"
#include "record.h"

size_t otp_thread_pass_split(const uint8_t *bytes, size_t size, otp_thread_pass_fn receiver, void *user) {
    size_t done = 0;
    for (;;) {
        struct otp_thread_state state;
        struct otp_record record;
        const uint8_t *at = bytes + done;
        if (size - done < sizeof(state) + sizeof(record))
            return done;
        memcpy(&state, at, sizeof(state));
        memcpy(&record, at + sizeof(state), sizeof(record));
        if (record.version != OTP_RECORD_VERSION || record.type != OTP_RECORD_THREAD ||
            record.kernel_frames > OTP_KERNEL_FRAMES_MAX || record.user_frames > OTP_FRAMES_MAX ||
            record.context_size > sizeof(struct otp_thread_record))
            return SIZE_MAX;
        size_t length = sizeof(record) + ((size_t)record.kernel_frames + record.user_frames) * 8 + record.context_size;
        if (size - done - sizeof(state) < length)
            return done;
        receiver(user, &state, at + sizeof(state), length);
        done += sizeof(state) + length;
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "capture/thread_pass.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "context_slot.h"
#include "record.h"

/* The kernel collects up to 8 pages before a read returns (bpf_seq_read() in kernel/bpf/bpf_iter.c). */
#define BUFFER (64u << 10)
#define READS_AGAIN 1000 /* each after a million threads without anything to tell */

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

/* Reads to the end. 0 or a negative errno. */
static int read_all(int fd, uint8_t *buffer, otp_thread_pass_fn receiver, void *user) {
    size_t kept = 0;
    for (int again = 0; again < READS_AGAIN;) {
        ssize_t size = otp_sys.read(fd, buffer + kept, BUFFER - kept);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            again++;
            continue;
        }
        if (size <= 0)
            return size < 0 ? -errno : kept ? -EPROTO : 0;
        kept += (size_t)size;
        size_t done = otp_thread_pass_split(buffer, kept, receiver, user);
        if (done == SIZE_MAX || (!done && kept == BUFFER))
            return -EPROTO;
        kept -= done;
        memmove(buffer, buffer + done, kept);
    }
    return -EAGAIN;
}

int otp_thread_pass_run(struct otp_thread_pass *pass, const struct otp_descriptor *link, otp_thread_pass_fn receiver,
                        void *user) {
    if (!pass->buffer)
        pass->buffer = otp_sys.malloc(BUFFER);
    if (!pass->buffer)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for a pass over the threads");
    if (!otp_descriptor_intact(link))
        return otp_error(OTELPROF_E_STATE, "somebody closed the descriptor that passes over the threads need");
    int fd = bpf_iter_create(link->fd);
    if (fd < 0)
        return otp_error_errno(OTELPROF_E_SYSTEM, -fd, "bpf(BPF_ITER_CREATE)");
    int result = read_all(fd, pass->buffer, receiver, user);
    close(fd);
    return result ? otp_error_errno(OTELPROF_E_SYSTEM, -result, "read of the iterator over the threads") : 0;
}

void otp_thread_pass_free(struct otp_thread_pass *pass) {
    free(pass->buffer);
    pass->buffer = NULL;
}

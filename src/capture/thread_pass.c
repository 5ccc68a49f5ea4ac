// SPDX-License-Identifier: Apache-2.0
#include "capture/thread_pass.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

/* The kernel collects up to 8 pages before a read returns (bpf_seq_read() in kernel/bpf/bpf_iter.c). */
#define BUFFER (64u << 10)
#define READS_AGAIN 1000 /* each after a million threads without anything to tell */

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
    int fd = bpf_iter_create(link->fd); /* an error where the number has come to mean anything else */
    if (fd >= 0 && fd <= 2) {           /* the host closed its own: it shall not take this one for it */
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        close(fd);
        fd = higher < 0 ? -errno : higher;
    }
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

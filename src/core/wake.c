// SPDX-License-Identifier: Apache-2.0
#include "core/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

static bool is_ours(const struct otp_wake *wake, int end) {
    struct stat status;
    return wake->ends[end] >= 0 && !fstat(wake->ends[end], &status) && S_ISFIFO(status.st_mode) &&
           status.st_dev == wake->device && status.st_ino == wake->inode;
}

/* Above 2: a host that runs without stdin, stdout or stderr must not find us there. */
static bool move_up(int *fd) {
    if (*fd > STDERR_FILENO)
        return true;
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int number = errno;
    close(*fd);
    *fd = high;
    errno = number;
    return high >= 0;
}

int otp_wake_open(struct otp_wake *wake) {
    struct stat status;
    wake->ends[0] = wake->ends[1] = -1;
    if (otp_sys.pipe2(wake->ends, O_CLOEXEC | O_NONBLOCK))
        return otp_error_errno(OTELPROF_E_SYSTEM, errno, "pipe2");
    bool read_end = move_up(&wake->ends[0]), write_end = move_up(&wake->ends[1]);
    if (!read_end || !write_end || otp_sys.fstat(wake->ends[0], &status)) {
        int number = errno;
        for (int end = 0; end < 2; end++)
            if (wake->ends[end] >= 0)
                close(wake->ends[end]);
        wake->ends[0] = wake->ends[1] = -1;
        return otp_error_errno(OTELPROF_E_SYSTEM, number, "a pipe above descriptor 2");
    }
    wake->device = status.st_dev;
    wake->inode = status.st_ino;
    return 0;
}

int otp_wake_fd(const struct otp_wake *wake) { return is_ours(wake, 0) ? wake->ends[0] : -1; }

void otp_wake_up(const struct otp_wake *wake) {
    if (is_ours(wake, 1) && otp_sys.write(wake->ends[1], "", 1) < 0)
        return; /* full: it is awake */
}

void otp_wake_clear(const struct otp_wake *wake) {
    char bytes[64];
    while (is_ours(wake, 0) && otp_sys.read(wake->ends[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
}

void otp_wake_close(struct otp_wake *wake) {
    for (int end = 0; end < 2; end++)
        if (is_ours(wake, end))
            close(wake->ends[end]);
    wake->ends[0] = wake->ends[1] = -1;
}

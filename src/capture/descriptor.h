// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors in a process that is not ours: close-on-exec, above 2, and never closed when the number has come to
 * mean something else (a host that closes everything and opens files of its own).
 */
#ifndef OTP_CAPTURE_DESCRIPTOR_H
#define OTP_CAPTURE_DESCRIPTOR_H

#include <stdbool.h>

/* What a descriptor of ours is known by: two anonymous inodes cannot be told apart by fstat() alone. */
enum otp_descriptor_kind {
    OTP_DESCRIPTOR_BPF_MAP,
    OTP_DESCRIPTOR_BPF_PROGRAM,
    OTP_DESCRIPTOR_BPF_LINK,
    OTP_DESCRIPTOR_PERF_EVENT,
};

struct otp_descriptor {
    int fd; /* -1: none */
    enum otp_descriptor_kind kind;
    unsigned long long id; /* of the kernel object */
};

#define OTP_DESCRIPTOR_NONE                                                                                            \
    { -1, OTP_DESCRIPTOR_BPF_MAP, 0 }

/* A copy of `fd` (>= 3, close-on-exec) and its identity. 0, or a negative errno. */
int otp_descriptor_take(struct otp_descriptor *descriptor, int fd, enum otp_descriptor_kind kind);

/* As otp_descriptor_take(), but keeps `fd` itself if it is above 2, and closes it if not. */
int otp_descriptor_adopt(struct otp_descriptor *descriptor, int fd, enum otp_descriptor_kind kind);

/* True if the number still means the object that was taken. */
bool otp_descriptor_intact(const struct otp_descriptor *descriptor);

/*
 * Closes it if it is still ours, and forgets it either way. Makes no call that a seccomp filter of the host is likely
 * to punish. Async-signal-safe.
 */
void otp_descriptor_close(struct otp_descriptor *descriptor);

#endif

// SPDX-License-Identifier: Apache-2.0
/* A call of the exec family, and what is to be expected of it. Async-signal-safe. */
#ifndef OTP_PRELOAD_EXEC_TARGET_H
#define OTP_PRELOAD_EXEC_TARGET_H

struct otp_exec {
    enum { OTP_EXEC_PATH, OTP_EXEC_NAME, OTP_EXEC_FD, OTP_EXEC_AT } how; /* execve, execvpe, fexecve, execveat */
    int fd;
    const char *path;
    int flags;
    char *const *arguments;
};

enum otp_exec_outlook {
    OTP_EXEC_FAILS,    /* there is no such program */
    OTP_EXEC_ENDS_US,  /* the loader will not put our object into it, or we cannot tell */
    OTP_EXEC_TAKES_US, /* it will */
};

/* Looks at the file that would be executed, and at the interpreters of a script. Changes errno. */
enum otp_exec_outlook otp_exec_outlook(const struct otp_exec *call);

#endif

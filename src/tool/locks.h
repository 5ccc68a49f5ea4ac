// SPDX-License-Identifier: Apache-2.0
/* `otelprof top --locks`: which locks are waited for, by whom, and who held them. */
#ifndef OTP_TOOL_LOCKS_H
#define OTP_TOOL_LOCKS_H

#include <stdbool.h>
#include <stddef.h>

struct locks_options {
    const char *by; /* attribute of the samples that tells whose work it was; NULL: http.route */
    size_t rows;    /* locks, as text */
    size_t width;   /* characters of a line */
    bool json;
};

/*
 * Adds up the profiles "block" and "mutex" of the files and directories, and prints the locks (then what else was
 * waited for), those that were waited for longest first: waits, total and mean delay, and those who waited and held. An
 * exit code of the program.
 */
int locks_report(char **paths, int count, const struct locks_options *options);

#endif

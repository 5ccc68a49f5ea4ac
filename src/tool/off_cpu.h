// SPDX-License-Identifier: Apache-2.0
/* `otelprof top --off-cpu`: where threads are blocked, and on what. */
#ifndef OTP_TOOL_OFF_CPU_H
#define OTP_TOOL_OFF_CPU_H

#include <stdbool.h>
#include <stddef.h>

struct off_cpu_options {
    const char *by; /* attribute of the samples that tells whose work it was; NULL: http.route */
    size_t rows;    /* places of each thing that is waited for, as text */
    size_t width;   /* characters of a line */
    bool json;
};

/*
 * Adds up the blocked part of the profile "wall" of the files and directories, and prints what was waited for (the
 * system call by its name), the longest first, and the program's functions that waited. An exit code of the program.
 */
int off_cpu_report(char **paths, int count, const struct off_cpu_options *options);

#endif

// SPDX-License-Identifier: Apache-2.0
/* `otelprof top --threads`: the threads of the last snapshot of each process, and who waits for whom. */
#ifndef OTP_TOOL_THREADS_H
#define OTP_TOOL_THREADS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Prints deadlocks first, then the threads that agree in state and stack together, the most first: at most `rows` of
 * these as text. An exit code of the program.
 */
int threads_report(char **paths, int count, size_t rows, bool json);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The files that `otelprof top` reads. */
#ifndef OTP_TOOL_INPUTS_H
#define OTP_TOOL_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

struct tool_input {
    char *path;
    bool listed; /* found in a directory: rotation may take it away before it is read */
};

struct tool_inputs {
    struct tool_input *files; /* sorted by path within each argument */
    size_t count;
};

/* What a file turned out to be. */
enum tool_read { TOOL_READ_OK, TOOL_READ_GONE, TOOL_READ_FAILED };

/*
 * Lists the files named by the arguments, and the *.otlp files of the directories among them. False, with a message,
 * if one of them is not there or a directory has none; the others are listed all the same. The caller frees.
 */
bool tool_inputs_list(char **arguments, int count, struct tool_inputs *inputs);
void tool_inputs_free(struct tool_inputs *inputs);

/* Reads a whole file of at most `limit` bytes into memory from malloc(). Says what went wrong. */
enum tool_read tool_input_read(const struct tool_input *input, size_t limit, void **bytes, size_t *size);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Reads the files of a list as OTLP requests, one after the other. */
#ifndef OTP_TOOL_REQUESTS_H
#define OTP_TOOL_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tool/inputs.h"

struct otp_otlp_reader;

/* Gets each request in turn. False: out of memory. */
typedef bool (*tool_request_fn)(void *user, const struct otp_otlp_reader *reader);

/*
 * Says what is wrong with a file, and goes on with the next; a file that rotation took away is nothing. Adds the files
 * that were read to *files. False if one could not be.
 */
bool tool_requests_read(const struct tool_inputs *inputs, tool_request_fn take, void *user, size_t *files);

#endif

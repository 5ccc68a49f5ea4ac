// SPDX-License-Identifier: Apache-2.0
#include "tool/requests.h"

#include <otelprof/otelprof.h>
#include <stdlib.h>

#include "base/error.h"
#include "encode/otlp_reader.h"
#include "tool/tool.h"

static bool read_one(const struct tool_input *input, tool_request_fn take, void *user, size_t *files) {
    void *bytes = NULL;
    size_t size = 0;
    enum tool_read state = tool_input_read(input, OTP_OTLP_READ_MAX, &bytes, &size);
    if (state != TOOL_READ_OK)
        return state == TOOL_READ_GONE;
    struct otp_otlp_reader *reader = NULL;
    int error = otp_otlp_read(bytes, size, &reader);
    free(bytes);
    if (error) {
        const char *reason = otelprof_last_error();
        tool_complain("%s: %s", input->path, *reason ? reason : otelprof_strerror(error));
        return false;
    }
    bool done = take(user, reader);
    otp_otlp_reader_free(reader);
    *files += done;
    if (!done)
        tool_complain("out of memory at %s", input->path);
    return done;
}

bool tool_requests_read(const struct tool_inputs *inputs, tool_request_fn take, void *user, size_t *files) {
    bool good = true;
    for (size_t i = 0; i < inputs->count; i++)
        good = read_one(&inputs->files[i], take, user, files) && good;
    return good;
}

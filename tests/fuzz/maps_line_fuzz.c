// SPDX-License-Identifier: Apache-2.0
/* Feeds text to the reader of /proc/PID/maps lines. */
#include <stdlib.h>
#include <string.h>

#include "unwind/maps_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        struct otp_maps_line line;
        if (otp_maps_line_parse(text, length, &line) &&
            (line.start >= line.end || line.path < text || line.path + line.path_size > text + length))
            abort();
        text += length + 1;
    }
    return 0;
}

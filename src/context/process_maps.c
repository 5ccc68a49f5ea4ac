// SPDX-License-Identifier: Apache-2.0
#include "context/process_maps.h"

#include <stddef.h>

#include "base/maps.h"

static bool look_for_context(void *found, const struct otp_maps_line *line) {
    static const char *const names[] = {"[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]", "/memfd:OTEL_CTX"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        *(bool *)found |= otp_maps_line_names(line, names[i]);
    return !*(bool *)found;
}

bool otp_process_maps_have_context(void) {
    bool found = false;
    otp_maps_scan(look_for_context, &found, NULL);
    return found;
}

// SPDX-License-Identifier: Apache-2.0
/* One line of /proc/PID/maps, taken apart. */
#ifndef OTP_UNWIND_MAPS_LINE_H
#define OTP_UNWIND_MAPS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_maps_line {
    uint64_t start, end, offset, device, inode;
    bool executable;
    const char *path; /* into the line; not terminated */
    size_t path_size; /* without " (deleted)" */
    bool deleted;
};

/* False if the line makes no sense. `size` is without the newline. */
bool otp_maps_line_parse(const char *line, size_t size, struct otp_maps_line *out);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The list of this process's mappings, /proc/thread-self/maps, read line by line. Allocates nothing and takes no lock,
 * so that it may be read on a host's thread: the buffer of a line on the stack is all it needs.
 */
#ifndef OTP_BASE_MAPS_H
#define OTP_BASE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_maps_line {
    uint64_t start, end, offset, device, inode;
    bool writable, executable;
    const char *path; /* into the line; not terminated */
    size_t path_size; /* without " (deleted)" */
    bool deleted;
};

/* False if the line makes no sense. `size` is without the newline. */
bool otp_maps_line_parse(const char *line, size_t size, struct otp_maps_line *out);

/* True if the path or name of a mapping begins with `text`. */
bool otp_maps_line_names(const struct otp_maps_line *line, const char *text);

/* Gets each line in turn, which is valid during the call only. False ends the scan. */
typedef bool otp_maps_take(void *user, const struct otp_maps_line *line);

/*
 * Reads the list to its end, or until `take` has enough. 0, or the errno of what failed: lines before that were taken.
 * Adds to *skipped (which may be NULL) the lines that make no sense or are longer than 8 KiB.
 */
int otp_maps_scan(otp_maps_take *take, void *user, uint64_t *skipped);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Feeds text to the reader of /proc/PID/maps: line by line, and, where calls can be replaced, as a list in pieces. */
#include <stdlib.h>
#include <string.h>

#include "base/maps.h"
#include "base/sys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    const char *from, *to; /* NULL: where the text lies is not known */
    size_t good;
};

static bool check(void *user, const struct otp_maps_line *line) {
    struct seen *seen = user;
    if (line->start >= line->end ||
        (seen->from && (line->path < seen->from || line->path + line->path_size > seen->to)))
        abort();
    seen->good++;
    return true;
}

#ifdef OTP_SYS_SWAPPABLE
static const uint8_t *rest;
static size_t rest_size, piece;

static ssize_t read_rest(int fd, void *buffer, size_t size) {
    size_t part = piece < size ? piece : size;
    (void)fd;
    part = part < rest_size ? part : rest_size;
    memcpy(buffer, rest, part);
    rest += part;
    rest_size -= part;
    return (ssize_t)part;
}

/* In pieces of any size the scan takes the lines that it has when they come alone. */
static void scan(const uint8_t *data, size_t size, size_t good) {
    struct seen seen = {0};
    uint64_t skipped = 0;
    rest = data;
    rest_size = size;
    piece = size ? 1 + data[0] * (size_t)16 : 1;
    otp_sys.read = read_rest;
    if (otp_maps_scan(check, &seen, &skipped) || (size < 8192 && seen.good != good))
        abort();
    otp_sys = otp_sys_real;
}
#else
static void scan(const uint8_t *data, size_t size, size_t good) { (void)data, (void)size, (void)good; }
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = text + size;
    size_t good = 0; /* lines with their end */
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        struct otp_maps_line line;
        struct seen seen = {text, text + length, 0};
        if (otp_maps_line_parse(text, length, &line) && check(&seen, &line))
            good += newline != NULL;
        text += length + 1;
    }
    scan(data, size, good);
    return 0;
}

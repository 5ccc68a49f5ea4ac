// SPDX-License-Identifier: Apache-2.0
#include "symbols/text_lines.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

void otp_text_lines_start(struct otp_text_lines *lines, int fd, uint64_t bytes_limit) {
    lines->fd = fd;
    lines->ended = false;
    lines->failed = false;
    lines->from = 0;
    lines->to = 0;
    lines->bytes_left = bytes_limit;
}

/* One read() behind what is there. */
static void refill(struct otp_text_lines *lines) {
    if (lines->from) {
        memmove(lines->buffer, lines->buffer + lines->from, lines->to - lines->from);
        lines->to -= lines->from;
        lines->from = 0;
    }
    size_t room = sizeof(lines->buffer) - 1 - lines->to;
    if (room > lines->bytes_left)
        room = (size_t)lines->bytes_left;
    ssize_t got = 0;
    do {
        got = room ? otp_sys.read(lines->fd, lines->buffer + lines->to, room) : 0;
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        lines->ended = true;
        lines->failed = got < 0;
        return;
    }
    lines->to += (size_t)got;
    lines->bytes_left -= (uint64_t)got;
}

char *otp_text_lines_next(struct otp_text_lines *lines) {
    bool skipping = false;
    for (;;) {
        char *line = lines->buffer + lines->from;
        char *end = memchr(line, '\n', lines->to - lines->from);
        if (end) {
            *end = 0;
            lines->from = (size_t)(end - lines->buffer) + 1;
            if (!skipping)
                return line;
            skipping = false;
            continue;
        }
        if (lines->to - lines->from == sizeof(lines->buffer) - 1) {
            skipping = true;
            lines->from = lines->to;
        }
        if (lines->ended) {
            if (lines->from == lines->to || skipping)
                return NULL;
            lines->buffer[lines->to] = 0;
            lines->from = lines->to;
            return line;
        }
        refill(lines);
    }
}

bool otp_text_hex(char **text, uint64_t *value) {
    const char *at = *text;
    uint64_t number = 0;
    size_t digits = 0;
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        at += 2;
    for (;; at++, digits++) {
        unsigned digit;
        if (*at >= '0' && *at <= '9')
            digit = (unsigned)(*at - '0');
        else if ((*at | 32) >= 'a' && (*at | 32) <= 'f')
            digit = (unsigned)((*at | 32) - 'a') + 10;
        else
            break;
        if (digits >= 16)
            return false;
        number = number << 4 | digit;
    }
    *text += at - *text;
    *value = number;
    return digits > 0;
}

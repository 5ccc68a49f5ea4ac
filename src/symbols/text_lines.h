// SPDX-License-Identifier: Apache-2.0
/* Reads a text file line by line through one buffer, by plain read(): /proc files and perf maps. */
#ifndef OTP_SYMBOLS_TEXT_LINES_H
#define OTP_SYMBOLS_TEXT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTP_TEXT_BUFFER 16384

struct otp_text_lines {
    int fd; /* the caller's */
    bool ended;
    bool failed; /* read() gave an error */
    size_t from, to;
    uint64_t bytes_left; /* stops after so many */
    char buffer[OTP_TEXT_BUFFER];
};

void otp_text_lines_start(struct otp_text_lines *lines, int fd, uint64_t bytes_limit);

/* The next line, without its end, valid until the next call; lines over the buffer's size are skipped. NULL: no more.
 */
char *otp_text_lines_next(struct otp_text_lines *lines);

/* Reads a hexadecimal number and moves `text` past it. False: there is none, or over 64 bits. */
bool otp_text_hex(char **text, uint64_t *value);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "network/redact.h"

#include <stddef.h>
#include <string.h>

#define SECRET_MIN 4

static const char stars[] = "***";

/* `secret` has `length` bytes, no fewer than the stars. */
static void hide(char *text, const char *secret, size_t length) {
    size_t size = strlen(text) + 1;
    for (char *at = text; (at = memmem(at, size - (size_t)(at - text), secret, length)) != NULL;) {
        memcpy(at, stars, sizeof(stars) - 1);
        at += sizeof(stars) - 1;
        char *rest = at + length - (sizeof(stars) - 1);
        memmove(at, rest, size - (size_t)(rest - text));
        size -= length - (sizeof(stars) - 1);
    }
}

/* A text that was cut in the middle of a secret: its end goes too. */
static void hide_cut(char *text, const char *secret, size_t length) {
    size_t size = strlen(text), most = size < length ? size : length;
    for (size_t part = most; part >= SECRET_MIN; part--) {
        if (memcmp(text + size - part, secret, part) != 0)
            continue;
        memcpy(text + size - part, stars, sizeof(stars)); /* no longer than what it replaces */
        return;
    }
}

void otp_redact(char *text, const char *header_lines) {
    for (const char *line = header_lines; *line; line += strcspn(line, "\n") + 1) {
        const char *value = line + strcspn(line, ":\n");
        value += strspn(value, ": ");
        size_t length = strcspn(value, "\n");
        if (length >= SECRET_MIN) {
            hide(text, value, length);
            hide_cut(text, value, length);
        }
        for (size_t at = 0; at < length;) { /* "Bearer TOKEN": the token alone */
            size_t word = strcspn(value + at, " \t,;=\n");
            if (word >= SECRET_MIN) {
                hide(text, value + at, word);
                hide_cut(text, value + at, word);
            }
            at += word + 1;
        }
        if (line[strcspn(line, "\n")] == 0)
            break;
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "core/headers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/pairs.h"
#include "base/sys.h"

/* RFC 9110's token: what a header's name is made of. */
static bool is_name(const char *name) {
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    return *name && !name[strspn(name, token)];
}

/* Nothing that could end the line. */
static bool is_value(const char *value) {
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

/* What the exporter itself says about a request, or how it is framed. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"content-type",
                                       "content-length",
                                       "content-encoding",
                                       "transfer-encoding",
                                       "host",
                                       "connection",
                                       "te",
                                       "trailer",
                                       "upgrade",
                                       "expect",
                                       "keep-alive",
                                       "proxy-connection"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (!strcmp(name, ours[i]))
            return true;
    return !strncmp(name, "grpc-", 5);
}

static int fill(char *list, char *lines, size_t size, char left_out[OTP_HEADER_NAME]) {
    char *name, *value;
    int found;
    while ((found = otp_pairs_next(&list, &name, &value)) > 0) {
        if (!is_name(name) || !is_value(value))
            return -1;
        for (char *c = name; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
        if (is_ours(name)) {
            snprintf(left_out, OTP_HEADER_NAME, "%s", name);
            continue;
        }
        int length = snprintf(lines, size, "%s: %s\n", name, value);
        lines += length;
        size -= (size_t)length;
    }
    return found;
}

int otp_headers_lines(const char *list, char **lines, char left_out[OTP_HEADER_NAME]) {
    size_t size = strlen(list) + 1, room = 2 * size; /* a pair becomes one byte longer, two with the final newline */
    char *copy = otp_sys.malloc(size);
    *lines = otp_sys.calloc(1, room);
    int result = 0;
    left_out[0] = 0;
    if (!copy || !*lines) {
        result = otp_error(OTELPROF_E_MEMORY, "out of memory for headers");
    } else {
        memcpy(copy, list, size);
        if (fill(copy, *lines, room, left_out))
            result =
                otp_error(OTELPROF_E_INVALID, "the headers are not \"name=value,...\" with percent-encoding, or have "
                                              "a name or a value that HTTP does not allow");
    }
    if (copy)
        explicit_bzero(copy, size);
    free(copy);
    if (result) {
        otp_headers_free(*lines);
        *lines = NULL;
    }
    return result;
}

void otp_headers_free(char *lines) {
    if (lines)
        explicit_bzero(lines, strlen(lines));
    free(lines);
}

// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[256];
static _Thread_local const char *fixed; /* stands in for `sentence` if not NULL */

__attribute__((format(printf, 1, 0))) static void put(const char *format, va_list arguments, int number) {
    int saved = errno;
    fixed = NULL;
    int length = vsnprintf(sentence, sizeof(sentence), format, arguments);
    if (number && length >= 0 && (size_t)length < sizeof(sentence)) {
        char text[96];
        snprintf(sentence + length, sizeof(sentence) - (size_t)length, ": %s (errno %d)",
                 strerror_r(number, text, sizeof(text)), number);
    }
    errno = saved;
}

int otp_error(int error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    put(format, arguments, 0);
    va_end(arguments);
    return error;
}

int otp_error_errno(int error, int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    put(format, arguments, number);
    va_end(arguments);
    return error;
}

int otp_error_constant(int error, const char *constant) {
    fixed = constant;
    return error;
}

const char *otp_error_text(void) { return fixed ? fixed : sentence; }

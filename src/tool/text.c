// SPDX-License-Identifier: Apache-2.0
#include "tool/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *text_duration(char out[TEXT_SIZE], uint64_t ns) {
    double value = (double)ns;
    if (ns >= 10000000000u)
        snprintf(out, TEXT_SIZE, "%.2f s", value / 1e9);
    else if (ns >= 1000000000u)
        snprintf(out, TEXT_SIZE, "%.3f s", value / 1e9);
    else if (ns >= 1000000u)
        snprintf(out, TEXT_SIZE, "%.1f ms", value / 1e6);
    else if (ns >= 1000u)
        snprintf(out, TEXT_SIZE, "%.1f us", value / 1e3);
    else
        snprintf(out, TEXT_SIZE, "%" PRIu64 " ns", ns);
    return out;
}

const char *text_bytes(char out[TEXT_SIZE], uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1; unit++)
        value /= 1024;
    snprintf(out, TEXT_SIZE, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

const char *text_share(char out[TEXT_SIZE], uint64_t part, uint64_t whole) {
    if (whole)
        snprintf(out, TEXT_SIZE, "%.1f %%", 100.0 * (double)part / (double)whole);
    else
        snprintf(out, TEXT_SIZE, "-");
    return out;
}

const char *text_time(char out[TEXT_SIZE], uint64_t unix_ns, int digits) {
    time_t seconds = (time_t)(unix_ns / 1000000000u);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts)) {
        snprintf(out, TEXT_SIZE, "%" PRIu64 " ns", unix_ns);
        return out;
    }
    size_t used = strftime(out, TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &parts);
    if (used && digits > 0) {
        char fraction[16];
        snprintf(fraction, sizeof(fraction), ".%09u", (unsigned)(unix_ns % 1000000000u));
        snprintf(out + used, TEXT_SIZE - used, "%.*s", digits < 9 ? digits + 1 : 10, fraction);
    }
    return out;
}

const char *text_hex(char out[TEXT_SIZE], const uint8_t *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < size && used + 2 < TEXT_SIZE; i++) {
        out[used++] = digits[bytes[i] >> 4];
        out[used++] = digits[bytes[i] & 15];
    }
    out[used] = '\0';
    return out;
}

/* Length of the UTF-8 character at `text`, 1 for a byte that begins none; never past the terminator. */
static size_t character(const char *text) {
    unsigned char first = (unsigned char)*text;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 1;
    }
    return length;
}

/* Whether a terminal would act on the character instead of showing it. */
static bool acts(const char *text, size_t length) {
    const unsigned char *byte = (const unsigned char *)text;
    if (length == 1)
        return byte[0] < 0x20 || byte[0] >= 0x7f;
    if (length == 2)
        return byte[0] == 0xc2 && byte[1] < 0xa0; /* U+0080 to U+009F */
    if (length == 3 && byte[0] == 0xe2)           /* U+200E.., U+2028 to U+202E, U+2066 to U+2069 */
        return (byte[1] == 0x80 && (byte[2] == 0x8e || byte[2] == 0x8f || (byte[2] >= 0xa8 && byte[2] <= 0xae))) ||
               (byte[1] == 0x81 && byte[2] >= 0xa6 && byte[2] <= 0xa9);
    return false;
}

size_t text_width(const char *text) {
    size_t width = 0;
    for (; *text; text += character(text))
        width++;
    return width;
}

void text_cut(const char *text, size_t width) {
    size_t whole = text_width(text);
    size_t show = !width || whole <= width ? whole : width > 2 ? width - 2 : width;
    for (size_t i = 0; i < show; i++) {
        size_t length = character(text);
        if (acts(text, length))
            putchar('?');
        else
            fwrite(text, 1, length, stdout);
        text += length;
    }
    if (show < whole && width > 2)
        fputs("..", stdout);
}

void text_column(const char *text, size_t width) {
    if (width)
        text_cut(text, width);
    for (size_t i = text_width(text); i < width; i++)
        putchar(' ');
}

void text_json(const char *text) {
    putchar('"');
    while (*text) {
        size_t length = character(text);
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if (length == 1 && acts(text, 1))
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            fwrite(text, 1, length, stdout);
        text += length;
    }
    putchar('"');
}

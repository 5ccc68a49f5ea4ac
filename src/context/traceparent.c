// SPDX-License-Identifier: Apache-2.0
/* The value of the W3C header "traceparent": version - trace id - parent id - flags, in lower-case hex. */
#include <stdbool.h>
#include <string.h>

#include <otelprof/otelprof.h>

#define TRACE_ID_AT 3
#define SPAN_ID_AT 36
#define FLAGS_AT 53
#define LENGTH 55
#define KNOWN_FLAGS (OTELPROF_FLAG_SAMPLED | OTELPROF_FLAG_RANDOM)

static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static bool read_hex(const char *text, uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void write_hex(char *text, const uint8_t *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static bool all_zero(const uint8_t *bytes, size_t count) {
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

int otelprof_traceparent_parse(const char *header, size_t length, uint8_t trace_id[16], uint8_t span_id[8],
                               uint8_t *flags) {
    if (!header || !trace_id || !span_id || !flags || length < LENGTH)
        return OTELPROF_E_INVALID;
    uint8_t version;
    if (!read_hex(header, &version, 1) || version == 0xff)
        return OTELPROF_E_INVALID;
    /* A higher version may have more fields; what is known of it stays where it is. */
    if (length > LENGTH && (version == 0 || header[LENGTH] != '-'))
        return OTELPROF_E_INVALID;
    if (header[TRACE_ID_AT - 1] != '-' || header[SPAN_ID_AT - 1] != '-' || header[FLAGS_AT - 1] != '-')
        return OTELPROF_E_INVALID;
    uint8_t trace[16];
    uint8_t span[8];
    uint8_t bits;
    if (!read_hex(header + TRACE_ID_AT, trace, sizeof(trace)) || !read_hex(header + SPAN_ID_AT, span, sizeof(span)) ||
        !read_hex(header + FLAGS_AT, &bits, 1))
        return OTELPROF_E_INVALID;
    if (all_zero(trace, sizeof(trace)) || all_zero(span, sizeof(span)))
        return OTELPROF_E_INVALID;
    memcpy(trace_id, trace, sizeof(trace));
    memcpy(span_id, span, sizeof(span));
    *flags = bits & KNOWN_FLAGS;
    return 0;
}

int otelprof_traceparent_format(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags,
                                char out[OTELPROF_TRACEPARENT_SIZE]) {
    if (!trace_id || !span_id || !out || all_zero(trace_id, 16) || all_zero(span_id, 8))
        return OTELPROF_E_INVALID;
    uint8_t known = flags & KNOWN_FLAGS;
    memcpy(out, "00-", TRACE_ID_AT);
    write_hex(out + TRACE_ID_AT, trace_id, 16);
    out[SPAN_ID_AT - 1] = '-';
    write_hex(out + SPAN_ID_AT, span_id, 8);
    out[FLAGS_AT - 1] = '-';
    write_hex(out + FLAGS_AT, &known, 1);
    out[LENGTH] = '\0';
    return 0;
}

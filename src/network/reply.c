// SPDX-License-Identifier: Apache-2.0
#include "network/reply.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <time.h>
#include <zlib.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "network/status.h"

#define NANOS_PER_S ((uint64_t)1000000000)
#define WAIT_MAX_S 1000000000
#define FRAME_HEADER 5   /* of a message of gRPC */
#define MESSAGE_MAX 8192 /* of one that was compressed: OTLP's own are a few bytes, and a sentence */

/* ------------------------------------------------------------------------------------------------- texts */

void otp_reply_quote(char *text, const char *quoted, size_t size) {
    size_t used = strlen(text);
    if (!size || used + 4 >= OTP_ANSWER_TEXT)
        return;
    memcpy(text + used, ": ", 2);
    otp_utf8_clean(text + used + 2, OTP_ANSWER_TEXT - used - 2, quoted, size);
    for (char *c = text + used; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    for (size_t end = strlen(text); end > used && text[end - 1] == ' '; end--)
        text[end - 1] = 0;
    if (!strcmp(text + used, ":"))
        text[used] = 0;
}

static bool is_protobuf(const char *content_type) {
    static const char type[] = "application/x-protobuf";
    return content_type && !strncasecmp(content_type, type, sizeof(type) - 1);
}

/* Servers that refuse for size without the status that is meant for it: the Collector answers 400. */
static bool says_too_large(const char *text) {
    return strcasestr(text, "too large") || strcasestr(text, "larger than max");
}

/* ------------------------------------------------------------------------------------------------- HTTP */

/* Retry-After: seconds, or a date. 0 if it cannot be understood, or is over. */
static uint64_t retry_after(const char *text) {
    char *end;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (end == text || *end || errno) {
        time_t then = curl_getdate(text, NULL), now = time(NULL);
        seconds = then > now ? (long long)(then - now) : 0;
    }
    if (seconds <= 0)
        return 0;
    return (uint64_t)(seconds < WAIT_MAX_S ? seconds : WAIT_MAX_S) * NANOS_PER_S;
}

static enum otp_delivery delivered(const uint8_t *body, size_t size, struct otp_answer *answer) {
    char text[OTP_STATUS_TEXT];
    if (!otp_response_read(body, size, &answer->rejected_profiles, text))
        return OTP_DELIVERED; /* the status said so; the words about it could not be read */
    otp_reply_quote(answer->text, text, strlen(text));
    if (answer->text[0]) /* without the ": " of a quotation */
        memmove(answer->text, answer->text + 2, strlen(answer->text + 2) + 1);
    return OTP_DELIVERED;
}

/* Not the encoding that was asked for, but a receiver of OTLP. What it says of a part is not read. */
static enum otp_delivery json_success(const struct otp_reply *reply, struct otp_answer *answer) {
    static const char partial[] = "partial"; /* partialSuccess, partial_success */
    if (!memmem(reply->body, reply->body_size, partial, sizeof(partial) - 1))
        return OTP_DELIVERED;
    snprintf(answer->text, sizeof(answer->text), "HTTP %ld, with a partial success in JSON", reply->http_status);
    answer->final = true;
    return OTP_DELIVERY_UNKNOWN;
}

static enum otp_delivery http_success(const struct otp_reply *reply, struct otp_answer *answer) {
    if (reply->body_cut) {
        snprintf(answer->text, sizeof(answer->text), "HTTP %ld with an answer that is too long", reply->http_status);
        answer->final = true; /* whether it was taken stands in what was not read */
        return OTP_DELIVERY_UNKNOWN;
    }
    if (reply->content_type && !strncasecmp(reply->content_type, "application/json", 16))
        return json_success(reply, answer);
    if (!is_protobuf(reply->content_type) && reply->body_size) {
        const char *type = reply->content_type ? reply->content_type : "no content type";
        snprintf(answer->text, sizeof(answer->text), "HTTP %ld, but not from a receiver of profiles",
                 reply->http_status);
        otp_reply_quote(answer->text, type, strnlen(type, 40));
        answer->final = true;
        return OTP_DELIVERY_UNKNOWN;
    }
    return delivered(reply->body, reply->body_size, answer);
}

static const char *http_meaning(long status) {
    switch (status) {
    case 400:
        return " bad request";
    case 401:
        return " not authenticated";
    case 403:
        return " not allowed";
    case 404:
        return " no receiver of profiles at this path";
    case 405:
        return " not a receiver of OTLP";
    case 413:
        return " too large";
    case 415:
        return " protobuf not understood";
    case 429:
        return " too many requests";
    case 502:
    case 503:
    case 504:
        return " not available now";
    default:
        return status >= 300 && status < 400 ? " another place is named, which is not followed" : "";
    }
}

enum otp_delivery otp_reply_http(const struct otp_reply *reply, struct otp_answer *answer) {
    struct otp_status status;
    long code = reply->http_status;
    answer->code = OTP_CODE_HTTP | (uint32_t)code;
    if (code >= 200 && code < 300)
        return http_success(reply, answer);
    snprintf(answer->text, sizeof(answer->text), "HTTP %ld%s", code, http_meaning(code));
    if (is_protobuf(reply->content_type) && otp_status_read(reply->body, reply->body_size, &status))
        otp_reply_quote(answer->text, status.text, strlen(status.text));
    else if (reply->content_type && !strncasecmp(reply->content_type, "text/plain", 10))
        otp_reply_quote(answer->text, (const char *)reply->body, reply->body_size);
    if (code == 429 || (code >= 502 && code <= 504)) {
        answer->wait_ns = reply->retry_after ? retry_after(reply->retry_after) : 0;
        return OTP_DELIVERY_RETRY;
    }
    if (code == 413 || (code == 400 && says_too_large(answer->text)))
        return OTP_DELIVERY_TOO_LARGE;
    return OTP_DELIVERY_FAILED;
}

/* ------------------------------------------------------------------------------------------------- gRPC */

enum {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    GRPC_NONE = 100, /* no status came */
};

static const char *grpc_name(int code) {
    static const char *const names[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    return code >= 0 && code < (int)(sizeof(names) / sizeof(names[0])) ? names[code] : "an unknown status";
}

static int grpc_code(const char *text) {
    char *end;
    long code = strtol(text, &end, 10);
    return end != text && !*end && code >= 0 && code <= GRPC_UNAUTHENTICATED ? (int)code : GRPC_UNKNOWN;
}

/* Without a status of gRPC, that of HTTP speaks: grpc's doc/http-grpc-status-mapping.md. */
static int grpc_code_of_http(long status) {
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return status == 200 ? GRPC_NONE : GRPC_UNKNOWN;
    }
}

/* grpc-message: percent-encoded. A bad escape stays as it is. */
static void quote_grpc_message(char *text, const char *message) {
    char decoded[OTP_ANSWER_TEXT];
    size_t size = 0;
    for (; *message && size < sizeof(decoded); message++) {
        int high = *message == '%' ? otp_hex_digit(message[1]) : -1, low = high < 0 ? -1 : otp_hex_digit(message[2]);
        decoded[size++] = low < 0 ? *message : (char)(high << 4 | low);
        message += low < 0 ? 0 : 2;
    }
    otp_reply_quote(text, decoded, size);
}

/* The frame's message, compressed by gzip, into `room` bytes. The size, or -1. */
static ssize_t inflate_message(const uint8_t *from, size_t size, uint8_t *to, size_t room) {
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)from, .avail_in = (uInt)size};
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) /* 16: gzip's header */
        return -1;
    bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END;
    inflateEnd(&stream);
    return whole ? (ssize_t)(room - stream.avail_out) : -1;
}

/*
 * The message in its frame: a byte that says whether it is compressed, and 4 bytes of length. Servers in Go compress
 * their answer as the request was, whatever was said to be understood.
 */
static ssize_t unframe(const struct otp_reply *reply, uint8_t *room, size_t room_size, const uint8_t **message) {
    const uint8_t *body = reply->body;
    if (reply->body_cut || reply->body_size < FRAME_HEADER)
        return -1;
    uint32_t length = (uint32_t)body[1] << 24 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 8 | body[4];
    if (length > reply->body_size - FRAME_HEADER || body[0] > 1)
        return -1;
    *message = body[0] ? room : body + FRAME_HEADER;
    return body[0] ? inflate_message(body + FRAME_HEADER, length, room, room_size) : (ssize_t)length;
}

static enum otp_delivery grpc_success(const struct otp_reply *reply, struct otp_answer *answer) {
    uint8_t room[MESSAGE_MAX];
    const uint8_t *message;
    if (!reply->body_size && !reply->body_cut)
        return OTP_DELIVERED; /* by its status */
    ssize_t size = unframe(reply, room, sizeof(room), &message);
    if (size >= 0)
        return delivered(message, (size_t)size, answer);
    snprintf(answer->text, sizeof(answer->text), "OK, with an answer that cannot be read");
    answer->final = true; /* whether all of it was taken stands there */
    return OTP_DELIVERY_UNKNOWN;
}

static enum otp_delivery grpc_failure(int code, bool retry_known, const char *text) {
    switch (code) {
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
        return OTP_DELIVERY_RETRY;
    case GRPC_RESOURCE_EXHAUSTED:
        if (retry_known)
            return OTP_DELIVERY_RETRY;
        return says_too_large(text) ? OTP_DELIVERY_TOO_LARGE : OTP_DELIVERY_FAILED;
    case GRPC_NONE:
        return OTP_DELIVERY_UNKNOWN;
    default:
        return OTP_DELIVERY_FAILED;
    }
}

enum otp_delivery otp_reply_grpc(const struct otp_reply *reply, struct otp_answer *answer) {
    struct otp_status status = {0};
    int code = reply->grpc_status ? grpc_code(reply->grpc_status) : grpc_code_of_http(reply->http_status);
    answer->code = OTP_CODE_GRPC | (uint32_t)code;
    if (code == GRPC_OK)
        return grpc_success(reply, answer);
    if (code == GRPC_NONE)
        snprintf(answer->text, sizeof(answer->text), "an answer without a grpc-status");
    else if (reply->grpc_status)
        snprintf(answer->text, sizeof(answer->text), "%s (grpc-status %d)", grpc_name(code), code);
    else
        snprintf(answer->text, sizeof(answer->text), "%s (HTTP %ld, no grpc-status)", grpc_name(code),
                 reply->http_status);
    if (reply->grpc_details && otp_status_read_base64(reply->grpc_details, &status))
        answer->wait_ns = status.retry_ns;
    if (reply->grpc_message)
        quote_grpc_message(answer->text, reply->grpc_message);
    if (!reply->grpc_status && reply->retry_after)
        answer->wait_ns = retry_after(reply->retry_after);
    return grpc_failure(code, status.retry_known, answer->text);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What an answer of a receiver means: OTLP/HTTP and OTLP/gRPC, as their specifications and real servers have it. Every
 * byte of it is foreign. No state, no I/O.
 */
#ifndef OTP_NETWORK_REPLY_H
#define OTP_NETWORK_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/exporter.h"

/* An answer as it came. Strings are NULL where the header did not come. */
struct otp_reply {
    long http_status; /* 0: none */
    const char *content_type;
    const char *retry_after;
    const char *grpc_status, *grpc_message, *grpc_details; /* from trailers, or headers when there is no body */
    const uint8_t *body;
    size_t body_size;
    bool body_cut; /* there was more than is kept */
};

/* Codes of struct otp_answer. */
#define OTP_CODE_HTTP 0x10000u
#define OTP_CODE_GRPC 0x20000u
#define OTP_CODE_CURL 0x30000u

enum otp_delivery otp_reply_http(const struct otp_reply *reply, struct otp_answer *answer);
enum otp_delivery otp_reply_grpc(const struct otp_reply *reply, struct otp_answer *answer);

/* Puts a receiver's text behind what `text` holds: one line, printable. `text` has OTP_ANSWER_TEXT bytes. */
void otp_reply_quote(char *text, const char *quoted, size_t size);

#endif

// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "network/redact.h"
#include "network/reply.h"
#include "network/status.h"
#include "test_main.h"

#define SECOND_NS 1000000000ull
#define PROTOBUF "application/x-protobuf"

static struct otp_answer answer;

static enum otp_delivery http(long status, const char *type, const void *body, size_t size, const char *retry_after) {
    const struct otp_reply reply = {
        .http_status = status, .content_type = type, .retry_after = retry_after, .body = body, .body_size = size};
    memset(&answer, 0, sizeof(answer));
    return otp_reply_http(&reply, &answer);
}

static enum otp_delivery grpc(const char *status, const char *message, const char *details) {
    const struct otp_reply reply = {
        .http_status = 200, .grpc_status = status, .grpc_message = message, .grpc_details = details};
    memset(&answer, 0, sizeof(answer));
    return otp_reply_grpc(&reply, &answer);
}

/* ExportProfilesServiceResponse{partial_success{rejected_profiles: 3, error_message: "no\n room"}}. */
static const char partial[] = "\x0a\x0c\x08\x03\x12\x08no\n room";

START_TEST(every_http_status_has_its_consequence) {
    static const struct {
        long status;
        enum otp_delivery delivery;
    } rows[] = {
        {200, OTP_DELIVERED},       {202, OTP_DELIVERED},          {301, OTP_DELIVERY_FAILED},
        {302, OTP_DELIVERY_FAILED}, {400, OTP_DELIVERY_FAILED},    {401, OTP_DELIVERY_FAILED},
        {403, OTP_DELIVERY_FAILED}, {404, OTP_DELIVERY_FAILED},    {405, OTP_DELIVERY_FAILED},
        {408, OTP_DELIVERY_FAILED}, {413, OTP_DELIVERY_TOO_LARGE}, {415, OTP_DELIVERY_FAILED},
        {429, OTP_DELIVERY_RETRY},  {500, OTP_DELIVERY_FAILED},    {501, OTP_DELIVERY_FAILED},
        {502, OTP_DELIVERY_RETRY},  {503, OTP_DELIVERY_RETRY},     {504, OTP_DELIVERY_RETRY},
        {505, OTP_DELIVERY_FAILED}, {599, OTP_DELIVERY_FAILED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_msg(http(rows[i].status, NULL, "", 0, NULL) == rows[i].delivery, "HTTP %ld", rows[i].status);
}
END_TEST

START_TEST(retry_after_is_seconds_or_a_date) {
    char date[64];
    time_t then = time(NULL) + 30;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
    ck_assert_int_eq(http(429, NULL, "", 0, "7"), OTP_DELIVERY_RETRY);
    ck_assert_uint_eq(answer.wait_ns, 7 * SECOND_NS);
    http(503, NULL, "", 0, date);
    ck_assert_uint_ge(answer.wait_ns, 28 * SECOND_NS);
    ck_assert_uint_le(answer.wait_ns, 30 * SECOND_NS);
    const char *const none[] = {
        "0", "-5", "soon", "", "7x", "99999999999999999999999", "Mon, 01 Jan 1990 00:00:00 GMT"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        http(503, NULL, "", 0, none[i]);
        ck_assert_msg(!answer.wait_ns, "%s", none[i]);
    }
    http(503, NULL, "", 0, "1000000000000");
    ck_assert_uint_eq(answer.wait_ns, 1000000000 * SECOND_NS);
    ck_assert_int_eq(http(400, NULL, "", 0, "7"), OTP_DELIVERY_FAILED);
    ck_assert_uint_eq(answer.wait_ns, 0);
}
END_TEST

START_TEST(http_bodies_are_read_by_their_type) {
    static const char status[] = "\x08\x03\x12\x0cwrong\x01\xff data";
    ck_assert_int_eq(http(200, PROTOBUF, "\x0a\x00", 2, NULL), OTP_DELIVERED); /* how the Collector says yes */
    ck_assert_str_eq(answer.text, "");
    ck_assert_int_eq(http(200, PROTOBUF "; charset=x", partial, sizeof(partial) - 1, NULL), OTP_DELIVERED);
    ck_assert_uint_eq(answer.rejected_profiles, 3);
    ck_assert_str_eq(answer.text, "no  room");
    http(400, PROTOBUF, status, sizeof(status) - 1, NULL);
    ck_assert_str_eq(answer.text, "HTTP 400 bad request: wrong \xef\xbf\xbd data");
    http(401, "text/plain; charset=utf-8", "go away\n\n", 9, NULL);
    ck_assert_str_eq(answer.text, "HTTP 401 not authenticated: go away");
    http(404, "text/html", "<html>", 6, NULL);
    ck_assert_str_eq(answer.text, "HTTP 404 no receiver of profiles at this path");
    ck_assert_int_eq(http(400, "text/plain", "http: request body too large", 28, NULL), OTP_DELIVERY_TOO_LARGE);
    ck_assert_int_eq(http(200, "text/\x01html", "<html>welcome", 13, NULL), OTP_DELIVERY_UNKNOWN); /* a portal, say */
    ck_assert(answer.final);
    ck_assert_str_eq(answer.text, "HTTP 200, but not from a receiver of profiles: text/ html");
    ck_assert_int_eq(http(200, "application/json", "{}", 2, NULL), OTP_DELIVERED);
    ck_assert_int_eq(http(200, "application/json", "{\"partialSuccess\":{}}", 21, NULL), OTP_DELIVERY_UNKNOWN);
    ck_assert(answer.final);
    ck_assert_int_eq(http(200, PROTOBUF, "\xff\xff\xff", 3, NULL), OTP_DELIVERED);
    const struct otp_reply huge = {.http_status = 200, .content_type = PROTOBUF, .body_cut = true};
    ck_assert_int_eq(otp_reply_http(&huge, &answer), OTP_DELIVERY_UNKNOWN);
    ck_assert(answer.final);
}
END_TEST

/* base64 of Status{8, "busy", Any{RetryInfo{3 s 500 ms}}}. */
#define RETRY_3500_MS "CAgSBGJ1c3kaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAxCAyrXuAQ"

START_TEST(every_grpc_status_has_its_consequence) {
    static const enum otp_delivery rows[] = {
        OTP_DELIVERED,       OTP_DELIVERY_RETRY,  OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED, OTP_DELIVERY_RETRY,
        OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED,
        OTP_DELIVERY_RETRY,  OTP_DELIVERY_RETRY,  OTP_DELIVERY_FAILED, OTP_DELIVERY_FAILED, OTP_DELIVERY_RETRY,
        OTP_DELIVERY_RETRY,  OTP_DELIVERY_FAILED};
    for (int code = 0; code < 17; code++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", code);
        ck_assert_msg(grpc(text, "", NULL) == rows[code], "grpc-status %d", code);
    }
    ck_assert_int_eq(grpc("99", "", NULL), OTP_DELIVERY_FAILED);
    ck_assert_int_eq(grpc("x", "", NULL), OTP_DELIVERY_FAILED);
    ck_assert_int_eq(grpc(NULL, NULL, NULL), OTP_DELIVERY_UNKNOWN); /* 200 without a status */
    ck_assert(!answer.final);
    ck_assert_int_eq(grpc("8", "grpc: received message larger than max (5 vs. 4)", NULL), OTP_DELIVERY_TOO_LARGE);
}
END_TEST

START_TEST(http_speaks_where_grpc_is_silent) {
    static const struct {
        long status;
        enum otp_delivery delivery;
    } rows[] = {{400, OTP_DELIVERY_FAILED}, {401, OTP_DELIVERY_FAILED}, {403, OTP_DELIVERY_FAILED},
                {404, OTP_DELIVERY_FAILED}, {429, OTP_DELIVERY_RETRY},  {502, OTP_DELIVERY_RETRY},
                {503, OTP_DELIVERY_RETRY},  {504, OTP_DELIVERY_RETRY},  {500, OTP_DELIVERY_FAILED}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct otp_reply reply = {.http_status = rows[i].status};
        ck_assert_msg(otp_reply_grpc(&reply, &answer) == rows[i].delivery, "HTTP %ld", rows[i].status);
    }
}
END_TEST

START_TEST(retry_info_is_obeyed) {
    ck_assert_int_eq(grpc("8", "busy", RETRY_3500_MS), OTP_DELIVERY_RETRY);
    ck_assert_uint_eq(answer.wait_ns, 3500000000u);
    ck_assert_str_eq(answer.text, "RESOURCE_EXHAUSTED (grpc-status 8): busy");
    ck_assert_int_eq(grpc("8", "busy", RETRY_3500_MS "=="), OTP_DELIVERY_RETRY); /* with padding */
    ck_assert_uint_eq(answer.wait_ns, 3500000000u);
    ck_assert_int_eq(grpc("14", "busy", RETRY_3500_MS ",AAAA"), OTP_DELIVERY_RETRY); /* the first of several */
    ck_assert_uint_eq(answer.wait_ns, 3500000000u);
    ck_assert_int_eq(grpc("8", "busy", "CAgSBGJ1c3k"), OTP_DELIVERY_FAILED); /* no RetryInfo */
    ck_assert_int_eq(grpc("8", "busy", "!!!!"), OTP_DELIVERY_FAILED);
    ck_assert_int_eq(grpc("8", "busy", ""), OTP_DELIVERY_FAILED);
}
END_TEST

START_TEST(grpc_messages_are_decoded) {
    grpc("3", "50%25 of %C3%A9%0a%zz%", NULL);
    ck_assert_str_eq(answer.text, "INVALID_ARGUMENT (grpc-status 3): 50% of \xc3\xa9 %zz%");
    char body[64] = {0};
    struct otp_reply reply = {.http_status = 200, .grpc_status = "0", .body = (const uint8_t *)body};
    body[4] = sizeof(partial) - 1;
    memcpy(body + 5, partial, sizeof(partial) - 1);
    for (reply.body_size = 0; reply.body_size <= sizeof(body); reply.body_size++) {
        memset(&answer, 0, sizeof(answer));
        bool whole = reply.body_size >= 5 + sizeof(partial) - 1, cut = reply.body_size && !whole;
        ck_assert_int_eq(otp_reply_grpc(&reply, &answer), cut ? OTP_DELIVERY_UNKNOWN : OTP_DELIVERED);
        ck_assert_int_eq(answer.final, cut);
        ck_assert_uint_eq(answer.rejected_profiles, whole ? 3 : 0);
    }
}
END_TEST

/* As servers in Go answer a request that was compressed. */
START_TEST(compressed_messages_are_read) {
    uint8_t body[128] = {1};
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)partial, .avail_in = sizeof(partial) - 1};
    stream.next_out = body + 5;
    stream.avail_out = sizeof(body) - 5;
    ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    body[4] = (uint8_t)stream.total_out;
    struct otp_reply reply = {
        .http_status = 200, .grpc_status = "0", .body = body, .body_size = 5 + (size_t)stream.total_out};
    memset(&answer, 0, sizeof(answer));
    ck_assert_int_eq(otp_reply_grpc(&reply, &answer), OTP_DELIVERED);
    ck_assert_uint_eq(answer.rejected_profiles, 3);
    body[4]--; /* without its end */
    memset(&answer, 0, sizeof(answer));
    ck_assert_int_eq(otp_reply_grpc(&reply, &answer), OTP_DELIVERY_UNKNOWN);
    ck_assert(answer.final);
}
END_TEST

START_TEST(long_texts_are_cut) {
    char text[4000];
    memset(text, 'x', sizeof(text));
    http(400, "text/plain", text, sizeof(text), NULL);
    ck_assert_uint_lt(strlen(answer.text), OTP_ANSWER_TEXT);
    memset(text, 0xc3, sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    grpc("2", text, NULL);
    ck_assert_uint_lt(strlen(answer.text), OTP_ANSWER_TEXT);
}
END_TEST

START_TEST(secrets_are_hidden) {
    static const struct {
        const char *headers, *text, *result;
    } rows[] = {
        {"authorization: Bearer s3cr3t\nx-key: k9k9k9\n", "bad Bearer s3cr3t, bad s3cr3t, k9k9k9k9k9k9",
         "bad ***, bad ***, ******"},
        {"authorization: Bearer s3cr3t", "s3cr3t", "***"},
        {"x: abc\n", "abc of abcd", "abc of abcd"}, /* too short to be one */
        {"", "abc", "abc"},
        {"x:\ny: abcd\n", "abcd", "***"},
        {"cookie: a=secret1; b=secret2\n", "a secret2 and secret1.", "a *** and ***."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s", rows[i].text);
        otp_redact(text, rows[i].headers);
        ck_assert_str_eq(text, rows[i].result);
    }
}
END_TEST

/* A receiver that repeats what it got, in a text that is cut at any place. */
START_TEST(secrets_are_hidden_where_the_text_was_cut) {
    static const char secret[] = "canary-0123456789abcdefghijklmnop";
    const char *headers = "authorization: Bearer canary-0123456789abcdefghijklmnop\n";
    for (size_t cut = 1; cut <= 60; cut++) {
        char text[OTP_ANSWER_TEXT] = "refused: authorization: Bearer canary-0123456789abcdefghijklmnop.";
        text[cut] = 0;
        otp_redact(text, headers);
        for (size_t at = 0; at + 4 < sizeof(secret); at++) {
            char part[5] = "";
            memcpy(part, secret + at, 4);
            ck_assert_msg(!strstr(text, part), "cut at %zu: %s", cut, text);
        }
    }
}
END_TEST

OTP_TEST_MAIN("network_reply", 60, every_http_status_has_its_consequence, retry_after_is_seconds_or_a_date,
              http_bodies_are_read_by_their_type, every_grpc_status_has_its_consequence,
              http_speaks_where_grpc_is_silent, retry_info_is_obeyed, grpc_messages_are_decoded,
              compressed_messages_are_read, long_texts_are_cut, secrets_are_hidden,
              secrets_are_hidden_where_the_text_was_cut)

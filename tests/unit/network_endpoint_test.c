// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <otelprof/otelprof.h>
#include <stdlib.h>
#include <string.h>

#include "network/body.h"
#include "network/endpoint.h"
#include "test_main.h"

#define GRPC_PATH "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
#define G OTP_PROTOCOL_GRPC
#define H OTP_PROTOCOL_HTTP

/* The rules of shared specification texts: exporter.md, "Endpoint URLs for OTLP/HTTP", and the guess of the protocol.
 */
static const struct {
    const char *endpoint;
    enum otp_protocol protocol;
    bool exact, insecure;
    enum otp_protocol expected;
    const char *url;
} good[] = {
    {"", 0, false, false, G, "http://localhost:4317" GRPC_PATH},
    {"", H, false, false, H, "http://localhost:4318/v1development/profiles"},
    {"http://c:4317", 0, false, false, G, "http://c:4317" GRPC_PATH},
    {"http://c:4317/", 0, false, false, G, "http://c:4317" GRPC_PATH},
    {"https://c", 0, false, false, G, "https://c" GRPC_PATH},
    {"http://c:4318", 0, false, false, H, "http://c:4318/v1development/profiles"},
    {"http://c:9/x", 0, false, false, H, "http://c:9/x/v1development/profiles"},
    {"http://c:4318/x/", H, false, false, H, "http://c:4318/x/v1development/profiles"},
    {"http://c:4318/x", G, false, false, G, "http://c:4318" GRPC_PATH},
    {"https://c/a?k=v#f", H, false, false, H, "https://c/a/v1development/profiles?k=v"},
    {"http://c:4318", H, true, false, H, "http://c:4318/"},
    {"http://c:4318/own/path", H, true, false, H, "http://c:4318/own/path"},
    {"http://c:4318/own/path", 0, true, false, H, "http://c:4318/own/path"},
    {"http://c:4317", 0, true, false, G, "http://c:4317" GRPC_PATH},
    {"c:4317", 0, false, true, G, "http://c:4317" GRPC_PATH},
    {"c:4317", 0, false, false, G, "https://c:4317" GRPC_PATH},
    {"https://c:4317", 0, false, true, G, "https://c:4317" GRPC_PATH}, /* the scheme wins over insecure */
    {"HTTP://C:4317", 0, false, false, G, "http://C:4317" GRPC_PATH},
    {"http://[::1]:4317", 0, false, false, G, "http://[::1]:4317" GRPC_PATH},
};

static struct otp_endpoint endpoint;
static char error[200];

static int find(const char *text, enum otp_protocol protocol, bool exact, bool insecure) {
    const struct otp_network_options options = {
        .endpoint = text, .protocol = protocol, .endpoint_exact = exact, .insecure = insecure};
    error[0] = 0;
    return otp_endpoint_find(&options, &endpoint, error, sizeof(error));
}

START_TEST(endpoints_follow_the_rules) {
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int result = find(good[i].endpoint, good[i].protocol, good[i].exact, good[i].insecure);
        ck_assert_msg(!result, "%s: %s", good[i].endpoint, error);
        ck_assert_msg(!strcmp(endpoint.url, good[i].url), "%s: %s, not %s", good[i].endpoint, endpoint.url,
                      good[i].url);
        ck_assert_msg(endpoint.protocol == good[i].expected, "%s", good[i].endpoint);
        ck_assert_int_eq(endpoint.tls, !strncmp(good[i].url, "https", 5));
    }
    find("https://c:1/p/", 0, false, false);
    ck_assert_str_eq(endpoint.name, "https://c:1/p/v1development/profiles (http/protobuf)");
    ck_assert(!endpoint.loopback);
    find("http://localhost", 0, false, false);
    ck_assert_str_eq(endpoint.name, "http://localhost:80 (grpc)");
    ck_assert(endpoint.loopback);
    find("http://127.1.2.3:1", 0, false, false);
    ck_assert(endpoint.loopback);
    find("http://[::1]:1", 0, false, false);
    ck_assert(endpoint.loopback);
    find("http://127.collector.example:1", 0, false, false); /* a name: a proxy is not for nothing */
    ck_assert(!endpoint.loopback);
}
END_TEST

START_TEST(bad_endpoints_are_refused_without_repeating_them) {
    static char large[4000];
    memset(large, 'x', sizeof(large) - 1);
    const char *const bad[] = {"ftp://c/secret", "http://user:secret@c:4317", "http://user@c",  "unix:///secret",
                               "http://",        "http://c:99999999",         "http://se cret", large};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(find(bad[i], 0, false, false) == OTELPROF_E_INVALID, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error, "endpoint"));
        ck_assert_ptr_null(strstr(error, "secret"));
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------- bodies */

START_TEST(bodies_are_framed_and_compressed) {
    static uint8_t zeroes[100000], noise[100000];
    srand(1);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(rand() >> 7);
    struct otp_body body = {.limit = 1 << 20};
    ck_assert_int_eq(otp_body_make(&body, zeroes, sizeof(zeroes), true, true), 0);
    ck_assert(body.compressed && body.size < 1000 && body.bytes[0] == 1);
    ck_assert_uint_eq(body.bytes[5], 0x1f); /* gzip's first byte */
    ck_assert_uint_eq((size_t)body.bytes[3] << 8 | body.bytes[4], body.size - 5);
    ck_assert_int_eq(otp_body_make(&body, noise, sizeof(noise), true, true), 0); /* does not become smaller */
    ck_assert(!body.compressed && body.size == sizeof(noise) + 5 && !memcmp(body.bytes + 5, noise, sizeof(noise)));
    ck_assert_int_eq(otp_body_make(&body, noise, sizeof(noise), true, false), 0);
    ck_assert(!body.compressed && body.size == sizeof(noise) && body.bytes == noise);
    ck_assert_int_eq(otp_body_make(&body, zeroes, sizeof(zeroes), false, false), 0);
    ck_assert(body.bytes == zeroes);
    ck_assert_int_eq(otp_body_make(&body, "", 0, true, true), 0);
    ck_assert_uint_eq(body.size, 5);
    otp_body_free(&body);
    body.limit = 1000; /* the frame does not fit either */
    ck_assert_int_eq(otp_body_make(&body, noise, sizeof(noise), true, true), -1);
    otp_body_free(&body);
}
END_TEST

OTP_TEST_MAIN("network_endpoint", 60, endpoints_follow_the_rules, bad_endpoints_are_refused_without_repeating_them,
              bodies_are_framed_and_compressed)

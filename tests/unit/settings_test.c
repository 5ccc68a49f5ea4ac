// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/headers.h"
#include "core/settings.h"
#include "test_main.h"

static struct otp_settings settings;

/* Settings from variables given in pairs, ended by NULL. Each test is a process of its own. */
static int make(const struct otelprof_options *options, const char *const *variables) {
    for (; variables && *variables; variables += 2)
        setenv(variables[0], variables[1], 1);
    return otp_settings_make(&settings, options);
}
#define MAKE(options, ...) make(options, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(without_anything_profiles_go_to_the_default_receiver) {
    ck_assert_int_eq(make(NULL, NULL), 0);
    ck_assert(settings.to_network && !settings.to_files);
    ck_assert_str_eq(settings.options.endpoint, "");
    ck_assert_int_eq(settings.options.protocol, OTELPROF_UNSET);
    ck_assert_int_eq(settings.options.compression, OTELPROF_COMPRESSION_GZIP);
    ck_assert_int_eq(settings.options.export_timeout_ms, 10000);
    ck_assert_int_eq(settings.options.insecure, 0);
    ck_assert_str_eq(settings.warnings, "");
    otp_settings_free(&settings);
}
END_TEST

START_TEST(profiles_variables_go_before_general_ones) {
    ck_assert_int_eq(MAKE(NULL, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4317",
                          "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", "http://own:4318/p", "OTEL_EXPORTER_OTLP_PROTOCOL",
                          "grpc", "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", "HTTP/protobuf",
                          "OTEL_EXPORTER_OTLP_COMPRESSION", "none", "OTEL_EXPORTER_OTLP_TIMEOUT", "7",
                          "OTEL_EXPORTER_OTLP_PROFILES_TIMEOUT", "8", "OTEL_EXPORTER_OTLP_CERTIFICATE", "/a",
                          "OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE", "/b", "OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k",
                          "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c", "OTEL_EXPORTER_OTLP_INSECURE", "TRUE",
                          "OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
                     0);
    ck_assert_str_eq(settings.options.endpoint, "http://own:4318/p");
    ck_assert(settings.endpoint_exact);
    ck_assert_int_eq(settings.options.protocol, OTELPROF_PROTOCOL_HTTP);
    ck_assert_int_eq(settings.options.compression, OTELPROF_COMPRESSION_NONE);
    ck_assert_int_eq(settings.options.export_timeout_ms, 8);
    ck_assert_str_eq(settings.options.certificate, "/b");
    ck_assert_str_eq(settings.options.client_key, "/k");
    ck_assert_str_eq(settings.options.client_certificate, "/c");
    ck_assert_int_eq(settings.options.insecure, 1);
    ck_assert_str_eq(settings.header_lines, "a: 1\n");
    otp_settings_free(&settings);
    setenv("OTELPROF_ENDPOINT", "http://first:1", 1); /* above both, and a base */
    ck_assert_int_eq(make(NULL, NULL), 0);
    ck_assert_str_eq(settings.options.endpoint, "http://first:1");
    ck_assert(!settings.endpoint_exact);
    struct otp_settings copy;
    ck_assert_int_eq(otp_settings_copy(&copy, &settings), 0);
    ck_assert_str_eq(copy.header_lines, settings.header_lines);
    ck_assert_ptr_ne(copy.header_lines, settings.header_lines);
    ck_assert_str_eq(copy.options.certificate, "/b");
    otp_settings_free(&copy);
    otp_settings_free(&settings);
    struct otelprof_options options = OTELPROF_OPTIONS_INIT; /* and the program above all */
    options.endpoint = "http://program:2";
    options.protocol = OTELPROF_PROTOCOL_GRPC;
    options.headers = "b=2";
    options.compression = OTELPROF_COMPRESSION_GZIP;
    ck_assert_int_eq(make(&options, NULL), 0);
    ck_assert_str_eq(settings.options.endpoint, "http://program:2");
    ck_assert_int_eq(settings.options.protocol, OTELPROF_PROTOCOL_GRPC);
    ck_assert_int_eq(settings.options.compression, OTELPROF_COMPRESSION_GZIP);
    ck_assert_str_eq(settings.header_lines, "b: 2\n");
    otp_settings_free(&settings);
}
END_TEST

static int discard(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    return size ? 0 : 1;
}

START_TEST(where_profiles_go) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    ck_assert_int_eq(MAKE(&options, "OTELPROF_OUTPUT_DIR", "/tmp/x"), 0);
    ck_assert(settings.to_files && !settings.to_network);
    otp_settings_free(&settings);
    ck_assert_int_eq(MAKE(&options, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), 0);
    ck_assert(settings.to_files && settings.to_network); /* both were asked for */
    otp_settings_free(&settings);
    options.export_bytes = discard;
    ck_assert_int_eq(make(&options, NULL), 0);
    ck_assert(!settings.to_files && !settings.to_network);
    otp_settings_free(&settings);
}
END_TEST

START_TEST(what_is_not_understood_is_told_without_secrets) {
    ck_assert_int_eq(MAKE(NULL, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TIMEOUT", "-1",
                          "OTEL_EXPORTER_OTLP_INSECURE", "1", "OTEL_EXPORTER_OTLP_COMPRESSION", "lz4",
                          "OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary%0d%0aevil: 1"),
                     0);
    ck_assert_int_eq(settings.options.protocol, OTELPROF_UNSET);
    ck_assert_int_eq(settings.options.export_timeout_ms, 10000);
    ck_assert_int_eq(settings.options.insecure, 0);
    ck_assert_int_eq(settings.options.compression, OTELPROF_COMPRESSION_GZIP);
    ck_assert_str_eq(settings.header_lines, "");
    const char *const named[] = {"PROTOCOL", "TIMEOUT", "INSECURE", "COMPRESSION", "HEADERS"};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        ck_assert_ptr_nonnull(strstr(settings.warnings, named[i]));
    ck_assert_ptr_null(strstr(settings.warnings, "canary"));
    otp_settings_free(&settings);
    ck_assert_int_eq(MAKE(NULL, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL",
                          "http/json", "OTEL_EXPORTER_OTLP_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_HEADERS",
                          "connection=close,api-key=canary"),
                     0);
    ck_assert_int_eq(settings.options.protocol, OTELPROF_PROTOCOL_HTTP);
    ck_assert_int_eq(settings.options.export_timeout_ms, 600000);
    ck_assert_str_eq(settings.header_lines, "api-key: canary\n");
    ck_assert_ptr_nonnull(strstr(settings.warnings, "PROFILES_PROTOCOL"));
    ck_assert_ptr_nonnull(strstr(settings.warnings, "connection"));
    otp_settings_free(&settings);
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.headers = "canary";
    ck_assert_int_eq(make(&options, NULL), OTELPROF_E_INVALID);
    ck_assert_ptr_null(strstr(otelprof_last_error(), "canary"));
    options.headers = NULL;
    options.client_key = "/only/a/key";
    ck_assert_int_eq(make(&options, NULL), OTELPROF_E_INVALID);
}
END_TEST

START_TEST(proxies_are_those_of_other_programs) {
    ck_assert_int_eq(MAKE(NULL, "http_proxy", "http://plain:1", "HTTP_PROXY", "http://never", "HTTPS_PROXY",
                          "http://tls:2", "no_proxy", "a,b", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
                     0);
    ck_assert_str_eq(settings.options.proxy, "http://plain:1");
    ck_assert_str_eq(settings.no_proxy, "a,b");
    otp_settings_free(&settings);
    ck_assert_int_eq(MAKE(NULL, "OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://c:1"), 0);
    ck_assert_str_eq(settings.options.proxy, "http://tls:2");
    otp_settings_free(&settings);
    ck_assert_int_eq(MAKE(NULL, "OTELPROF_PROXY", "none"), 0);
    ck_assert_str_eq(settings.options.proxy, "");
    otp_settings_free(&settings);
    ck_assert_int_eq(MAKE(NULL, "OTELPROF_PROXY", "http://own:3"), 0);
    ck_assert_str_eq(settings.options.proxy, "http://own:3");
    ck_assert_str_eq(settings.no_proxy, "");
    otp_settings_free(&settings);
}
END_TEST

START_TEST(headers_become_lines) {
    static const struct {
        const char *list, *lines;
    } rows[] = {
        {"", ""},
        {"Authorization=Bearer%20a%2Cb", "authorization: Bearer a,b\n"},
        {" a = 1 ,, b=2,", "a: 1\nb: 2\n"},
        {"a=", "a: \n"},
        {"a=x=y", "a: x=y\n"},
        {"Content-Length=3,a=1,host=x,grpc-timeout=1", "a: 1\n"},
        {"k=%C3%A9", "k: \xc3\xa9\n"},
        {"a", NULL},
        {"=1", NULL},
        {"a b=1", NULL},
        {"a:b=1", NULL},
        {"a=%0a", NULL},
        {"a=%0", NULL},
        {"a=%00", NULL},
        {"a=%zz", NULL},
        {"a=1,b", NULL},
        {"\xc3\xa9=1", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *lines, left_out[OTP_HEADER_NAME];
        int result = otp_headers_lines(rows[i].list, &lines, left_out);
        ck_assert_msg(result == (rows[i].lines ? 0 : OTELPROF_E_INVALID), "%s", rows[i].list);
        if (rows[i].lines)
            ck_assert_str_eq(lines, rows[i].lines);
        ck_assert_str_eq(left_out, strstr(rows[i].list, "grpc-timeout") ? "grpc-timeout" : "");
        otp_headers_free(lines);
    }
}
END_TEST

OTP_TEST_MAIN("settings", 60, without_anything_profiles_go_to_the_default_receiver,
              profiles_variables_go_before_general_ones, where_profiles_go,
              what_is_not_understood_is_told_without_secrets, proxies_are_those_of_other_programs, headers_become_lines)

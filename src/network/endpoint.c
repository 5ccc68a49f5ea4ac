// SPDX-License-Identifier: Apache-2.0
#include "network/endpoint.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <otelprof/otelprof.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GRPC_PATH "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
#define HTTP_PATH "v1development/profiles"

/* Part of a URL, copied; "" where there is none. False if it is too long. */
static bool part(CURLU *url, CURLUPart which, unsigned flags, char *text, size_t size) {
    char *found = NULL;
    text[0] = 0;
    if (curl_url_get(url, which, &found, flags) || !found)
        return true;
    int length = snprintf(text, size, "%s", found);
    curl_free(found);
    return length >= 0 && (size_t)length < size;
}

static bool has(CURLU *url, CURLUPart which) {
    char text[8];
    return !part(url, which, 0, text, sizeof(text)) || text[0];
}

/* The text as a URL: with the scheme that it lacks, or the default. */
static bool complete(const struct otp_network_options *options, char text[OTP_ENDPOINT_URL]) {
    const char *scheme = strstr(options->endpoint, "://") ? "" : options->insecure ? "http://" : "https://";
    int length;
    if (!*options->endpoint)
        length = snprintf(text, OTP_ENDPOINT_URL, "http://localhost:%s",
                          options->protocol == OTP_PROTOCOL_HTTP ? "4318" : "4317");
    else
        length = snprintf(text, OTP_ENDPOINT_URL, "%s%s", scheme, options->endpoint);
    return length < OTP_ENDPOINT_URL;
}

static enum otp_protocol guess(const char *port, const char *path) {
    return !strcmp(port, "4318") || (*path && strcmp(path, "/") != 0) ? OTP_PROTOCOL_HTTP : OTP_PROTOCOL_GRPC;
}

static bool is_loopback(const char *host) {
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1) /* a name may begin with "127." too */
        return ntohl(address.s_addr) >> 24 == 127;
    return !strcasecmp(host, "localhost") || !strcmp(host, "[::1]") || !strcmp(host, "::1");
}

/* Over http/protobuf the path of profiles is added, unless the URL is meant as it is; over gRPC its own is used. */
static bool set_path(CURLU *url, const struct otp_endpoint *endpoint, bool exact, const char *path) {
    char whole[OTP_ENDPOINT_URL];
    if (endpoint->protocol == OTP_PROTOCOL_GRPC)
        return !curl_url_set(url, CURLUPART_PATH, GRPC_PATH, 0) && !curl_url_set(url, CURLUPART_QUERY, NULL, 0);
    if (exact)
        return true; /* an empty path is "/" to curl already */
    size_t length = strlen(path);
    const char *slash = length && path[length - 1] == '/' ? "" : "/";
    return snprintf(whole, sizeof(whole), "%s%s" HTTP_PATH, path, slash) < (int)sizeof(whole) &&
           !curl_url_set(url, CURLUPART_PATH, whole, 0);
}

static int refuse(char *error, size_t size, const char *reason) {
    snprintf(error, size, "the endpoint %s", reason);
    return OTELPROF_E_INVALID;
}

static int read_url(CURLU *url, const struct otp_network_options *options, struct otp_endpoint *endpoint, char *error,
                    size_t error_size) {
    char text[OTP_ENDPOINT_URL], scheme[16], host[256], port[16], path[OTP_ENDPOINT_URL];
    if (!complete(options, text))
        return refuse(error, error_size, "is too long");
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
    if (code) {
        snprintf(error, error_size, "the endpoint is no URL: %s", curl_url_strerror(code));
        return OTELPROF_E_INVALID;
    }
    if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD))
        return refuse(error, error_size, "holds a user or a password: what proves who you are belongs into headers");
    if (!part(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return refuse(error, error_size, "is neither http:// nor https://");
    if (!part(url, CURLUPART_HOST, 0, host, sizeof(host)) ||
        !part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port)) ||
        !part(url, CURLUPART_PATH, 0, path, sizeof(path)))
        return refuse(error, error_size, "is too long");
    endpoint->tls = !strcmp(scheme, "https");
    endpoint->loopback = is_loopback(host);
    endpoint->protocol = options->protocol ? options->protocol : guess(port, path);
    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    if (!set_path(url, endpoint, options->endpoint_exact, path) ||
        !part(url, CURLUPART_URL, 0, endpoint->url, sizeof(endpoint->url)) ||
        !part(url, CURLUPART_PATH, 0, path, sizeof(path)))
        return refuse(error, error_size, "is too long");
    bool grpc = endpoint->protocol == OTP_PROTOCOL_GRPC;
    snprintf(endpoint->name, sizeof(endpoint->name), "%s://%s:%s%.64s (%s)", scheme, host, port, grpc ? "" : path,
             grpc ? "grpc" : "http/protobuf");
    return 0;
}

int otp_endpoint_find(const struct otp_network_options *options, struct otp_endpoint *endpoint, char *error,
                      size_t error_size) {
    CURLU *url = curl_url();
    memset(endpoint, 0, sizeof(*endpoint));
    if (!url) {
        snprintf(error, error_size, "no memory for the endpoint");
        return OTELPROF_E_MEMORY;
    }
    int result = read_url(url, options, endpoint, error, error_size);
    curl_url_cleanup(url);
    return result;
}

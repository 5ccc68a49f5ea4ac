// SPDX-License-Identifier: Apache-2.0
#include "network/transfer.h"

#include <otelprof/otelprof.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "network/courier.h"
#include "network/fork_gate.h"

#define NANOS_PER_MS ((uint64_t)1000000)
#define BODY_KEPT 65536      /* of a reply; OTLP's own are a few bytes, and a sentence */
#define HEADERS_MAX 65536    /* bytes of a reply's headers */
#define CONNECT_MS_MAX 5000L /* of an attempt's time */
#define SLICE_MS 20     /* a change of the deadline is noticed so late; a transfer that is quick never wakes for it */
#define RESOLVERS_MAX 4 /* look-ups of a name that libcurl has left behind, in so much time: */
#define RESOLVER_NS ((uint64_t)60 * 1000000000)
#define USER_AGENT "otelprof/" OTELPROF_VERSION " OTel-OTLP-Exporter-C/" OTELPROF_VERSION

struct otp_transfer {
    struct otp_courier *courier; /* all of libcurl happens there */
    CURLM *multi;
    CURL *easy;
    struct curl_slist *plain, *compressed; /* headers of the one and the other body */
    _Atomic uint64_t hurry_ns;
    uint64_t left_behind_ns[RESOLVERS_MAX]; /* when look-ups were */

    struct otp_endpoint endpoint;
    char *certificate, *client_certificate, *client_key, *proxy, *no_proxy, *headers;
    uint64_t timeout_ns;

    uint8_t body[BODY_KEPT]; /* of the reply */
    size_t body_size, header_bytes;
    bool body_cut;
    char error[CURL_ERROR_SIZE];
};

/* ---------------------------------------------------------------------------------------- what comes back */

static size_t take_body(char *bytes, size_t one, size_t size, void *user) {
    struct otp_transfer *transfer = user;
    size_t room = BODY_KEPT - transfer->body_size, kept = size < room ? size : room;
    (void)one;
    memcpy(transfer->body + transfer->body_size, bytes, kept);
    transfer->body_size += kept;
    transfer->body_cut |= kept < size;
    return transfer->body_cut ? 0 : size; /* 0 ends the transfer */
}

// NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's
static size_t count_headers(char *line, size_t one, size_t size, void *user) {
    struct otp_transfer *transfer = user;
    (void)line;
    (void)one;
    transfer->header_bytes += size;
    return transfer->header_bytes > HEADERS_MAX ? 0 : size;
}

/* A trailer or a header, of the last answer; NULL if it did not come. */
static const char *header(CURL *easy, const char *name) {
    struct curl_header *found;
    CURLHcode code = curl_easy_header(easy, name, 0, CURLH_TRAILER, -1, &found);
    if (code)
        code = curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found);
    return code ? NULL : found->value;
}

static void read_reply(struct otp_transfer *transfer, struct otp_reply *reply) {
    CURL *easy = transfer->easy;
    *reply = (struct otp_reply){
        .retry_after = header(easy, "retry-after"),
        .content_type = header(easy, "content-type"),
        .grpc_status = header(easy, "grpc-status"),
        .grpc_message = header(easy, "grpc-message"),
        .grpc_details = header(easy, "grpc-status-details-bin"),
        .body = transfer->body,
        .body_size = transfer->body_size,
        .body_cut = transfer->body_cut,
    };
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &reply->http_status);
}

/* ---------------------------------------------------------------------------------------------- handles */

static bool add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

/* The user's lines "name: value\n". An empty value must be written with a semicolon for libcurl. */
static bool add_lines(struct curl_slist **list, const char *lines) {
    bool good = true;
    while (*lines && good) {
        size_t length = strcspn(lines, "\n"), name = strcspn(lines, ":");
        bool empty = name + 2 >= length;
        char *line = malloc(length + 1);
        good = line != NULL;
        if (good) {
            snprintf(line, length + 1, "%.*s%s", (int)(empty ? name : length), lines, empty ? ";" : "");
            good = add_header(list, line);
            explicit_bzero(line, length);
        }
        free(line);
        lines += length + (lines[length] != 0);
    }
    return good;
}

static bool add_protocol_headers(const struct otp_transfer *transfer, struct curl_slist **list, bool compressed) {
    char timeout[48];
    if (transfer->endpoint.protocol == OTP_PROTOCOL_HTTP)
        return add_header(list, "Content-Type: application/x-protobuf") && add_header(list, "Expect:") &&
               (!compressed || add_header(list, "Content-Encoding: gzip"));
    uint64_t milliseconds = transfer->timeout_ns / NANOS_PER_MS; /* 8 digits at most: grpc's doc/PROTOCOL-HTTP2.md */
    snprintf(timeout, sizeof(timeout), "grpc-timeout: %llum",
             (unsigned long long)(milliseconds < 99999999 ? milliseconds : 99999999));
    return add_header(list, "Content-Type: application/grpc+proto") && add_header(list, "TE: trailers") &&
           add_header(list, timeout) && add_header(list, "grpc-accept-encoding: identity") &&
           (!compressed || add_header(list, "grpc-encoding: gzip"));
}

static void set_tls(struct otp_transfer *transfer) {
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (*transfer->certificate) { /* nobody else may vouch then */
        curl_easy_setopt(easy, CURLOPT_CAINFO, transfer->certificate);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (*transfer->client_certificate) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, transfer->client_certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, transfer->client_key);
    }
}

/* Set in each case: libcurl reads variables of the environment only where it was told nothing. */
static void set_proxy(struct otp_transfer *transfer) {
    curl_easy_setopt(transfer->easy, CURLOPT_PROXY, transfer->endpoint.loopback ? "" : transfer->proxy);
    curl_easy_setopt(transfer->easy, CURLOPT_NOPROXY, transfer->no_proxy);
    if (transfer->endpoint.protocol == OTP_PROTOCOL_GRPC) /* HTTP/2 in clear text goes through a tunnel only */
        curl_easy_setopt(transfer->easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
}

static long http_version(const struct otp_endpoint *endpoint) {
    if (endpoint->tls)
        return CURL_HTTP_VERSION_2TLS;
    return endpoint->protocol == OTP_PROTOCOL_GRPC ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_1_1;
}

/*
 * libcurl 7.88 fails a second request over a connection whose HTTP/2 was prior knowledge (curl pull request 10643,
 * mended in 8.0): there, each has a connection of its own.
 */
static bool may_keep_connection(const struct otp_endpoint *endpoint) {
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    return version < 0x075800 || version >= 0x080000 || http_version(endpoint) != CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static void set_options(struct otp_transfer *transfer) {
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs is left behind */
    curl_easy_setopt(easy, CURLOPT_URL, transfer->endpoint.url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, http_version(&transfer->endpoint));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, may_keep_connection(&transfer->endpoint) ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, count_headers);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    set_tls(transfer);
    set_proxy(transfer);
}

static void close_handles(void *argument) {
    struct otp_transfer *transfer = argument;
    otp_fork_gate_enter();
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    if (transfer->multi)
        curl_multi_cleanup(transfer->multi);
    otp_fork_gate_leave();
    curl_slist_free_all(transfer->plain);
    curl_slist_free_all(transfer->compressed);
    transfer->easy = NULL;
    transfer->multi = NULL;
    transfer->plain = transfer->compressed = NULL;
}

static void open_handles(void *argument) {
    struct otp_transfer *transfer = argument;
    otp_fork_gate_enter();
    transfer->multi = curl_multi_init();
    transfer->easy = curl_easy_init();
    bool good = transfer->multi && transfer->easy && add_protocol_headers(transfer, &transfer->plain, false) &&
                add_lines(&transfer->plain, transfer->headers) &&
                add_protocol_headers(transfer, &transfer->compressed, true) &&
                add_lines(&transfer->compressed, transfer->headers);
    if (good) {
        curl_multi_setopt(transfer->multi, CURLMOPT_MAXCONNECTS, 1L);
        set_options(transfer);
    }
    otp_fork_gate_leave();
    if (!good)
        close_handles(transfer);
}

/* ------------------------------------------------------------------------------------------------- post */

static bool begin(struct otp_transfer *transfer, const struct otp_body *body) {
    CURL *easy = transfer->easy;
    long connect_ms = (long)(transfer->timeout_ns / NANOS_PER_MS);
    transfer->body_size = transfer->header_bytes = 0;
    transfer->body_cut = false;
    transfer->error[0] = 0;
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms < CONNECT_MS_MAX ? connect_ms : CONNECT_MS_MAX);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, body->compressed ? transfer->compressed : transfer->plain);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->bytes);
    return !curl_multi_add_handle(transfer->multi, easy);
}

/* The time left, in ms, rounded up; 0: it is over. */
static int left_ms(const struct otp_transfer *transfer, uint64_t deadline_ns) {
    uint64_t hurry = atomic_load(&transfer->hurry_ns), now = otp_clock_ns(CLOCK_MONOTONIC);
    uint64_t end = hurry < deadline_ns ? hurry : deadline_ns;
    if (end <= now)
        return 0;
    uint64_t left = (end - now) / NANOS_PER_MS + 1;
    return left < SLICE_MS ? (int)left : SLICE_MS;
}

/* Drives the transfer until it has ended, and says how; or until the deadline. */
static CURLcode drive(struct otp_transfer *transfer, uint64_t deadline_ns) {
    int running = 1, messages, left;
    do { /* once in any case: only that makes libcurl forget the answer before this one */
        otp_fork_gate_enter();
        CURLMcode code = curl_multi_perform(transfer->multi, &running);
        CURLMsg *message = code || running ? NULL : curl_multi_info_read(transfer->multi, &messages);
        otp_fork_gate_leave();
        if (code)
            return CURLE_FAILED_INIT;
        if (message)
            return message->data.result;
        left = left_ms(transfer, deadline_ns);
        if (left && curl_multi_poll(transfer->multi, NULL, 0, left, NULL))
            return CURLE_FAILED_INIT;
    } while (left);
    return CURLE_OPERATION_TIMEDOUT;
}

/*
 * A look-up of a name that outlasts its attempt goes on in a thread that libcurl leaves behind. Where the name server
 * does not answer, those must not pile up: then the next attempt waits for one of them to be over.
 */
static void note_left_behind(struct otp_transfer *transfer, CURLcode code) {
    curl_off_t looked_up = 0;
    if (code != CURLE_OPERATION_TIMEDOUT || curl_easy_getinfo(transfer->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up) ||
        looked_up)
        return;
    size_t oldest = 0;
    for (size_t i = 1; i < RESOLVERS_MAX; i++)
        if (transfer->left_behind_ns[i] < transfer->left_behind_ns[oldest])
            oldest = i;
    transfer->left_behind_ns[oldest] = otp_clock_ns(CLOCK_MONOTONIC);
}

static bool too_many_left_behind(const struct otp_transfer *transfer) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < RESOLVERS_MAX; i++)
        if (!transfer->left_behind_ns[i] || now - transfer->left_behind_ns[i] > RESOLVER_NS)
            return false;
    return true;
}

struct post {
    struct otp_transfer *transfer;
    const struct otp_body *body;
    uint64_t deadline_ns;
    struct otp_transfer_result *result;
    struct otp_reply *reply;
};

static void refuse(struct otp_transfer_result *result, CURLcode code, const char *reason) {
    result->code = code;
    snprintf(result->error, sizeof(result->error), "%s", reason);
}

/* On the courier's thread. */
static void do_post(void *argument) {
    const struct post *post = argument;
    struct otp_transfer *transfer = post->transfer;
    struct otp_transfer_result *result = post->result;
    curl_off_t sent = 0;
    otp_fork_gate_enter();
    bool begun = begin(transfer, post->body);
    otp_fork_gate_leave();
    if (!begun) {
        refuse(result, CURLE_FAILED_INIT, "libcurl does not begin");
        return;
    }
    result->code = drive(transfer, post->deadline_ns);
    if (curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent))
        sent = 0;
    result->bytes = sent > 0 ? (uint64_t)sent : 0;
    result->sent = result->bytes >= post->body->size;
    read_reply(transfer, post->reply);
    snprintf(result->error, sizeof(result->error), "%.150s",
             transfer->error[0] ? transfer->error : curl_easy_strerror(result->code));
    note_left_behind(transfer, result->code);
    otp_fork_gate_enter();
    curl_multi_remove_handle(transfer->multi, transfer->easy);
    otp_fork_gate_leave();
}

void otp_transfer_post(struct otp_transfer *transfer, const struct otp_body *body, uint64_t deadline_ns,
                       struct otp_transfer_result *result, struct otp_reply *reply) {
    struct post post = {transfer, body, deadline_ns, result, reply};
    *result = (struct otp_transfer_result){.code = CURLE_FAILED_INIT};
    *reply = (struct otp_reply){0};
    if (!left_ms(transfer, deadline_ns))
        refuse(result, CURLE_OPERATION_TIMEDOUT, "no time was left");
    else if (too_many_left_behind(transfer))
        refuse(result, CURLE_COULDNT_RESOLVE_HOST, "the name server has not answered earlier questions yet");
    else
        otp_courier_run(transfer->courier, do_post, &post);
}

void otp_transfer_hurry(struct otp_transfer *transfer, uint64_t deadline_ns) {
    atomic_store(&transfer->hurry_ns, deadline_ns);
}

uint64_t otp_transfer_cpu_ns(const struct otp_transfer *transfer) { return otp_courier_cpu_ns(transfer->courier); }

/* -------------------------------------------------------------------------------------------------- life */

static char *copy_of(const char *text) { return strdup(text ? text : ""); }

void otp_transfer_free(struct otp_transfer *transfer) {
    char *const texts[] = {transfer->certificate, transfer->client_certificate, transfer->client_key, transfer->proxy,
                           transfer->no_proxy};
    if (transfer->courier)
        otp_courier_run(transfer->courier, close_handles, transfer);
    otp_courier_stop(transfer->courier);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    if (transfer->headers)
        explicit_bzero(transfer->headers, strlen(transfer->headers));
    free(transfer->headers);
    free(transfer);
}

int otp_transfer_new(const struct otp_network_options *options, const struct otp_endpoint *endpoint,
                     struct otp_transfer **out, char *error, size_t error_size) {
    struct otp_transfer *transfer = calloc(1, sizeof(*transfer));
    snprintf(error, error_size, "no memory for the network exporter");
    if (!transfer)
        return OTELPROF_E_MEMORY;
    transfer->endpoint = *endpoint;
    transfer->timeout_ns = options->timeout_ns;
    transfer->certificate = copy_of(options->certificate);
    transfer->client_certificate = copy_of(options->client_certificate);
    transfer->client_key = copy_of(options->client_key);
    transfer->proxy = copy_of(options->proxy);
    transfer->no_proxy = copy_of(options->no_proxy);
    transfer->headers = copy_of(options->headers);
    atomic_init(&transfer->hurry_ns, UINT64_MAX);
    int result = OTELPROF_E_MEMORY;
    if (transfer->certificate && transfer->client_certificate && transfer->client_key && transfer->proxy &&
        transfer->no_proxy && transfer->headers)
        result = otp_courier_start(&transfer->courier, options->thread_begins, error, error_size);
    if (!result) {
        otp_courier_run(transfer->courier, open_handles, transfer);
        result = transfer->multi ? 0 : OTELPROF_E_MEMORY;
    }
    if (result)
        otp_transfer_free(transfer);
    else
        *out = transfer;
    return result;
}

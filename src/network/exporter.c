// SPDX-License-Identifier: Apache-2.0
/* The network exporter: the calls behind export/network.h. */
#include <curl/curl.h>
#include <otelprof/otelprof.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/thread.h"
#include "export/network.h"
#include "network/body.h"
#include "network/endpoint.h"
#include "network/fork_gate.h"
#include "network/redact.h"
#include "network/reply.h"
#include "network/transfer.h"

struct network_exporter {
    struct otp_exporter base;
    struct otp_endpoint endpoint;
    struct otp_transfer *transfer;
    struct otp_body body;
    char *headers; /* lines; what must not be said */
    bool gzip;
};

static struct network_exporter *network_of(struct otp_exporter *exporter) {
    return (struct network_exporter *)(void *)exporter;
}

/* --------------------------------------------------------------------------------------------- one request */

/* What it means when there is no answer. What has left as a whole may have arrived. */
static enum otp_delivery without_answer(const struct otp_transfer_result *result, struct otp_answer *answer) {
    answer->code = OTP_CODE_CURL | (uint32_t)result->code;
    snprintf(answer->text, sizeof(answer->text), "%s%s", result->sent ? "sent, but no answer came: " : "",
             result->error);
    switch (result->code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_URL_MALFORMAT:
        return OTP_DELIVERY_FAILED; /* waiting does not mend it */
    default:
        return result->sent ? OTP_DELIVERY_UNKNOWN : OTP_DELIVERY_RETRY;
    }
}

/* An answer may be complete although the transfer failed: a server need not read what it refuses. */
static bool answered(const struct network_exporter *network, const struct otp_transfer_result *result,
                     const struct otp_reply *reply) {
    if (result->code == CURLE_OK)
        return true;
    if (network->endpoint.protocol == OTP_PROTOCOL_GRPC)
        return reply->grpc_status != NULL;
    return reply->http_status >= 300 || (reply->http_status >= 200 && reply->body_cut);
}

static enum otp_delivery network_send(struct otp_exporter *exporter, const void *bytes, size_t size,
                                      uint64_t deadline_ns, struct otp_answer *answer) {
    struct network_exporter *network = network_of(exporter);
    bool grpc = network->endpoint.protocol == OTP_PROTOCOL_GRPC;
    struct otp_transfer_result result;
    struct otp_reply reply;
    enum otp_delivery delivery;
    if (otp_body_make(&network->body, bytes, size, network->gzip, grpc)) {
        snprintf(answer->text, sizeof(answer->text), "no memory to send %zu bytes", size);
        return OTP_DELIVERY_RETRY;
    }
    otp_transfer_post(network->transfer, &network->body, deadline_ns, &result, &reply);
    otp_body_free(&network->body);
    answer->bytes_sent = result.bytes;
    if (!answered(network, &result, &reply))
        delivery = without_answer(&result, answer);
    else
        delivery = grpc ? otp_reply_grpc(&reply, answer) : otp_reply_http(&reply, answer);
    otp_redact(answer->text, network->headers);
    return delivery;
}

static void network_hurry(struct otp_exporter *exporter, uint64_t deadline_ns) {
    otp_transfer_hurry(network_of(exporter)->transfer, deadline_ns);
}

static uint64_t network_cpu_ns(struct otp_exporter *exporter) {
    return otp_transfer_cpu_ns(network_of(exporter)->transfer);
}

/* -------------------------------------------------------------------------------------------------- life */

static void network_close(struct otp_exporter *exporter) {
    struct network_exporter *network = network_of(exporter);
    if (network->transfer)
        otp_transfer_free(network->transfer);
    otp_body_free(&network->body);
    if (network->headers)
        explicit_bzero(network->headers, strlen(network->headers));
    free(network->headers);
    free(network);
}

static int open_exporter(const struct otp_network_options *options, struct otp_exporter **exporter, char *error,
                         size_t error_size) {
    static const struct otp_exporter_ops ops = {network_send, network_hurry, network_cpu_ns, network_close};
    struct network_exporter *network = calloc(1, sizeof(*network));
    if (network)
        network->headers = strdup(options->headers);
    if (!network || !network->headers) {
        free(network);
        snprintf(error, error_size, "no memory for the network exporter");
        return OTELPROF_E_MEMORY;
    }
    network->base.ops = &ops;
    network->base.name = network->endpoint.name;
    network->gzip = options->gzip;
    network->body.limit = options->memory_bytes;
    otp_thread_set_overhead(options->thread_overhead);
    int result = otp_endpoint_find(options, &network->endpoint, error, error_size);
    if (!result)
        result = otp_transfer_new(options, &network->endpoint, &network->transfer, error, error_size);
    if (result)
        network_close(&network->base);
    else
        *exporter = &network->base;
    return result;
}

/*
 * OpenSSL takes itself down in an atexit handler, while our thread may be in the middle of a handshake (openssl issues
 * 18049 and 24148); unless the first call in the process says that it shall not. A host that came first, or a libcurl
 * over another library, is left as it is.
 */
extern int OPENSSL_init_crypto(uint64_t options, const void *settings) __attribute__((weak));
#define INIT_NO_ATEXIT 0x00080000u /* openssl/crypto.h: OPENSSL_INIT_NO_ATEXIT */

/*
 * libcurl opens the file that SSLKEYLOGFILE names, makes it if need be, and does not care whether the program runs with
 * rights that its caller has not (AT_SECURE): then whoever starts it could make files as root. There is no other way to
 * keep it from looking than to do without it.
 */
static bool key_log_is_unsafe(void) {
    static const char name[] = "SSLKEYLOGFILE=";
    if (!getauxval(AT_SECURE))
        return false;
    for (char **variable = environ; variable && *variable; variable++)
        if (!strncmp(*variable, name, sizeof(name) - 1))
            return true;
    return false;
}

/*
 * libcurl's global state is the process's: set up here, and never taken down, since the host may use it too. Safe
 * beside other threads from 7.84 on, where it says so.
 */
static int prepare(char *error, size_t error_size) {
    static bool done;
    if (done)
        return 0;
    if (key_log_is_unsafe()) {
        snprintf(error, error_size, "no network while SSLKEYLOGFILE is set in a program with rights of its own");
        return OTELPROF_E_EXPORT;
    }
    if (OPENSSL_init_crypto)
        OPENSSL_init_crypto(INIT_NO_ATEXIT, NULL);
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    if (code || !(version->features & CURL_VERSION_HTTP2) || !(version->features & CURL_VERSION_ASYNCHDNS)) {
        snprintf(error, error_size, "libcurl %s: %s", version->version,
                 code ? curl_easy_strerror(code) : "no HTTP/2, or a resolver that blocks");
        return OTELPROF_E_EXPORT;
    }
    int number = otp_fork_gate_init();
    if (number) {
        snprintf(error, error_size, "pthread_atfork: errno %d", number);
        return OTELPROF_E_MEMORY;
    }
    done = true;
    return 0;
}

static const char *curl_version_text(void) { return curl_version(); }

__attribute__((visibility("default"))) const struct otp_network *otelprof_private_network(void);

const struct otp_network *otelprof_private_network(void) {
    static const struct otp_network network = {OTELPROF_VERSION, curl_version_text, prepare, open_exporter};
    return &network;
}

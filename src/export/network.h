// SPDX-License-Identifier: Apache-2.0
/*
 * The boundary to the network exporter, which is a shared object of its own: libcurl brings 33 others and 6 MB of
 * address space into a program, and one that writes files or has a callback shall not pay for them (figures:
 * tests/bench/README.md). Both sides are built from this header; the version tells when they are not of one release.
 */
#ifndef OTP_EXPORT_NETWORK_H
#define OTP_EXPORT_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/exporter.h"

#define OTP_NETWORK_OBJECT "libotelprof-network.so"
#define OTP_NETWORK_ENTRY "otelprof_private_network"

enum otp_protocol {
    OTP_PROTOCOL_UNSET = 0, /* by the endpoint: http/protobuf for port 4318 or a path, else grpc */
    OTP_PROTOCOL_GRPC,
    OTP_PROTOCOL_HTTP,
};

/* Strings are copied; "" where there is nothing. */
struct otp_network_options {
    const char *endpoint; /* URL, or HOST:PORT; "": the protocol's default */
    bool endpoint_exact;  /* http/protobuf: post to this very URL, do not add the path of profiles */
    enum otp_protocol protocol;
    bool insecure;           /* clear text, where the endpoint has no scheme */
    bool gzip;               /* compress requests */
    const char *headers;     /* lines "name: value", each with "\n" */
    const char *certificate; /* PEM files: who may vouch for the receiver */
    const char *client_certificate, *client_key;
    const char *proxy;           /* URL; "": none */
    const char *no_proxy;        /* hosts that are reached without it, as curl takes them */
    uint64_t timeout_ns;         /* of one attempt */
    size_t memory_bytes;         /* for a request's compressed form, at most */
    size_t thread_overhead;      /* see base/thread.h, of which the object has a copy of its own */
    void (*thread_begins)(void); /* called on each thread that the object starts; may be NULL */
};

struct otp_network {
    const char *version;        /* OTELPROF_VERSION of the object */
    const char *(*about)(void); /* what it is made of, for people: "libcurl/7.88.1 OpenSSL/3.0.15 ..." */
    /*
     * Once, on the caller's thread of otelprof_init(): what libcurl and its libraries set up for the whole process.
     * 0, or a negative enum otelprof_error with a sentence in `error`.
     */
    int (*prepare)(char *error, size_t error_size);
    /*
     * An exporter. 0; OTELPROF_E_INVALID (an option has no meaning), OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM, with a
     * sentence in `error`.
     */
    int (*open)(const struct otp_network_options *options, struct otp_exporter **exporter, char *error,
                size_t error_size);
};

/* The object's only exported function, OTP_NETWORK_ENTRY. */
typedef const struct otp_network *(*otp_network_entry_fn)(void);

#endif

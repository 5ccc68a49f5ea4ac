// SPDX-License-Identifier: Apache-2.0
/*
 * One request after the other to one receiver, with patience: tries again what may be taken later, waits longer each
 * time and as long as the receiver asks, gives up after a stated time, and says in the log what happens, each kind of
 * trouble once a minute. On the export thread.
 */
#ifndef OTP_EXPORT_SENDER_H
#define OTP_EXPORT_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/exporter.h"

/* 0 means the default. */
struct otp_sender_limits {
    uint64_t attempt_ns;     /* of one attempt: 10 s, OTLP's own default */
    uint64_t backoff_ns;     /* first pause: 1 s. Each is 1.5 times the one before, between half and 1.5 of that */
    uint64_t backoff_max_ns; /* 30 s */
    uint64_t give_up_ns;     /* after the first attempt: 300 s */
};

/* The longest wish to be left alone that is granted; who asks for more gets this. */
#define OTP_SENDER_WAIT_MAX_NS ((uint64_t)3600 * 1000000000u)

/* What the sender asks of the thread that it runs on. */
struct otp_sender_host {
    /* When an attempt that starts now must have ended, `latest_ns` at the latest. */
    uint64_t (*deadline)(void *user, uint64_t latest_ns);
    /* Waits until then. False: no more attempts, the process has no time for them. */
    bool (*pause)(void *user, uint64_t until_ns);
    void *user;
};

/* How a request ended after all attempts. */
struct otp_sent {
    enum otp_delivery delivery; /* never OTP_DELIVERY_RETRY. UNKNOWN: some attempt may have arrived */
    uint64_t rejected_profiles;
};

#define OTP_SENDER_KINDS 16

struct otp_sender {
    struct otp_exporter *exporter;
    struct otp_sender_limits limits;
    struct otp_sender_host host;
    uint64_t not_before_ns; /* the receiver wants no request earlier */
    uint32_t failures;      /* attempts in a row */
    uint64_t random;
    uint64_t attempts; /* that had to be made again */
    uint64_t bytes_sent;
    bool told_partial;
    struct {
        uint32_t code;
        uint32_t held; /* messages that were not said */
        uint64_t said_ns;
    } kinds[OTP_SENDER_KINDS];
};

void otp_sender_init(struct otp_sender *sender, struct otp_exporter *exporter, const struct otp_sender_limits *limits,
                     const struct otp_sender_host *host);

/* Sends a request, as often as it takes. */
struct otp_sent otp_sender_send(struct otp_sender *sender, const void *bytes, size_t size);

#endif

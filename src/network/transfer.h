// SPDX-License-Identifier: Apache-2.0
/*
 * Posts to one receiver, over one connection that is kept, by libcurl on a courier's thread. One thread at a time;
 * otp_transfer_hurry() and otp_transfer_cpu_ns() may come from others.
 */
#ifndef OTP_NETWORK_TRANSFER_H
#define OTP_NETWORK_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "network/body.h"
#include "network/endpoint.h"
#include "network/reply.h"

struct otp_transfer;

struct otp_transfer_result {
    CURLcode code;
    uint64_t bytes;  /* of the body that have left */
    bool sent;       /* all of the body has left, so that the receiver may have it */
    char error[160]; /* what libcurl says, "" if nothing */
};

/* `options` and `endpoint` may go afterwards. 0 or a negative enum otelprof_error with a sentence. */
int otp_transfer_new(const struct otp_network_options *options, const struct otp_endpoint *endpoint,
                     struct otp_transfer **out, char *error, size_t error_size);

/*
 * Posts a body, and gives up at the deadline (CLOCK_MONOTONIC) or an earlier one that otp_transfer_hurry() set. The
 * reply points into the transfer, until the next call.
 */
void otp_transfer_post(struct otp_transfer *transfer, const struct otp_body *body, uint64_t deadline_ns,
                       struct otp_transfer_result *result, struct otp_reply *reply);

/* Any thread: this post and those after it end by then. */
void otp_transfer_hurry(struct otp_transfer *transfer, uint64_t deadline_ns);

/* Any thread: CPU time that it took on a thread of its own. */
uint64_t otp_transfer_cpu_ns(const struct otp_transfer *transfer);

void otp_transfer_free(struct otp_transfer *transfer);

#endif

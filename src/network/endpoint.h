// SPDX-License-Identifier: Apache-2.0
/* Where requests are posted to, from what the user named. */
#ifndef OTP_NETWORK_ENDPOINT_H
#define OTP_NETWORK_ENDPOINT_H

#include "export/network.h"

#define OTP_ENDPOINT_URL 2048
#define OTP_ENDPOINT_NAME 400

struct otp_endpoint {
    enum otp_protocol protocol; /* decided */
    bool tls;
    bool loopback;                /* localhost, 127.x.x.x or ::1 */
    char url[OTP_ENDPOINT_URL];   /* to post to */
    char name[OTP_ENDPOINT_NAME]; /* for messages: SCHEME://HOST:PORT[/PATH] (PROTOCOL), without anything secret */
};

/* 0, or OTELPROF_E_INVALID with a sentence that does not repeat the endpoint. */
int otp_endpoint_find(const struct otp_network_options *options, struct otp_endpoint *endpoint, char *error,
                      size_t error_size);

#endif

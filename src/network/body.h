// SPDX-License-Identifier: Apache-2.0
/* The body of a request: compressed if that makes it smaller, and in gRPC's frame. */
#ifndef OTP_NETWORK_BODY_H
#define OTP_NETWORK_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_body {
    const uint8_t *bytes; /* to send: in `block`, or the message itself */
    size_t size;
    bool compressed;
    uint8_t *block;
    size_t room;  /* of `block` */
    size_t limit; /* of `room`; set by the owner */
};

/*
 * Makes the body of a message, which must stay as long as the body is sent. What does not become smaller, or does not
 * fit the limit, is sent as it is. 0, or -1 when out of memory.
 */
int otp_body_make(struct otp_body *body, const void *message, size_t size, bool gzip, bool framed);

/* Gives the memory back. */
void otp_body_free(struct otp_body *body);

#endif

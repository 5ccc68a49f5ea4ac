// SPDX-License-Identifier: Apache-2.0
/* The messages in a receiver's answer. Their bytes are foreign; texts come out cut, and cleaned by otp_reply_quote().
 */
#ifndef OTP_NETWORK_STATUS_H
#define OTP_NETWORK_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTP_STATUS_TEXT 256

/* google.rpc.Status. */
struct otp_status {
    int code;
    bool retry_known; /* a RetryInfo is there */
    uint64_t retry_ns;
    char text[OTP_STATUS_TEXT];
};

/* False if these bytes are no such message. */
bool otp_status_read(const void *bytes, size_t size, struct otp_status *status);

/* Likewise, of a header's base64, with padding or without. */
bool otp_status_read_base64(const char *text, struct otp_status *status);

/* ExportProfilesServiceResponse. False if these bytes are none. */
bool otp_response_read(const void *bytes, size_t size, uint64_t *rejected_profiles, char text[OTP_STATUS_TEXT]);

#endif

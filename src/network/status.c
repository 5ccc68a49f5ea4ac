// SPDX-License-Identifier: Apache-2.0
#include "network/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/profiles/v1development/profiles_service.pb-c.h"

#define NANOS_PER_S 1000000000u
#define SECONDS_MAX 1000000000 /* 30 years: what is beyond is cut, so that sums do not overflow */
#define BASE64_MAX 65536

typedef Opentelemetry__Proto__Collector__Profiles__V1development__ExportProfilesServiceResponse response_message;

static void read_retry(const ProtobufCBinaryData *bytes, struct otp_status *status) {
    Google__Rpc__RetryInfo *retry = google__rpc__retry_info__unpack(NULL, bytes->len, bytes->data);
    if (!retry)
        return;
    status->retry_known = true;
    const Google__Rpc__Duration *delay = retry->retry_delay;
    if (delay && delay->seconds >= 0 && delay->nanos >= 0) {
        int64_t seconds = delay->seconds < SECONDS_MAX ? delay->seconds : SECONDS_MAX;
        status->retry_ns = (uint64_t)seconds * NANOS_PER_S + (uint64_t)delay->nanos;
    }
    google__rpc__retry_info__free_unpacked(retry, NULL);
}

bool otp_status_read(const void *bytes, size_t size, struct otp_status *status) {
    static const char retry_info[] = "/google.rpc.RetryInfo";
    memset(status, 0, sizeof(*status));
    Google__Rpc__Status *message = google__rpc__status__unpack(NULL, size, bytes);
    if (!message)
        return false;
    status->code = message->code;
    snprintf(status->text, sizeof(status->text), "%s", message->message);
    for (size_t i = 0; i < message->n_details; i++) {
        const char *type = strrchr(message->details[i]->type_url, '/');
        if (type && !strcmp(type, retry_info))
            read_retry(&message->details[i]->value, status);
    }
    google__rpc__status__free_unpacked(message, NULL);
    return true;
}

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool otp_status_read_base64(const char *text, struct otp_status *status) {
    size_t length = strcspn(text, "=,"); /* of several values, joined by commas, the first */
    uint8_t *bytes = length && length <= BASE64_MAX ? malloc(length) : NULL;
    memset(status, 0, sizeof(*status));
    if (!bytes)
        return false;
    size_t size = 0;
    uint32_t bits = 0;
    bool good = true;
    for (size_t i = 0; i < length && good; i++) {
        int digit = base64_digit(text[i]);
        good = digit >= 0;
        bits = bits << 6 | ((uint32_t)digit & 63);
        if (i % 4)
            bytes[size++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    good = good && otp_status_read(bytes, size, status);
    free(bytes);
    return good;
}

bool otp_response_read(const void *bytes, size_t size, uint64_t *rejected_profiles, char text[OTP_STATUS_TEXT]) {
    response_message *message =
        opentelemetry__proto__collector__profiles__v1development__export_profiles_service_response__unpack(NULL, size,
                                                                                                           bytes);
    *rejected_profiles = 0;
    text[0] = 0;
    if (!message)
        return false;
    if (message->partial_success) {
        int64_t rejected = message->partial_success->rejected_profiles;
        *rejected_profiles = rejected > 0 ? (uint64_t)rejected : 0;
        snprintf(text, OTP_STATUS_TEXT, "%s", message->partial_success->error_message);
    }
    opentelemetry__proto__collector__profiles__v1development__export_profiles_service_response__free_unpacked(message,
                                                                                                              NULL);
    return true;
}

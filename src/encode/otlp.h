// SPDX-License-Identifier: Apache-2.0
/*
 * A window as OTLP: one or more ExportProfilesServiceRequests, each complete in itself, with a dictionary of its own
 * that holds what the request needs and nothing else. On the export thread.
 */
#ifndef OTP_ENCODE_OTLP_H
#define OTP_ENCODE_OTLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/symbolizer.h"
#include "profile/window.h"

enum otp_resource_kind { OTP_RESOURCE_TEXT, OTP_RESOURCE_INT, OTP_RESOURCE_TEXTS };

/* An attribute of the resource. Not copied. */
struct otp_resource_entry {
    const char *key;
    enum otp_resource_kind kind;
    const char *text;         /* OTP_RESOURCE_TEXT */
    int64_t number;           /* OTP_RESOURCE_INT */
    const char *const *texts; /* OTP_RESOURCE_TEXTS */
    uint32_t text_count;
};

/* Keys are unique. */
struct otp_resource {
    const struct otp_resource_entry *entries;
    uint32_t count;
};

/* The OpenTelemetry schema that the keys follow: for the resource and for the profiles. */
#define OTP_OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"
#define OTP_OTLP_SCOPE "otelprof"

#define OTP_OTLP_SAMPLES_MAX 16000
#define OTP_OTLP_BYTES_MAX ((size_t)4 << 20)
#define OTP_OTLP_BYTES_MIN ((size_t)64 << 10) /* no splitting below: one deep stack may take as much */

struct otp_otlp_options {
    uint32_t samples_max; /* a request: timestamps or Samples, whichever are more; 0: OTP_OTLP_SAMPLES_MAX */
    size_t
        bytes_max; /* a request, not compressed; 0: OTP_OTLP_BYTES_MAX, or an eighth of memory_bytes if that is less */
    size_t memory_bytes; /* working memory at most; 0: eight times OTP_OTLP_BYTES_MAX */
};

struct otp_otlp_request {
    const uint8_t *bytes; /* valid during the call */
    size_t size;
    uint64_t samples;  /* events in it; 0 if it tells states only, or twins */
    uint32_t profiles; /* one for each type that it has, in their order */
    uint32_t index;    /* in its window, from 0; the first one carries the counters, in its first profile */
    bool can_split;    /* the sink may ask for what it holds in smaller requests */
};

/* What a sink may return: the request is too large for its receiver, and what it holds shall come again in two. */
#define OTP_OTLP_SPLIT 1

/* Gets each request in turn. Anything but 0 and OTP_OTLP_SPLIT stops the encoding. */
typedef int (*otp_otlp_sink)(void *user, const struct otp_otlp_request *request);

struct otp_otlp_result {
    uint32_t requests;         /* handed to the sink, those not counted that came again in two */
    size_t bytes_max;          /* of a request: as in the options, or less because the sink asked for it */
    uint64_t samples;          /* events in them */
    uint64_t samples_silent;   /* events of groups whose value rounds to 0: nothing is sent for them, nothing is lost */
    uint64_t samples_lost;     /* events that could not be encoded: too large for a request, or out of memory */
    bool complete;             /* all that the window has to say went to the sink, also what has no events */
    uint64_t symbols_resolved; /* addresses that got a name */
    uint64_t symbols_missing;  /* addresses that did not */
};

/*
 * Encodes a closed window. One in which no group has something to say, events or a value, gives no request. `resource`,
 * `symbolizer` and `options` may be NULL. 0; OTELPROF_E_MEMORY; or what the sink returned. `result` tells what was done
 * in each case; events of a window that are in none of samples, samples_silent and samples_lost were not come to.
 */
int otp_otlp_encode(const struct otp_window *window, const struct otp_resource *resource,
                    const struct otp_symbolizer *symbolizer, const struct otp_otlp_options *options, otp_otlp_sink sink,
                    void *user, struct otp_otlp_result *result);

#endif

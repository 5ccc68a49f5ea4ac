// SPDX-License-Identifier: Apache-2.0
/* Who we are, as attributes of every profile: service, process, host, SDK. Made once a start. */
#ifndef OTP_CORE_RESOURCE_H
#define OTP_CORE_RESOURCE_H

#include "context/process_context.h"
#include "core/settings.h"
#include "encode/otlp.h"

struct otp_resource_set;

/*
 * Detects and merges: fields of the options, then OTEL_SERVICE_NAME, then OTEL_RESOURCE_ATTRIBUTES, then what the
 * system says. A new service.instance.id each time. NULL when out of memory. Messages about variables that cannot be
 * understood go to the log.
 */
struct otp_resource_set *otp_resource_set_new(const struct otp_settings *settings);

/* Takes NULL. */
void otp_resource_set_free(struct otp_resource_set *set);

/* For the encoder; valid as long as the set. */
const struct otp_resource *otp_resource_set_get(const struct otp_resource_set *set);

/* Publishes the text attributes as the process context. 0 or a negative enum otelprof_error. */
int otp_resource_set_publish(const struct otp_resource_set *set);

#endif

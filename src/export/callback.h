// SPDX-License-Identifier: Apache-2.0
/* Requests handed to a function of the host's. */
#ifndef OTP_EXPORT_CALLBACK_H
#define OTP_EXPORT_CALLBACK_H

#include <otelprof/otelprof.h>

#include "export/exporter.h"

/* 0, OTELPROF_E_INVALID (NULL function) or OTELPROF_E_MEMORY. */
int otp_callback_exporter_new(otelprof_export_fn function, void *user, struct otp_exporter **exporter);

#endif

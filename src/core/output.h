// SPDX-License-Identifier: Apache-2.0
/* Where profiles go, as the settings say: the callback, files, a receiver, or files and a receiver. */
#ifndef OTP_CORE_OUTPUT_H
#define OTP_CORE_OUTPUT_H

#include <stddef.h>

#include "core/settings.h"
#include "export/exporter.h"
#include "export/network.h"

struct otp_output_choice {
    const struct otp_settings *settings;
    const struct otp_network *network; /* set if settings->to_network */
    size_t network_memory;             /* for the compressed form of a request */
};

/* Opens the exporter. 0, or a negative enum otelprof_error with a sentence. */
int otp_output_open(const struct otp_output_choice *choice, struct otp_exporter **exporter);

#endif

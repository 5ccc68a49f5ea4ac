// SPDX-License-Identifier: Apache-2.0
/* The network exporter, which is an object of its own that may be missing. */
#include <otelprof/otelprof.h>
#include <string.h>

#include "core/network_object.h"
#include "tool/doctor.h"

void doctor_network(void) {
    const struct otp_network *network = NULL;
    if (otp_network_object_load(&network)) {
        doctor_line(DOCTOR_NOTE, "network exporter",
                    "build otelprof with libcurl, and install " OTP_NETWORK_OBJECT " beside the library; or name it by "
                    "OTELPROF_NETWORK_OBJECT",
                    "profiles go to files and callbacks only: %s", otelprof_last_error());
        return;
    }
    const char *about = network->about();
    doctor_line(DOCTOR_OK, "network exporter", NULL, "OTLP over gRPC and HTTP, by %.*s", (int)strcspn(about, " "),
                about);
}

// SPDX-License-Identifier: Apache-2.0
#include "export/callback.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/sys.h"

struct callback_exporter {
    struct otp_exporter base;
    otelprof_export_fn function;
    void *user;
};

static enum otp_delivery send(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns,
                              struct otp_answer *answer) {
    struct callback_exporter *callback = (struct callback_exporter *)(void *)exporter;
    (void)deadline_ns; /* the host's function knows none */
    (void)answer;
    if (!callback->function(callback->user, bytes, size))
        return OTP_DELIVERED;
    otp_error(OTELPROF_E_EXPORT, "the export callback did not take %zu bytes", size);
    return OTP_DELIVERY_FAILED;
}

static void callback_close(struct otp_exporter *exporter) { free(exporter); }

int otp_callback_exporter_new(otelprof_export_fn function, void *user, struct otp_exporter **exporter) {
    static const struct otp_exporter_ops ops = {.send = send, .close = callback_close};
    if (!function)
        return otp_error(OTELPROF_E_INVALID, "no export callback");
    struct callback_exporter *callback = otp_sys.calloc(1, sizeof(*callback));
    if (!callback)
        return otp_error(OTELPROF_E_MEMORY, "no memory for the export callback");
    callback->base.ops = &ops;
    callback->base.name = "the export callback";
    callback->function = function;
    callback->user = user;
    *exporter = &callback->base;
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Requests to a receiver, with a copy as a file of each. */
#ifndef OTP_EXPORT_TEE_H
#define OTP_EXPORT_TEE_H

#include "export/exporter.h"

/*
 * What becomes of a request is what `first` says. `copies` gets what was delivered; a copy that fails is told in the
 * log and changes nothing. Both are the new exporter's, also on failure. 0 or OTELPROF_E_MEMORY.
 */
int otp_tee_exporter_new(struct otp_exporter *first, struct otp_exporter *copies, struct otp_exporter **exporter);

#endif

// SPDX-License-Identifier: Apache-2.0
/* What must hold of a request before anyone walks it. For the encode room only. */
#ifndef OTP_ENCODE_OTLP_VERIFY_H
#define OTP_ENCODE_OTLP_VERIFY_H

#include <stddef.h>

#include "encode/messages.h"

/* NULL if the bytes are not nested deeper than decoding may recurse, or what is wrong. */
const char *otp_otlp_verify_nesting(const void *bytes, size_t size);

/* NULL if every index is in its table, ids have their lengths and texts are UTF-8, or what is wrong. */
const char *otp_otlp_verify(const otlp_request *request);

#endif

// SPDX-License-Identifier: Apache-2.0
/* The bytes of a process context: the message ProcessContext. Private to this room. */
#ifndef OTP_CONTEXT_PROCESS_PAYLOAD_H
#define OTP_CONTEXT_PROCESS_PAYLOAD_H

#include <stdint.h>

#include "context/process_context.h"

/* The one place where the name of the thread record's schema stands: what readers of today compare with. */
#define OTP_THREAD_SCHEMA "tlsdesc_v1_dev"

struct otp_process_payload {
    uint8_t *bytes; /* to be freed */
    size_t size;
    uint32_t keys; /* attribute keys in it */
};

/* Builds the payload from resource attributes and the first `keys` attribute keys. 0 or OTELPROF_E_MEMORY. */
int otp_process_payload_build(struct otp_process_payload *payload, const struct otp_process_attribute *resource,
                              size_t count, uint32_t keys);

#endif

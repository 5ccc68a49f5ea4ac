// SPDX-License-Identifier: Apache-2.0
/* Looks for a process context in the list of mappings. Private to this room. */
#ifndef OTP_CONTEXT_PROCESS_MAPS_H
#define OTP_CONTEXT_PROCESS_MAPS_H

#include <stdbool.h>

/* True if this process has a mapping with one of the names of OTEP 4719. False too if the list cannot be read. */
bool otp_process_maps_have_context(void);

#endif

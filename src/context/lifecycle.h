// SPDX-License-Identifier: Apache-2.0
/* Counts that belong to no thread. Private to this room. */
#ifndef OTP_CONTEXT_LIFECYCLE_H
#define OTP_CONTEXT_LIFECYCLE_H

#include "context/thread.h"

void otp_lifecycle_registered(void);
void otp_lifecycle_no_slot(void);

#endif

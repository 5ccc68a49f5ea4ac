// SPDX-License-Identifier: Apache-2.0
/* The kernel as a mapping of kernel frames: its name and its honest build id. */
#ifndef OTP_CORE_KERNEL_MAPPING_H
#define OTP_CORE_KERNEL_MAPPING_H

#include <stdint.h>

#include "profile/window.h"

struct otp_kernel_mapping {
    struct otp_mapping mapping;
    uint8_t build_id[64];
};

/* Reads /sys/kernel/notes; without it the mapping has no build id. The mapping points into `kernel`. */
void otp_kernel_mapping_read(struct otp_kernel_mapping *kernel);

#endif

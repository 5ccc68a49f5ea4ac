// SPDX-License-Identifier: Apache-2.0
/* Walks over arbitrary bytes as a line table. */
#include <stdlib.h>

#include "symbols/line_cost.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t cost;
    if (otp_longest_string(data, size) > size)
        abort();
    for (uint64_t offset = 0; offset < 8; offset++)
        otp_line_cost(data, size, offset, 100, &cost);
    return 0;
}

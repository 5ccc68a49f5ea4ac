// SPDX-License-Identifier: Apache-2.0
/* Arrays that double when they are full. */
#ifndef OTP_UNWIND_GROW_H
#define OTP_UNWIND_GROW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sys.h"

static inline bool otp_grow(void **array, size_t count, size_t *capacity, size_t first, size_t size) {
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : first ? first : 1;
    void *larger = wanted > (size_t)-1 / 2 / size ? NULL : otp_sys.realloc(*array, wanted * size);
    if (!larger)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

/* True: there is room for one more than `count`. False: out of memory, nothing is changed. */
#define OTP_GROW(array, count, capacity, first)                                                                        \
    otp_grow((void **)(void *)&(array), (count), &(capacity), (first), sizeof(*(array)))

#endif

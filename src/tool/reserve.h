// SPDX-License-Identifier: Apache-2.0
/* Arrays whose elements are numbered as they come. */
#ifndef OTP_TOOL_RESERVE_H
#define OTP_TOOL_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes room for element `number` of an array from malloc() of *room elements; new ones are zero. False: out of memory.
 */
bool tool_reserve(void **array, size_t *room, uint32_t number, size_t size);

#endif

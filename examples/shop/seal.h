// SPDX-License-Identifier: Apache-2.0
/* A keyed hash over a receipt: work of the shop's own, below no library. Not for real secrets. */
#ifndef SHOP_SEAL_H
#define SHOP_SEAL_H

#include <stddef.h>

#define SEAL_TEXT_SIZE 17

/* Writes the seal of `bytes` as 16 hex digits, and returns `out`. */
const char *seal_text(const char *bytes, size_t size, char out[SEAL_TEXT_SIZE]);

#endif

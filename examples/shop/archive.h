// SPDX-License-Identifier: Apache-2.0
/* The receipts of the latest orders, kept in memory: what a customer who lost his asks for. Any thread. */
#ifndef SHOP_ARCHIVE_H
#define SHOP_ARCHIVE_H

#include <stddef.h>

#define ARCHIVE_RECEIPTS 20000 /* the oldest goes for a new one */

/* At the shop's start. */
void archive_open(void);

/* Keeps a copy. Out of memory: it is not kept. */
void archive_keep(long order, const char *receipt, size_t size);

/* A copy, which the caller frees, or NULL: not kept, or not any more. */
char *archive_find(long order, size_t *size);

/* A checksum of `count` receipts, from that of order `newest` back, as they are at one moment. */
unsigned long archive_checksum(long newest, long count);

/* At the shop's end. */
void archive_clear(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* A growing text, and its gzip form. */
#ifndef SHOP_TEXT_H
#define SHOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Starts as all zero. After a failed append `failed` stays set, and more appends do nothing. */
struct text {
    char *bytes;
    size_t size;
    size_t capacity;
    bool failed;
};

/* Appends as printf does. */
__attribute__((format(printf, 2, 3))) void text_append(struct text *text, const char *format, ...);

/* Frees the bytes; the text is empty afterwards. */
void text_free(struct text *text);

/* The gzip form of `text`, allocated, for the caller to free; NULL when memory runs out. */
char *text_gzip(const struct text *text, size_t *size);

#endif

// SPDX-License-Identifier: Apache-2.0
/* A growing text, and its gzip form by zlib. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static bool text_reserve(struct text *text, size_t more) {
    size_t wanted = text->size + more + 1;
    if (wanted <= text->capacity) {
        return true;
    }
    size_t capacity = text->capacity == 0 ? 4096 : text->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void text_append(struct text *text, const char *format, ...) {
    va_list arguments;
    if (text->failed || !text_reserve(text, 256)) {
        return;
    }
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t room = text->capacity - text->size;
        va_start(arguments, format);
        int length = vsnprintf(text->bytes + text->size, room, format, arguments);
        va_end(arguments);
        if (length < 0) {
            text->failed = true;
            return;
        }
        if ((size_t)length < room) {
            text->size += (size_t)length;
            return;
        }
        if (!text_reserve(text, (size_t)length)) {
            return;
        }
    }
}

void text_free(struct text *text) {
    free(text->bytes);
    *text = (struct text){NULL, 0, 0, false};
}

char *text_gzip(const struct text *text, size_t *size) {
    z_stream stream = {.next_in = (Bytef *)text->bytes, .avail_in = (uInt)text->size};
    /* 16 added to the window bits asks zlib for a gzip header instead of its own. */
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return NULL;
    }
    size_t bound = deflateBound(&stream, (uLong)text->size);
    char *compressed = malloc(bound);
    if (compressed != NULL) {
        stream.next_out = (Bytef *)compressed;
        stream.avail_out = (uInt)bound;
        if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
            free(compressed);
            compressed = NULL;
        }
        *size = bound - stream.avail_out;
    }
    deflateEnd(&stream);
    return compressed;
}

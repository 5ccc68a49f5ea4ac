// SPDX-License-Identifier: Apache-2.0
#include "network/body.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FRAME 5           /* of gRPC: a flag and 4 bytes of length */
#define GZIP_WINDOW 31    /* zlib: 15 bits of window, and 16 for the form of gzip */
#define MEMORY_LEVEL 8    /* zlib's default */
#define COMPRESSED_PART 4 /* what a profile shrinks to, about; the first guess */

static bool reserve(struct otp_body *body, size_t room) {
    if (room <= body->room)
        return true;
    uint8_t *block = room <= body->limit ? realloc(body->block, room) : NULL;
    if (!block)
        return false;
    body->block = block;
    body->room = room;
    return true;
}

/* Compresses into the block from `start` on. The size, or 0 if it does not become smaller than the message. */
static size_t deflate_into(struct otp_body *body, size_t start, const void *message, size_t size) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)message, .avail_in = (uInt)size};
    if (!reserve(body, start + size / COMPRESSED_PART + 256) ||
        deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY))
        return 0;
    int state = Z_OK;
    size_t made = 0;
    while (state == Z_OK && made < size) {
        stream.next_out = body->block + start + made;
        stream.avail_out = (uInt)(body->room - start - made);
        state = deflate(&stream, Z_FINISH);
        made = (size_t)(stream.next_out - body->block) - start;
        if (state == Z_OK && !reserve(body, body->room + body->room / 2))
            break;
    }
    deflateEnd(&stream);
    return state == Z_STREAM_END && made < size ? made : 0;
}

int otp_body_make(struct otp_body *body, const void *message, size_t size, bool gzip, bool framed) {
    size_t start = framed ? FRAME : 0,
           made = gzip && size <= UINT32_MAX / 2 ? deflate_into(body, start, message, size) : 0;
    body->compressed = made != 0;
    if (!made && framed) {
        if (!reserve(body, FRAME + size))
            return -1;
        memcpy(body->block + FRAME, message, size);
    }
    if (!made)
        made = size;
    if (framed) {
        const uint8_t frame[FRAME] = {body->compressed, (uint8_t)(made >> 24), (uint8_t)(made >> 16),
                                      (uint8_t)(made >> 8), (uint8_t)made};
        memcpy(body->block, frame, FRAME);
    }
    body->bytes = framed || body->compressed ? body->block : message;
    body->size = start + made;
    return 0;
}

void otp_body_free(struct otp_body *body) {
    free(body->block);
    body->block = NULL;
    body->room = 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Where the encoder gets names from: a callback, so that it can be tested and used without symbols. */
#ifndef OTP_ENCODE_SYMBOLIZER_H
#define OTP_ENCODE_SYMBOLIZER_H

#include <stddef.h>

#include "profile/window.h"
#include "symbols/symbols.h"

struct otp_symbolizer {
    void *user;
    /* Around the calls of names() for one window; may be NULL. Strings live until the next begin(). */
    void (*begin)(void *user);
    void (*end)(void *user);
    /*
     * Fills up to `max` lines, innermost inlined function first, and returns how many; 0: no name. `mapping` is NULL
     * for a frame that lies in none. NULL instead of a function: nothing gets a name.
     */
    size_t (*names)(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                    struct otp_symbol_line *lines, size_t max);
    /* The global variable at the frame's address, and the offset in it; NULL: none. NULL instead of a function: none.
     */
    const char *(*data)(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                        uint64_t *offset);
};

/* Names from the symbols room. `symbols` stays the caller's. */
struct otp_symbolizer otp_symbolizer_of(struct otp_symbols *symbols);

#endif

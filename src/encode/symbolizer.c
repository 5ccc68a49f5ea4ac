// SPDX-License-Identifier: Apache-2.0
#include "encode/symbolizer.h"

static void begin(void *user) { otp_symbols_begin_window(user); }

static void end(void *user) { otp_symbols_end_window(user); }

static struct otp_symbol_module module_of(const struct otp_mapping *mapping) {
    return (struct otp_symbol_module){.number = mapping->module_number,
                                      .path = mapping->path,
                                      .start = mapping->start,
                                      .end = mapping->end,
                                      .file_offset = mapping->file_offset,
                                      .bias = mapping->bias,
                                      .build_id = mapping->build_id,
                                      .build_id_size = mapping->build_id_size,
                                      .vdso = mapping->vdso,
                                      .kernel = mapping->kernel,
                                      .deleted = mapping->deleted,
                                      .anonymous = mapping->anonymous};
}

static const char *data(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                        uint64_t *offset) {
    struct otp_symbol_module module = module_of(mapping);
    return otp_symbols_data(user, &module, frame->address, offset);
}

static size_t names(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                    struct otp_symbol_line *lines, size_t max) {
    struct otp_symbol_module module = {.kernel = frame->kind == OTP_FRAME_KERNEL};
    if (mapping)
        module = module_of(mapping);
    else if (!module.kernel)
        return 0;
    return otp_symbols_resolve(user, &module, frame->address, lines, max);
}

struct otp_symbolizer otp_symbolizer_of(struct otp_symbols *symbols) {
    return (struct otp_symbolizer){.user = symbols, .begin = begin, .end = end, .names = names, .data = data};
}

// SPDX-License-Identifier: Apache-2.0
/* For programs that use the insides: the programs of the kernel with the unwind tables of this process. */
#ifndef OTP_TESTS_CAPTURE_ROOM_H
#define OTP_TESTS_CAPTURE_ROOM_H

#include <stdbool.h>

#include "capture/capture.h"
#include "unwind/modules.h"
#include "unwind/tables.h"

struct capture_room {
    struct otp_modules *modules;
    struct otp_tables *tables;
    struct otp_capture *capture; /* the caller's to open, in between */
};

/* Lists modules, makes their rows, and says in `options` what to reserve for them. 0, or -1 with a sentence. */
static inline int capture_room_prepare(struct capture_room *room, struct otp_capture_options *options) {
    bool changed;
    room->modules = otp_modules_new();
    room->tables = otp_tables_new();
    if (!room->modules || !room->tables || otp_modules_scan(room->modules, 1, &changed) ||
        otp_tables_build(room->tables, room->modules))
        return -1;
    otp_tables_needs(room->tables, &options->rows, &options->pages);
    return 0;
}

/* Puts them into the memory of the capture that is open. 0, or a negative enum otelprof_error. */
static inline int capture_room_publish(struct capture_room *room) {
    struct otp_tables_memory memory;
    otp_capture_tables_memory(room->capture, &memory);
    int result = otp_tables_bind(room->tables, &memory);
    return result ? result : otp_tables_publish(room->tables, room->modules);
}

#endif

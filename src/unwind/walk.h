// SPDX-License-Identifier: Apache-2.0
/*
 * Stack walks in user space, over the same tables and with the same step as the programs. Any thread, at any time:
 * no allocation, no lock, no library call; async-signal-safe if the read callback is.
 */
#ifndef OTP_UNWIND_WALK_H
#define OTP_UNWIND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "unwind/tables.h"
#include "unwind_frame.h"

/* Reads an aligned-or-not 8-byte word of the stack. 0, or anything else: not readable. */
typedef int (*otp_walk_read_fn)(void *user, uint64_t address, uint64_t *word);

struct otp_walk_result {
    uint32_t count;     /* of frames written; 1 at least */
    enum otp_stop stop; /* why the walk ended */
    uint32_t directory; /* otp_control.directory that the walk used; 0: none was in force */
};

/*
 * The rule for an address. OTP_STOP_COMPLETE: found, *rule is set; OTP_STOP_UNKNOWN_MODULE: in no segment;
 * OTP_STOP_NO_TABLES: nothing published, or an uncovered segment. *flags (may be NULL) gets the segment's flags.
 * The answer counts only if memory->control->directory is the same before and after.
 */
enum otp_stop otp_tables_lookup(const struct otp_tables_memory *memory, uint32_t directory, uint64_t pc,
                                struct otp_rule *rule, uint32_t *flags);

/*
 * Walks from `frame` (not changed) to the root. `leaf` may be NULL: registers unknown but pc, sp, fp. frames[] gets
 * at most `max` (1 or more) addresses, leaf first, as record.h describes them. A publication in the middle makes it
 * start over, three times at most; then it ends with OTP_STOP_NO_TABLES and the leaf alone.
 */
struct otp_walk_result otp_walk(const struct otp_tables_memory *memory, const struct otp_frame *frame,
                                const struct otp_leaf_registers *leaf, otp_walk_read_fn read, void *user,
                                uint64_t *frames, uint32_t max);

/* Somebody else who can walk the calling thread's stack: a program of the kernel's, see capture/hook_walker.h. */
struct otp_walker {
    /* As otp_walk(); `place` is the caller's alone meanwhile. False: it cannot, and nothing has changed. Keeps errno.
     */
    bool (*walk)(const struct otp_walker *walker, uint32_t place, const struct otp_frame *frame, uint64_t *frames,
                 uint32_t max, struct otp_walk_result *result);
    int program_fd;
    const void *walks;
    size_t stride;
};

#endif

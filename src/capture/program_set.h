// SPDX-License-Identifier: Apache-2.0
/*
 * The programs and their maps, loaded. Maps cannot grow, so when the unwind tables run out of room a second set is
 * loaded with larger ones; it shares the maps that outlive a set (control, counters, context, ring) with the first.
 */
#ifndef OTP_CAPTURE_PROGRAM_SET_H
#define OTP_CAPTURE_PROGRAM_SET_H

#include <stddef.h>
#include <stdint.h>

#include "capture/descriptor.h"
#include "control.h"

/* Maps that all sets share. */
enum otp_shared_map {
    OTP_MAP_CONTROL,
    OTP_MAP_COUNTERS,
    OTP_MAP_SLOTS,
    OTP_MAP_INDEX,
    OTP_MAP_RING,
    OTP_MAP_TASKS,
    OTP_MAP_STILL,
    OTP_MAP_SHARED_COUNT,
};

/* Maps of one set: the unwind tables, and what depends on them. */
enum otp_table_map {
    OTP_MAP_ROWS,
    OTP_MAP_PAGES,
    OTP_MAP_RULES,
    OTP_MAP_SEGMENTS,
    OTP_MAP_WALKS, /* no table: where otp_walk works, if it is wanted */
    OTP_MAP_TABLE_COUNT,
};

struct otp_program_sizes {
    uint32_t cpus;       /* possible CPUs */
    uint32_t slots;      /* threads that can be inside spans */
    uint32_t index_size; /* power of two */
    uint32_t ring_bytes; /* power of two, at least a page */
    size_t rows;         /* capacity of the tables */
    size_t pages;
    int kernel_frames;
    int keep_events; /* see otp_capture_options */
    int hook_walks;
};

struct otp_program_set {
    struct otp_descriptor cpu_program;
    struct otp_descriptor identify_program;
    struct otp_descriptor walk_program; /* -1: not wanted */
    struct otp_descriptor threads_link; /* what passes over the threads are made of; -1: see threads_error */
    int threads_error;                  /* errno */
    struct otp_descriptor shared[OTP_MAP_SHARED_COUNT];
    void *tables[OTP_MAP_TABLE_COUNT]; /* mapped; the descriptors are not needed any more */
    size_t table_bytes[OTP_MAP_TABLE_COUNT];
    size_t walk_stride;    /* bytes of a place in OTP_MAP_WALKS */
    uint64_t own_bytes;    /* kernel memory of the maps that go with this set */
    uint64_t shared_bytes; /* of those that stay */
};

/* Every descriptor -1, every pointer NULL: what otp_program_set_close() takes at any time. */
void otp_program_set_init(struct otp_program_set *set);

/*
 * Loads the object. With `base`, its shared maps are used instead of new ones. 0, or a negative enum otelprof_error
 * with a sentence; `set` is then as after otp_program_set_init().
 */
int otp_program_set_load(struct otp_program_set *set, const struct otp_program_sizes *sizes,
                         const struct otp_program_set *base);

/* Runs otp_identify on the calling thread. 0 or a negative enum otelprof_error. */
int otp_program_set_identify(const struct otp_program_set *set, struct otp_identity *identity);

/* Instructions that the verifier walked for each program; 0: not known. */
void otp_program_set_verified(const struct otp_program_set *set, unsigned *cpu, unsigned *identify);

/* The tables stay mapped for good: somebody may be reading them. For a set that is about to be closed. */
void otp_program_set_leave_tables(struct otp_program_set *set);

/* Closes descriptors and unmaps tables. */
void otp_program_set_close(struct otp_program_set *set);

/* Async-signal-safe: closes the descriptors in a forked child, where the tables are not mapped. */
void otp_program_set_forked_child(struct otp_program_set *set);

#endif

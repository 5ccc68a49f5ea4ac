// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The maps that the programs share with the process, and what they remember of its threads. */
#ifndef OTP_BPF_MAPS_H
#define OTP_BPF_MAPS_H

#include "context_slot.h"
#include "control.h"
#include "thread_state.h"
#include "unwind_table.h"

/* Set before load. */
const volatile uint32_t otp_index_mask = 0;    /* size of context_index - 1 */
const volatile uint32_t otp_kernel_frames = 1; /* take kernel frames too */
const volatile uint32_t otp_verdict = 0; /* 1: the event's own buffer gets the sample as well; tests compare both */

#define SHARED_ARRAY(name, entries, type_)                                                                             \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_ARRAY);                                                                              \
        __uint(map_flags, BPF_F_MMAPABLE);                                                                             \
        __uint(max_entries, entries);                                                                                  \
        __type(key, uint32_t);                                                                                         \
        __type(value, type_);                                                                                          \
    } name SEC(".maps")

/* Sizes of 1 are set by the loader. */
SHARED_ARRAY(otp_control, 1, struct otp_control);
SHARED_ARRAY(otp_counters, 1, struct otp_cpu_counters);
SHARED_ARRAY(otp_rows, 1, uint64_t);
SHARED_ARRAY(otp_pages, 1, uint64_t);
SHARED_ARRAY(otp_rules, OTP_RULES_MAX, struct otp_rule);
SHARED_ARRAY(otp_segments, 2 * OTP_SEGMENTS_MAX, struct otp_segment);
SHARED_ARRAY(otp_slots, 1, struct otp_slot);
SHARED_ARRAY(otp_index, 1, uint64_t);
SHARED_ARRAY(otp_still_ns, 2 * OTP_PLACES, uint64_t); /* see OTP_PLACE_INDEX */

/*
 * The threads in the order in which a pass comes to them, which changes when one of them ends. What a pass has to know
 * of a thread that stands still lies side by side here: it need not touch what lies scattered over the kernel's memory.
 */
struct still_thread {
    uint64_t task;
    uint32_t born; /* a part of its time of birth */
    uint32_t epoch, place;
    uint32_t switches;
    uint64_t reserved;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, OTP_PLACES);
    __type(key, uint32_t);
    __type(value, struct still_thread);
} otp_still SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} otp_ring SEC(".maps");

/* What the programs remember of a thread. Those of a pass alone touch what follows `snapshot`. */
struct task_memory {
    uint32_t ns_tid;        /* the thread's id in its own PID namespace; 0: nothing known yet */
    uint32_t slot;          /* 1 + slot number; 0: none */
    uint32_t registrations; /* otp_control.registrations at the last search that found nothing */
    uint32_t snapshot;      /* serial of the snapshot that the thread was told in last */
    uint32_t run, epoch;    /* otp_control's, when the rest was written; another run: the rest does not count */
    uint32_t place;         /* of the thread in this epoch, from 1; 0: none */
    uint32_t state;         /* enum otp_thread_run at the last look */
    uint64_t looked_ns;     /* when it was told last, or known to stand still */
    uint64_t seen_ns;       /* as much of its time is told as went by up to here */
    uint64_t cpu_ns;        /* what it had run then */
    uint64_t delay_ns;      /* what it had waited for a CPU then */
    uint64_t switches;      /* how often it had been switched out then */
    uint64_t ran_ns;        /* what it had run when that was told last, by a record of the CPU program as a rule */
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct task_memory);
} otp_tasks SEC(".maps");

#endif

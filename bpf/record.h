// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A sample on its way from a program, or from a hook in user space, to the profiler thread: a header, then the frames,
 * then the thread's context.
 *
 *     struct otp_record
 *     uint64_t frames[kernel_frames + user_frames]     kernel part first, each part leaf first
 *     OTEP 4947 record, context_size bytes             absent if context_size is 0
 *
 * User frames are addresses inside the instruction that was running: the program counter itself in a leaf, the return
 * address - 1 in a caller, and the first byte of the trampoline that the kernel put under a signal handler. Kernel
 * frames are as the kernel gives them: the leaf exact, then return addresses.
 */
#ifndef OTP_BPF_RECORD_H
#define OTP_BPF_RECORD_H

#include "shared_types.h"

#define OTP_RECORD_VERSION 1
#define OTP_FRAMES_MAX 512 /* user frames */
#define OTP_KERNEL_FRAMES_MAX 64
#define OTP_CPU_UNIT_SHIFT 10

enum otp_record_type {
    OTP_RECORD_CPU = 1,
    OTP_RECORD_HEAP = 2,    /* made in user space, by the thread that allocates */
    OTP_RECORD_WAIT = 3,    /* made in user space, by the thread that has waited */
    OTP_RECORD_RELEASE = 4, /* made in user space, by the thread that let go of a lock that others wait for */
    OTP_RECORD_THREAD = 5,  /* behind a struct otp_thread_state, in what a pass over the threads gives */
};

/* What is waited for. */
enum otp_lock_kind {
    OTP_LOCK_MUTEX = 1,
    OTP_LOCK_READ, /* read/write lock: to read */
    OTP_LOCK_WRITE,
    OTP_LOCK_SPIN,
    OTP_LOCK_CONDITION, /* from here on: work, not a lock */
    OTP_LOCK_SEMAPHORE,
    OTP_LOCK_JOIN,
    OTP_LOCK_BARRIER,
    OTP_LOCK_KINDS,
};

enum otp_record_flags {
    OTP_RECORD_IN_KERNEL = 1,   /* the thread was in the kernel */
    OTP_RECORD_TIMED_OUT = 2,   /* wait: it was given up at its time */
    OTP_RECORD_INTERRUPTED = 4, /* wait: a signal ended it */
    OTP_RECORD_SNAPSHOT = 8,    /* CPU, thread: tells the thread in the snapshot that is being taken */
    OTP_RECORD_WALL_ONLY = 16,  /* CPU: for wall time and snapshots, not for the CPU profile, which is off */
};

/* Why the user stack ends; the same numbers as enum otelprof_stack_stop. */
enum otp_stop {
    OTP_STOP_COMPLETE = 0,
    OTP_STOP_UNKNOWN_MODULE = 1,
    OTP_STOP_NO_ROWS = 2,
    OTP_STOP_UNSUPPORTED = 3,
    OTP_STOP_READ_FAULT = 4,
    OTP_STOP_BAD_FRAME = 5,
    OTP_STOP_DEPTH = 6,
    OTP_STOP_EXITING = 7,
    OTP_STOP_NO_TABLES = 8,
    OTP_STOP_NOT_WALKED = 9, /* release: the leaf alone, where releases come too fast to walk each; thread: it ran */
    OTP_STOP_COUNT = 10,
};

struct otp_record {
    uint16_t version;       /* OTP_RECORD_VERSION */
    uint8_t type;           /* enum otp_record_type */
    uint8_t stop;           /* enum otp_stop */
    uint16_t kernel_frames; /* count */
    uint16_t user_frames;   /* count */
    uint32_t tgid;          /* as the kernel sees it; heap: 0 */
    /* As the thread's own PID namespace numbers it; heap: 0; wait: of who had the lock when it began, if known. */
    uint32_t tid;
    union {
        uint32_t cpu;
        uint32_t place; /* heap: of the block in the table of live blocks; UINT32_MAX: it is not followed */
        uint32_t kind;  /* wait, release: enum otp_lock_kind */
    };
    uint16_t flags;        /* enum otp_record_flags */
    uint16_t context_size; /* bytes */
    uint32_t directory;    /* otp_control.directory that the walk used: says which modules were where */
    uint32_t cpu_units;    /* CPU, with OTP_RECORD_SNAPSHOT: time that the thread has run, ns >> OTP_CPU_UNIT_SHIFT */
    union {
        uint64_t time_ns; /* the kernel's monotonic clock */
        uint64_t block;   /* heap: the block's word at its place */
        uint64_t lock;    /* wait, release: address of what was waited for */
    };
    /* What the sample stands for: heap: bytes that were asked for; wait: ns waited; thread: ns blocked; CPU: ns that
     * the thread has run since that was told last, for wall time (the CPU profile counts each sample as an interval).
     */
    uint64_t weight;
    uint64_t interval; /* sampling interval by which it was taken: ns; heap: bytes */
    union {
        char thread_name[16];
        struct {
            uint64_t mass;    /* wait: what it was chosen by, ns */
            uint64_t release; /* wait: number of the release that ended it, 0 if that was not seen; release: its own */
        };
    };
};
_Static_assert(sizeof(struct otp_record) == 72, "header of a record");

#endif

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One page that both sides share: who is profiled, which tables are in force, and the counters of each CPU. */
#ifndef OTP_BPF_CONTROL_H
#define OTP_BPF_CONTROL_H

#include "shared_types.h"

#define OTP_FAMILY_MAX 8
#define OTP_OWN_THREADS_MAX 8

/* What passes over the threads came to. */
struct otp_pass_counters {
    uint64_t looks;     /* at a thread */
    uint64_t told;      /* records */
    uint64_t unchanged; /* blocked where it was: no record was needed */
    uint64_t untold;    /* looks in a snapshot at a thread that it has yet to tell */
    uint64_t moved;     /* ran off while its stack was walked; its time is told later */
    uint64_t lost;      /* no memory to follow the thread */
};

/* The only value of the map "control". Written by the profiler thread unless said otherwise. */
struct otp_control {
    uint32_t directory; /* low bit: directory in force; the rest: generation, one up at each publication. 0: none */
    uint32_t segment_count[2];                 /* of each directory */
    uint32_t registrations;                    /* written by threads: one up whenever context_index gained an entry */
    uint32_t family[OTP_FAMILY_MAX];           /* thread-group ids as the kernel sees them; 0 ends the list */
    uint32_t own_threads[OTP_OWN_THREADS_MAX]; /* thread ids of ours, as the kernel sees them; 0 ends the list */
    uint32_t rescan_wanted; /* written by programs: an address was in no segment; cleared by the profiler */
    uint64_t interval_ns;   /* between two clock events on a CPU */

    /* Passes over the threads; see thread_pass.h. */
    uint32_t pass;                    /* enum otp_pass: what the pass is for */
    uint32_t snapshot;                /* serial of the snapshot in which the CPU program tells threads too; 0: none */
    uint32_t run;                     /* one up whenever wall time begins to be taken */
    uint32_t epoch;                   /* one up whenever the places are free again */
    uint32_t places;                  /* in use; written by the program */
    uint32_t serial;                  /* of the snapshot that passes belong to */
    uint32_t cpu_off;                 /* the clock events are for wall time and snapshots alone */
    uint32_t wall;                    /* wall time is being taken */
    uint64_t pass_ns;                 /* kernel's monotonic clock: when this pass began */
    uint64_t last_pass_ns;            /* the same of the pass before, or when the run began */
    uint64_t gap_ns;                  /* between two passes, as intended */
    struct otp_pass_counters threads; /* written by the program */
};

enum otp_pass {
    OTP_PASS_TICK = 1,     /* wall time */
    OTP_PASS_SNAPSHOT = 2, /* tell every thread that this snapshot has not */
    OTP_PASS_LAST = 4,     /* of the snapshot: also those that cannot be walked now */
};

/* Counters of one CPU: value of the map "counters", one for each possible CPU. Only the CPU program writes them. */
struct otp_cpu_counters {
    uint64_t fired;      /* clock events on a thread of the family */
    uint64_t own_thread; /* clock events on a thread of ours or of libcurl's; not in fired */
    uint64_t ring_full;  /* lost: no room in the ring */
    uint64_t scratch;    /* lost: no working memory */
    uint64_t frames;     /* user frames unwound */
    uint64_t with_span;  /* records that carry a valid context */
    uint64_t kernel_stack_missing;
    uint64_t wakeups;    /* the profiler was woken for an unknown address */
    uint64_t stops[16];  /* enum otp_stop */
    uint64_t cache_hits; /* pc cache */
    uint64_t cache_misses;
    uint64_t window_reads; /* reads of user memory, 2 KiB each as a rule */
    uint64_t wall_only;    /* clock events that came while the CPU profile was off; not in fired, nor in ring_full */
    uint64_t wall_only_ring_full;
    uint64_t reserved[3];
};
_Static_assert(sizeof(struct otp_cpu_counters) == 256, "four cache lines: CPUs do not share one");

/* What the program "identify" reports about the thread that runs it. */
struct otp_identity {
    uint32_t tgid;   /* as the kernel sees it, whatever PID namespace we live in */
    uint32_t tid;    /* likewise */
    uint32_t ns_tid; /* as our own PID namespace numbers it */
    uint32_t reserved;
    uint64_t clock_ns; /* the clock that stamps records, now */
};

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Wall time and the threads on the profiler thread: passes over the threads when they are due, and gives what they
 * tell to the window. For how long a thread stands still, which the programs note without a record
 * (bpf/thread_pass.h), goes to the sample that told last where the thread is.
 */
#ifndef OTP_CORE_THREAD_KEEPER_H
#define OTP_CORE_THREAD_KEEPER_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stdint.h>

#include "control.h"
#include "core/thread_pace.h"
#include "core/thread_snapshot.h"

struct otp_capture;
struct otp_intake;
struct otp_notes;
struct otp_table_keeper;

/* Where a thread stands still: the sample in the window that its time goes to, and from when on that is to be added. */
struct otp_thread_place {
    uint64_t since_ns; /* the programs' clock */
    uint32_t group;    /* OTP_NO_GROUP: none */
};

struct otp_thread_keeper {
    const struct otelprof_options *options;
    struct otp_notes *notes;
    struct otp_table_keeper *tables; /* knows whether the kernel may be called */
    struct otp_intake *intake;
    struct otp_capture *capture; /* NULL until otp_thread_keeper_bind() */
    int64_t monotonic_minus_clock_ns;
    bool wall, threads; /* what is on */
    struct otp_thread_pace pace;
    struct otp_thread_snapshot snapshot;
    struct otp_thread_place *places;
    struct otp_pass_counters counted; /* by the programs */
    uint64_t thread_count;            /* that the last pass looked at */
    uint64_t stops[OTP_STOP_COUNT];   /* of the records taken in */
    uint64_t ticks, failed;           /* passes for wall time; passes that failed */
    uint64_t lost;                    /* samples that the window did not take */
};

/* What it is given must outlive it. */
void otp_thread_keeper_init(struct otp_thread_keeper *keeper, const struct otelprof_options *options,
                            struct otp_notes *notes, struct otp_table_keeper *tables, struct otp_intake *intake);

/* The capture is there. `monotonic_minus_clock_ns`: CLOCK_MONOTONIC here less the programs' clock. */
void otp_thread_keeper_bind(struct otp_thread_keeper *keeper, struct otp_capture *capture,
                            int64_t monotonic_minus_clock_ns);

/* Before the capture goes; nothing is on any more. */
void otp_thread_keeper_unbind(struct otp_thread_keeper *keeper);

/*
 * Turns the two types on or off, between windows or in one. 0, or a negative enum otelprof_error with a sentence: then
 * both are off.
 */
int otp_thread_keeper_switch(struct otp_thread_keeper *keeper, bool wall, bool threads);

/* True if it needs the CPU records: they tell of the threads that run. */
bool otp_thread_keeper_is_on(const struct otp_thread_keeper *keeper);

/* A window begins: and with it a snapshot, if threads are on. */
void otp_thread_keeper_begin_window(struct otp_thread_keeper *keeper);

/* When there is something to do, CLOCK_MONOTONIC; UINT64_MAX: not by itself. */
uint64_t otp_thread_keeper_due(const struct otp_thread_keeper *keeper);

/* Does what is due. True: it passed over the threads. */
bool otp_thread_keeper_work(struct otp_thread_keeper *keeper);

/* Ends the snapshot that goes on, now: the window is about to be handed over. */
void otp_thread_keeper_finish(struct otp_thread_keeper *keeper);

/* The window closes: the time that was added up goes to its samples. */
void otp_thread_keeper_settle(struct otp_thread_keeper *keeper);

/* Of otp_intake: takes a CPU record in. `user` is the keeper. */
void otp_thread_keeper_on_cpu(void *user, const struct otp_record *header, const struct otp_sample *sample);

/* Adds the counters of this run. */
void otp_thread_keeper_stats(const struct otp_thread_keeper *keeper, struct otelprof_stats *stats);

#endif

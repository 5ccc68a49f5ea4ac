// SPDX-License-Identifier: Apache-2.0
/*
 * Capture: loads the programs, shares memory with them, attaches them to the clocks of all CPUs, and brings their
 * records up. Used by the profiler thread alone, but for what says otherwise.
 */
#ifndef OTP_CAPTURE_CAPTURE_H
#define OTP_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context/context.h"
#include "control.h"
#include "record.h"
#include "thread_state.h"
#include "unwind/tables.h"
#include "unwind/walk.h"

struct otp_capture;

struct otp_capture_options {
    unsigned rate_hz;
    uint32_t slots; /* threads inside spans */
    size_t rows;    /* capacity of the tables; see otp_capture_grow() */
    size_t pages;
    uint32_t ring_bytes; /* 0: enough for 600 ms at the rate, between 256 KiB and 16 MiB */
    bool kernel_frames;
    bool hook_walks;  /* hooks may have stacks walked by the kernel, see otp_capture_walker() */
    bool keep_events; /* the events' own buffers get each sample too: for tests that compare the two */
};

/*
 * Loads, maps and finds out who we are; nothing is attached yet. The memory of context slots stays mapped for ever,
 * and is used again by the next otp_capture_open(). 0, or a negative enum otelprof_error with a sentence.
 */
int otp_capture_open(struct otp_capture **out, const struct otp_capture_options *options);

/* Detaches and gives everything back. Takes NULL. */
void otp_capture_close(struct otp_capture *capture);

/* Shared memory, for those who write it. */
struct otp_control *otp_capture_control(struct otp_capture *capture);
void otp_capture_tables_memory(const struct otp_capture *capture, struct otp_tables_memory *memory);
void otp_capture_context_memory(const struct otp_capture *capture, struct otp_context_memory *memory);

/* Who walks stacks for hooks, with the tables in force. False: that was not asked for. */
bool otp_capture_walker(const struct otp_capture *capture, struct otp_walker *walker);

/*
 * Makes the calling thread one of ours: its clock events are counted apart and never exported. `identity` may be
 * NULL. Any thread of ours. 0 or a negative enum otelprof_error.
 */
int otp_capture_own_thread(struct otp_capture *capture, struct otp_identity *identity);

/* Opens the clock events (disabled); then starts and stops them. */
int otp_capture_attach(struct otp_capture *capture);
int otp_capture_enable(struct otp_capture *capture);
int otp_capture_disable(struct otp_capture *capture);

/*
 * Burns a few ms on the calling thread, one of ours, under an event of its own, and expects the program to see it: so
 * that a wrong idea of who we are (PID namespaces) is found out at once. 0 or a negative enum otelprof_error.
 */
int otp_capture_self_check(struct otp_capture *capture);

/* Once a window: events for CPUs that came or went. 0 or a negative enum otelprof_error. */
int otp_capture_follow_cpus(struct otp_capture *capture);

/*
 * Loads a second set with larger tables and opens its events; the first goes on meanwhile. 0, or a negative enum
 * otelprof_error and nothing has changed. Then the caller stops the events (otp_capture_disable), fills `memory`
 * (otp_tables_bind, publish), exchanges the sets (otp_capture_switch, which cannot fail), and starts the events again.
 * otp_capture_grow_abandon() gives the second set back instead, while nothing is bound to its memory.
 */
int otp_capture_grow(struct otp_capture *capture, size_t rows, size_t pages, struct otp_tables_memory *memory);
void otp_capture_switch(struct otp_capture *capture);
void otp_capture_grow_abandon(struct otp_capture *capture);

/* The tables in force stay mapped when they are exchanged or closed: a hook may be walking by them. */
void otp_capture_leave_tables(struct otp_capture *capture);

/* Hands over the records that are there. Returns how many. */
typedef void (*otp_capture_record_fn)(void *user, const void *record, size_t size);
size_t otp_capture_drain(struct otp_capture *capture, otp_capture_record_fn receiver, void *user);

/*
 * Passes over all threads of the process, but for ours; see bpf/thread_pass.h. `what`: flags of enum otp_pass. Hands
 * each thread over that there is something to tell of: `record` is that thread's, of type OTP_RECORD_THREAD.
 * 0, or a negative enum otelprof_error with a sentence.
 */
typedef void (*otp_capture_thread_fn)(void *user, const struct otp_thread_state *state, const void *record,
                                      size_t size);
int otp_capture_pass(struct otp_capture *capture, uint32_t what, otp_capture_thread_fn receiver, void *user);

/* 0 if there can be passes; else OTELPROF_E_KERNEL with a sentence. */
int otp_capture_pass_possible(const struct otp_capture *capture);

/* By OTP_PLACE_INDEX (thread_state.h): until when, by the programs' clock, a thread is known to stand where it was
 * told. */
const uint64_t *otp_capture_still(const struct otp_capture *capture);

/* The descriptor that becomes readable when a program asks for attention; -1 if somebody closed it. */
int otp_capture_wake_fd(const struct otp_capture *capture);

/* True when nobody closed or replaced the descriptors that are needed for running. */
bool otp_capture_intact(const struct otp_capture *capture);

/* Sums of all CPUs. */
void otp_capture_counters(const struct otp_capture *capture, struct otp_cpu_counters *sum);

/* Kernel memory of maps and ring, bytes; CPUs with an event; sets loaded so far. */
uint64_t otp_capture_kernel_bytes(const struct otp_capture *capture);
unsigned otp_capture_cpus(const struct otp_capture *capture);
unsigned otp_capture_sets(const struct otp_capture *capture);

/* For tests: the CPU program, to be put behind events of their own; what the verifier walked for each program. */
int otp_capture_program_fd(const struct otp_capture *capture);
void otp_capture_verified(const struct otp_capture *capture, unsigned *cpu, unsigned *identify);

/*
 * Async-signal-safe, in a forked child: closes the descriptors, and forgets memory that the child does not have. The
 * capture itself is abandoned.
 */
void otp_capture_forked_child(struct otp_capture *capture);

/* In a child that starts anew after a fork that ran no handler: forgets where the shared memory was. */
void otp_capture_forget_regions(void);

#endif

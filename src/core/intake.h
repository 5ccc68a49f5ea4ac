// SPDX-License-Identifier: Apache-2.0
/*
 * From a record of the programs to a sample of the profile: checks it, finds each address's module as it was then,
 * and puts times into the window's terms. On the profiler thread.
 */
#ifndef OTP_CORE_INTAKE_H
#define OTP_CORE_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/window.h"
#include "record.h"
#include "unwind/modules.h"

/* Gets each CPU record that was taken in: its head, and its sample, of type CPU, valid during the call. */
typedef void (*otp_intake_cpu_fn)(void *user, const struct otp_record *header, const struct otp_sample *sample);

struct otp_intake {
    const struct otp_modules *modules;
    struct otp_window *window;   /* that samples go to; NULL: none can be taken */
    int64_t unix_minus_clock_ns; /* add it to a record's time */
    uint64_t window_start_ns;    /* unix; earlier samples count as of the start */
    uint64_t last_ns;            /* unix: of the record taken in last */
    uint64_t lost_decode;
    uint64_t lost_memory;     /* no window, or the window could not take it */
    otp_intake_cpu_fn on_cpu; /* NULL: nobody is interested */
    void *on_cpu_user;
    const struct otp_mapping *kernel; /* the mapping of kernel frames; NULL: they go without */
    /* Of the record being taken in. */
    struct otp_frame_ref frames[OTP_KERNEL_FRAMES_MAX + OTP_FRAMES_MAX + 1];
    char thread_name[64];
};

/* Takes one record of the programs in: it is exported with the window, or counted in a lost_* field. */
void otp_intake_record(struct otp_intake *intake, const void *record, size_t size);

/*
 * The same for a record of an allocation, as of `now_ns` (unix). *header gets the record's head, whose interval is 0 if
 * it made no sense. True: *sample is the sample that was added, valid until the next record.
 */
bool otp_intake_heap(struct otp_intake *intake, const void *record, size_t size, uint64_t now_ns,
                     struct otp_record *header, struct otp_sample *sample);

/*
 * The same for a record of a wait or of a release: *sample is made, of no type and no value, and not added. Its frames
 * are the intake's, valid until the next record.
 */
bool otp_intake_lock(struct otp_intake *intake, enum otp_record_type type, const void *record, size_t size,
                     uint64_t now_ns, struct otp_record *header, struct otp_sample *sample);

/*
 * The same for a record of a thread that a pass gave: *sample is made, with the thread's id, its name, its time, and no
 * type and no value.
 */
bool otp_intake_thread(struct otp_intake *intake, const void *record, size_t size, struct otp_record *header,
                       struct otp_sample *sample);

/* The frame at an address of code, and the one in the data of a module's file. False: in no module that is known. */
struct otp_frame_ref otp_intake_code(struct otp_intake *intake, uint64_t address);
bool otp_intake_data(struct otp_intake *intake, uint64_t address, struct otp_frame_ref *frame);

#endif

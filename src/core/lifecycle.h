// SPDX-License-Identifier: Apache-2.0
/* The one profiler of this process: its state, and who may start and stop it. */
#ifndef OTP_CORE_LIFECYCLE_H
#define OTP_CORE_LIFECYCLE_H

#include <otelprof/otelprof.h>
#include <stdbool.h>

struct otp_settings;

/*
 * Starts with settings that are complete; they are the callee's from now on. As otelprof_init(), which calls it on the
 * caller's thread.
 */
int otp_lifecycle_start(struct otp_settings *settings);

/* In a forked child that is on its way to a start of its own: everything of the parent's is forgotten. */
void otp_lifecycle_become_child(void);

/* True if this process follows forks: a child shall start by itself. */
bool otp_lifecycle_follows(void);

/* Makes the settings of the last start anew, for the child's. False: there are none. */
bool otp_lifecycle_last_options(struct otelprof_options *options);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * The thread on which libcurl works, with a table of descriptors of its own. Sockets, the resolver's too, have no
 * numbers in the host's table: the host can neither close nor inherit them, they leave standard input, output and error
 * alone in a host that closed those, and a program that it executes gets none. Threads that libcurl starts share the
 * table. Hence nothing of the host's may be called here: its files have no numbers in this table.
 */
#ifndef OTP_NETWORK_COURIER_H
#define OTP_NETWORK_COURIER_H

#include <stddef.h>
#include <stdint.h>

struct otp_courier;

/* `begins` (may be NULL) is called first on the thread. 0, or a negative enum otelprof_error with a sentence. */
int otp_courier_start(struct otp_courier **out, void (*begins)(void), char *error, size_t error_size);

/* Runs `work` there, and returns when it has. One caller at a time. */
void otp_courier_run(struct otp_courier *courier, void (*work)(void *argument), void *argument);

/* CPU time of the thread, in ns. Any thread. */
uint64_t otp_courier_cpu_ns(const struct otp_courier *courier);

/* Ends the thread, whose descriptors go with it. Takes NULL. */
void otp_courier_stop(struct otp_courier *courier);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * What happens at a fork. The handler in the child closes our descriptors and forgets; it starts nothing. With
 * OTELPROF_FORK=follow the child is started again later, on a thread of its own: at its first span call, or when the
 * preload object asks for it after fork() has returned.
 */
#ifndef OTP_CORE_FOLLOW_H
#define OTP_CORE_FOLLOW_H

#include <otelprof/otelprof.h>
#include <stdbool.h>

/* What a fork asks of the lifecycle. */
struct otp_follow_calls {
    void (*forked_child)(void); /* in the child's fork handler: close and forget. Async-signal-safe */
    bool (*follows)(void);      /* a child shall start by itself */
    int (*start)(void);         /* starts the child with the parent's options. 0 or a negative enum otelprof_error */
};

/* Registers the handler, once a process. `calls` is static. Not by two threads at once. 0 or OTELPROF_E_MEMORY. */
int otp_follow_register(const struct otp_follow_calls *calls);

/* True in a child whose fork ran no handler (_Fork, raw clone). Forgets it. */
bool otp_follow_missed(void);

/*
 * For the preload object, in a child after fork() has returned: starts it with the parent's options if forks are
 * followed. `delay_ms` 0: before it returns; else on a thread of its own after that time. Not part of the API.
 */
OTELPROF_API int otelprof_private_child_start(unsigned delay_ms);

#endif

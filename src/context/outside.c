// SPDX-License-Identifier: Apache-2.0
/*
 * The variable by which readers outside of this process find a thread's record (OTEP 4947). Its own file, because it
 * is compiled with the TLS dialect that they know best; our own writes go by its address, kept at registration.
 */
#include "context/thread.h"

extern _Thread_local void *otel_thread_ctx_v1;
OTELPROF_API _Thread_local void *otel_thread_ctx_v1;

void *volatile *otp_outside_variable(void) { return (void *volatile *)&otel_thread_ctx_v1; }

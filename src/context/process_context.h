// SPDX-License-Identifier: Apache-2.0
/*
 * The OpenTelemetry process context (OTEP 4719): a mapping named OTEL_CTX that tells readers outside of this process
 * who it is, and (OTEP 4947) how to read the thread contexts: schema and names of the attribute keys.
 *
 * All functions but the last two: one caller at a time.
 */
#ifndef OTP_CONTEXT_PROCESS_CONTEXT_H
#define OTP_CONTEXT_PROCESS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct otp_process_attribute {
    const char *key;
    const char *value;
};

/*
 * Publishes resource attributes and the attribute keys known so far; called again, it replaces what was published.
 * Strings are copied. 0; OTELPROF_E_ALREADY if another library of this process has published a context (it is left
 * alone, and our thread records are then not shown to outside readers, because they share one variable with its own);
 * OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM. Call it before otp_context_start().
 */
int otp_process_context_publish(const struct otp_process_attribute *attributes, size_t count);

/* Publishes again if attribute keys were added since. Cheap when not. For the profiler thread, once a window. */
int otp_process_context_refresh(void);

/* Takes the context back: at shutdown. */
void otp_process_context_withdraw(void);

/* In a forked child: forgets what the parent published; the mapping is not there any more. Async-signal-safe. */
void otp_process_context_child(void);

/* True if another library's context was found. Any thread. */
bool otp_process_context_foreign(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Public calls that need no profiler. */
#include <otelprof/otelprof.h>

#include "base/error.h"

const char *otelprof_version(void) { return OTELPROF_VERSION; }

const char *otelprof_last_error(void) { return otp_error_text(); }

const char *otelprof_strerror(int error) {
    switch (error) {
    case OTELPROF_OK:
        return "OTELPROF_OK: success";
    case OTELPROF_E_INVALID:
        return "OTELPROF_E_INVALID: an argument or an option has no meaning";
    case OTELPROF_E_ALREADY:
        return "OTELPROF_E_ALREADY: already running in this process";
    case OTELPROF_E_BUSY:
        return "OTELPROF_E_BUSY: another thread is starting or stopping";
    case OTELPROF_E_STATE:
        return "OTELPROF_E_STATE: not running";
    case OTELPROF_E_PRIVILEGE:
        return "OTELPROF_E_PRIVILEGE: the kernel refused; otelprof_diagnose() names the capability";
    case OTELPROF_E_KERNEL:
        return "OTELPROF_E_KERNEL: the kernel lacks a feature that is needed";
    case OTELPROF_E_MEMORY:
        return "OTELPROF_E_MEMORY: out of memory";
    case OTELPROF_E_SYSTEM:
        return "OTELPROF_E_SYSTEM: a system call failed";
    case OTELPROF_E_TIMEOUT:
        return "OTELPROF_E_TIMEOUT: the time given ran out";
    case OTELPROF_E_LIMIT:
        return "OTELPROF_E_LIMIT: a stated limit is reached";
    case OTELPROF_E_ORDER:
        return "OTELPROF_E_ORDER: span calls out of order";
    case OTELPROF_E_DISABLED:
        return "OTELPROF_E_DISABLED: switched off by the environment";
    case OTELPROF_E_EXPORT:
        return "OTELPROF_E_EXPORT: a profile could not be written or delivered";
    default:
        return "unknown error";
    }
}

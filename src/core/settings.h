// SPDX-License-Identifier: Apache-2.0
/*
 * What the user asked for: fields set by the program, then environment variables, then defaults. The environment is
 * read here and nowhere else, once a start, with secure_getenv().
 */
#ifndef OTP_CORE_SETTINGS_H
#define OTP_CORE_SETTINGS_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_settings {
    struct otelprof_options options; /* complete: no integer is OTELPROF_UNSET; strings are owned, "" if not set */
    bool disabled;                   /* OTEL_SDK_DISABLED or OTELPROF_DISABLED */
    bool secure;                     /* AT_SECURE: the environment was not read */
    bool log_to_stderr;
    bool to_files;          /* output_dir is wanted */
    bool to_network;        /* a receiver is wanted */
    bool endpoint_exact;    /* from OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT: no path is added */
    char *header_lines;     /* options.headers as lines "name: value\n" */
    char *no_proxy;         /* hosts that are reached without options.proxy */
    char *attributes_allow; /* OTELPROF_ATTRIBUTES_ALLOW, "" if not set */
    char heap_failure[160]; /* why allocations cannot be seen; "" if they can, or are not wanted */
    char lock_failure[160]; /* the same of waits for locks */
    char warnings[512];     /* variables that could not be understood, one a line; "" if none */
};

/* Allocates all strings. 0, OTELPROF_E_INVALID with a sentence (which field, which limits), OTELPROF_E_MEMORY. */
int otp_settings_make(struct otp_settings *settings, const struct otelprof_options *options);

/* A copy with strings of its own, for a forked child. 0 or OTELPROF_E_MEMORY. */
int otp_settings_copy(struct otp_settings *copy, const struct otp_settings *settings);

/* Frees the strings; takes settings that were never made, if zeroed. */
void otp_settings_free(struct otp_settings *settings);

/* Names of the profile types in a mask, such as "cpu,wall"; at most `size` bytes. Returns `text`. */
char *otp_settings_profile_names(uint32_t mask, char *text, size_t size);

/* Profile types that this release takes. */
#define OTP_PROFILES_KNOWN ((uint32_t)(OTELPROF_CPU | OTELPROF_WALL | OTELPROF_HEAP | OTELPROF_LOCK | OTELPROF_THREADS))

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * A directory of OTLP files, one request each: otelprof-PID-START_MS-NUMBER.otlp. A file appears under its name only
 * when it is complete. The oldest files of the directory go when there are too many or too much of them.
 *
 * The directory is made 0700 and files 0600: profiles tell paths, function names, routes and trace ids, which are
 * nobody else's business until the owner says so. A directory that is there already keeps its mode.
 */
#ifndef OTP_EXPORT_FILE_H
#define OTP_EXPORT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "export/exporter.h"

struct otp_file_options {
    const char *directory; /* copied; made absolute, so that a later chdir() of the host does not move it */
    uint64_t max_bytes;    /* of all files; 0: 256 MiB */
    uint32_t max_files;    /* 0: 1000; at most 100000 */
    uint32_t pid;
    uint64_t start_unix_ms;
    bool sync; /* fsync() each file before it gets its name */
};

/*
 * An exporter to files. Makes the directory (and those above it) now, so that a bad path is known at once; it is made
 * again when it vanishes. 0; OTELPROF_E_INVALID, OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM with a sentence.
 *
 * send(): OTP_DELIVERED, or OTP_DELIVERY_FAILED with nothing left behind (no space, no permission, over RLIMIT_FSIZE).
 */
int otp_file_exporter_new(const struct otp_file_options *options, struct otp_exporter **exporter);

#endif

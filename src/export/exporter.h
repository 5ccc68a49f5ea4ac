// SPDX-License-Identifier: Apache-2.0
/* Where encoded requests go: a file, a callback, later the network. Used by the export thread alone. */
#ifndef OTP_EXPORT_EXPORTER_H
#define OTP_EXPORT_EXPORTER_H

#include <stddef.h>
#include <stdint.h>

enum otp_delivery {
    OTP_DELIVERED = 0,
    OTP_DELIVERY_FAILED,  /* for good: counted as lost */
    OTP_DELIVERY_RETRY,   /* not taken, may be taken later */
    OTP_DELIVERY_UNKNOWN, /* no answer: it may or may not have arrived */
};

struct otp_exporter;

struct otp_exporter_ops {
    const char *name; /* for messages: "file", "callback" */
    /* One request. `deadline_ns`: on CLOCK_MONOTONIC, UINT64_MAX for none; gives up by then. */
    enum otp_delivery (*send)(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns);
    void (*close)(struct otp_exporter *exporter); /* frees it; not under a send() */
};

/* First member of each kind of exporter. */
struct otp_exporter {
    const struct otp_exporter_ops *ops;
    uint64_t files_removed; /* by rotation so far; written by the export thread, read atomically */
};

#endif

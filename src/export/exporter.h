// SPDX-License-Identifier: Apache-2.0
/* Where encoded requests go: files, a callback, the network. Used by the export thread alone, unless said otherwise. */
#ifndef OTP_EXPORT_EXPORTER_H
#define OTP_EXPORT_EXPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum otp_delivery {
    OTP_DELIVERED = 0,
    OTP_DELIVERY_FAILED,    /* refused for good: counted as lost */
    OTP_DELIVERY_RETRY,     /* not taken, may be taken later */
    OTP_DELIVERY_UNKNOWN,   /* no answer: it may or may not have arrived, and may be sent again */
    OTP_DELIVERY_TOO_LARGE, /* refused for its size: smaller requests may be taken */
};

#define OTP_ANSWER_TEXT 256

/* What there is to know about a request that was sent, beside how it ended. All zero before. */
struct otp_answer {
    uint64_t wait_ns;           /* the receiver wants to be left alone so long; 0: it does not say */
    uint64_t rejected_profiles; /* of a request that was delivered: not taken for good */
    uint64_t bytes_sent;        /* over the network */
    uint32_t code;              /* what kind of trouble: each is told once a minute */
    bool final;                 /* OTP_DELIVERY_UNKNOWN that must not be sent again */
    char text[OTP_ANSWER_TEXT]; /* one sentence about the trouble, without secrets; "": otp_error_text() has it */
};

struct otp_exporter;

struct otp_exporter_ops {
    /* One request. `deadline_ns`: on CLOCK_MONOTONIC, UINT64_MAX for none; gives up by then. */
    enum otp_delivery (*send)(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns,
                              struct otp_answer *answer);
    /* Any thread, during a send() too: the present one, and those to come, end by `deadline_ns`. May be NULL. */
    void (*hurry)(struct otp_exporter *exporter, uint64_t deadline_ns);
    /* Any thread: CPU time of a thread of its own, in ns. May be NULL: it has none. */
    uint64_t (*cpu_ns)(struct otp_exporter *exporter);
    void (*close)(struct otp_exporter *exporter); /* frees it; not under a send() */
};

/* First member of each kind of exporter. */
struct otp_exporter {
    const struct otp_exporter_ops *ops;
    const char *name;       /* for messages, such as "the export callback"; without secrets */
    uint64_t files_removed; /* by rotation so far; written by the export thread, read atomically */
};

#endif

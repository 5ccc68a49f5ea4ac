// SPDX-License-Identifier: Apache-2.0
#include "export/tee.h"

#include <otelprof/otelprof.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"

#define SAY_AGAIN_NS ((uint64_t)60 * 1000000000u)

struct tee {
    struct otp_exporter base;
    struct otp_exporter *first, *copies;
    uint64_t said_ns; /* that copies fail */
};

static struct tee *tee_of(struct otp_exporter *exporter) { return (struct tee *)(void *)exporter; }

static void copy(struct tee *tee, const void *bytes, size_t size) {
    struct otp_answer ignored = {0};
    enum otp_delivery delivery = tee->copies->ops->send(tee->copies, bytes, size, UINT64_MAX, &ignored);
    __atomic_store_n(&tee->base.files_removed, __atomic_load_n(&tee->copies->files_removed, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (delivery == OTP_DELIVERED || (tee->said_ns && now - tee->said_ns < SAY_AGAIN_NS))
        return;
    tee->said_ns = now;
    otp_log(OTELPROF_LOG_WARN, "otelprof: no copy of what went to %s: %s", tee->first->name, otp_error_text());
}

static enum otp_delivery tee_send(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns,
                                  struct otp_answer *answer) {
    struct tee *tee = tee_of(exporter);
    enum otp_delivery delivery = tee->first->ops->send(tee->first, bytes, size, deadline_ns, answer);
    if (delivery == OTP_DELIVERED)
        copy(tee, bytes, size);
    return delivery;
}

static void tee_hurry(struct otp_exporter *exporter, uint64_t deadline_ns) {
    struct otp_exporter *first = tee_of(exporter)->first;
    if (first->ops->hurry)
        first->ops->hurry(first, deadline_ns);
}

static uint64_t tee_cpu_ns(struct otp_exporter *exporter) {
    struct otp_exporter *first = tee_of(exporter)->first;
    return first->ops->cpu_ns ? first->ops->cpu_ns(first) : 0;
}

static void tee_close(struct otp_exporter *exporter) {
    struct tee *tee = tee_of(exporter);
    tee->first->ops->close(tee->first);
    tee->copies->ops->close(tee->copies);
    free(tee);
}

int otp_tee_exporter_new(struct otp_exporter *first, struct otp_exporter *copies, struct otp_exporter **exporter) {
    static const struct otp_exporter_ops ops = {tee_send, tee_hurry, tee_cpu_ns, tee_close};
    struct tee *tee = otp_sys.calloc(1, sizeof(*tee));
    if (!tee) {
        first->ops->close(first);
        copies->ops->close(copies);
        return otp_error(OTELPROF_E_MEMORY, "no memory for copies of what is sent");
    }
    tee->base.ops = &ops;
    tee->base.name = first->name;
    tee->first = first;
    tee->copies = copies;
    *exporter = &tee->base;
    return 0;
}

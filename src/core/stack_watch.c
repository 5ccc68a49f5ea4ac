// SPDX-License-Identifier: Apache-2.0
#include "core/stack_watch.h"

#include <otelprof/otelprof.h>

#include "base/clock.h"
#include "base/log.h"
#include "hooks/stack_ranges.h"

#define HOOKS_PATIENCE_NS 100000000u /* for hooks that are at work */
#define COST_MAX 1000u               /* listing mappings takes one part in this of the time, at most */
#define WAIT_MAX_NS 10000000000u

static void look(struct otp_stack_watch *watch) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    if (now < watch->not_before)
        return;
    if (!otp_stack_ranges_look(now + HOOKS_PATIENCE_NS))
        otp_log(OTELPROF_LOG_DEBUG, "otelprof: mappings could not be listed: stacks taken by hooks are cut");
    uint64_t after = otp_clock_ns(CLOCK_MONOTONIC);
    uint64_t wait = (after - now) * COST_MAX;
    watch->not_before = after + (wait < WAIT_MAX_NS ? wait : WAIT_MAX_NS);
}

void otp_stack_watch_begin(struct otp_stack_watch *watch) {
    if (watch->users++)
        return;
    watch->not_before = 0;
    look(watch);
}

void otp_stack_watch_end(struct otp_stack_watch *watch) {
    if (--watch->users == 0)
        otp_stack_ranges_hide();
}

void otp_stack_watch_look(struct otp_stack_watch *watch, bool window) {
    if (watch->users && (otp_stack_ranges_wanted() || window))
        look(watch);
}

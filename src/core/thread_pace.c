// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pace.h"

#include "base/random.h"

#define RISES 8 /* ticks that a higher cost takes to be believed: the first one of a window tells everybody */
#define FALLS 2
#define ALLOWANCE_NS 1000000000u /* share that may be spent before it is there */

void otp_thread_pace_init(struct otp_thread_pace *pace, uint64_t wanted_ns, uint32_t permille, uint64_t seed) {
    *pace = (struct otp_thread_pace){.wanted_ns = wanted_ns, .permille = permille, .random = seed};
}

void otp_thread_pace_start(struct otp_thread_pace *pace, uint64_t now_ns) {
    pace->cost_ns = pace->debt_ns = 0;
    pace->last_ns = pace->next_ns = now_ns;
}

uint64_t otp_thread_pace_interval(const struct otp_thread_pace *pace) {
    uint64_t affordable = pace->permille ? pace->cost_ns * 1000 / pace->permille : 0;
    return affordable > pace->wanted_ns ? affordable : pace->wanted_ns;
}

/* Evenly between a half and one and a half: periodic work cannot stay in step, and the mean is what was wanted. */
static uint64_t jittered(struct otp_thread_pace *pace, uint64_t interval) {
    return interval / 2 + (uint64_t)((double)interval * (double)otp_random(&pace->random) / OTP_RANDOM_RANGE);
}

void otp_thread_pace_ticked(struct otp_thread_pace *pace, uint64_t now_ns, uint64_t cost_ns) {
    uint64_t elapsed = now_ns > pace->last_ns ? now_ns - pace->last_ns : 0;
    uint64_t share = elapsed * pace->permille / 1000;
    uint64_t weight = cost_ns > pace->cost_ns ? RISES : FALLS;
    pace->cost_ns = pace->cost_ns ? (pace->cost_ns * (weight - 1) + cost_ns) / weight : cost_ns;
    pace->debt_ns = pace->debt_ns > share ? pace->debt_ns - share : 0; /* what was saved is not spent later */
    pace->last_ns = now_ns;
    uint64_t interval = otp_thread_pace_interval(pace), wait = jittered(pace, interval);
    if (pace->permille) {
        pace->debt_ns += cost_ns;
        uint64_t paid = pace->debt_ns * 1000 / pace->permille; /* when the share has caught up with it */
        uint64_t allowance = interval > ALLOWANCE_NS ? interval : ALLOWANCE_NS;
        if (paid > wait + allowance)
            wait = paid - allowance;
    }
    pace->next_ns = now_ns + wait;
}

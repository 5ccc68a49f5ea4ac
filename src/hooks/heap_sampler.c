// SPDX-License-Identifier: Apache-2.0
#include "hooks/heap_sampler.h"

static void set_distance(struct otp_sampler *sampler, uint64_t distance) {
    sampler->budget = distance < OTP_SAMPLER_BUDGET_MAX ? distance : OTP_SAMPLER_BUDGET_MAX;
    sampler->rest = distance - sampler->budget;
}

static void draw(struct otp_sampler *sampler, uint64_t interval) {
    sampler->interval = interval;
    set_distance(sampler, otp_draw_distance(otp_draw_bits(&sampler->random), interval));
}

uint64_t otp_sampler_look(struct otp_sampler *sampler, uint64_t size, uint64_t interval) {
    uint64_t chosen = 0;
    if (!interval) {
        sampler->interval = sampler->rest = 0;
        sampler->budget = OTP_SAMPLER_BUDGET_OFF;
        return 0;
    }
    if (!sampler->interval)
        draw(sampler, interval);
    uint64_t distance = sampler->budget + sampler->rest;
    if (size > distance) {
        chosen = sampler->interval;
        draw(sampler, interval);
    } else if (sampler->interval != interval) {
        draw(sampler, interval);
    } else {
        set_distance(sampler, distance - size);
    }
    return chosen;
}

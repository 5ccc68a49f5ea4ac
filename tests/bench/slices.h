// SPDX-License-Identifier: Apache-2.0
/*
 * Benches of what a profile of hooks costs: slices of work with and without it, in random order, each after a turn of
 * the switch. One profile type a program; not thread-safe.
 */
#ifndef OTP_BENCH_SLICES_H
#define OTP_BENCH_SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLICES_PAIRS_MAX 2000
#define SLICES_COLUMNS 3

struct slices_figure {
    double value, low, high; /* without what is rare and dear; limits of 95 % by the bootstrap */
    double mean;             /* with it */
};

/* Figures of a slice. */
typedef void (*slices_fn)(const void *what, double columns[SLICES_COLUMNS]);

struct slices_comparison {
    double off[SLICES_COLUMNS]; /* trimmed means */
    struct slices_figure added[SLICES_COLUMNS];
};

/* Starts with one type (enum otelprof_profile_type), off until it is turned on. False, with a message: it cannot. */
bool slices_start(const char *program, uint32_t type);

/*
 * As many pairs of slices; the first one, in which names are looked up and memory is filled, does not count. With
 * `really` false, both of a pair are without the profile.
 */
void slices_compare(slices_fn slice, const void *what, int pairs, bool really, struct slices_comparison *comparison);

void slices_say(const struct slices_figure *figure);

/* Without the tenth at either end. Sorts. */
double slices_trimmed_mean(double *values, int count);

void slices_pause_ms(unsigned ms);

#endif

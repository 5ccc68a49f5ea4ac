// SPDX-License-Identifier: Apache-2.0
#include "slices.h"

#include <otelprof/otelprof.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BOOTSTRAPS 2000

/* -------------------------------------------------------------------------------------------- statistics */

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state >> 16;
}

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double slices_trimmed_mean(double *values, int count) {
    double sum = 0;
    int cut = count / 10;
    qsort(values, (size_t)count, sizeof(values[0]), by_value);
    for (int i = cut; i < count - cut; i++)
        sum += values[i];
    return sum / (count - 2 * cut);
}

static struct slices_figure figure_of(const double *values, int count) {
    static double means[BOOTSTRAPS], drawn[SLICES_PAIRS_MAX];
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += drawn[i] = values[i];
    double value = slices_trimmed_mean(drawn, count);
    for (int round = 0; round < BOOTSTRAPS; round++) {
        for (int i = 0; i < count; i++)
            drawn[i] = values[draw() % (uint64_t)count];
        means[round] = slices_trimmed_mean(drawn, count);
    }
    qsort(means, BOOTSTRAPS, sizeof(means[0]), by_value);
    return (struct slices_figure){value, means[BOOTSTRAPS / 40], means[BOOTSTRAPS - 1 - BOOTSTRAPS / 40], sum / count};
}

void slices_say(const struct slices_figure *figure) {
    printf("  %+8.2f (%+.2f .. %+.2f)", figure->value, figure->low, figure->high);
}

/* ---------------------------------------------------------------------------------------------- the switch */

static int discard(void *user, const void *bytes, size_t size) {
    (void)user;
    (void)bytes;
    return size ? 0 : 1;
}

void slices_pause_ms(unsigned ms) { nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL); }

static const char *program_name;
static uint32_t switched;

/* Sampling of CPU time is left out: its interrupts are a cost of their own. */
bool slices_start(const char *program, uint32_t type) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    program_name = program;
    switched = type;
    options.profiles = type;
    options.export_bytes = discard;
    options.start_timeout_ms = 60000;
    if (otelprof_init(&options) == 0 && otelprof_disable(type) == 0)
        return true;
    fprintf(stderr, "%s: not in this library or on this system: %s\n", program, otelprof_last_error());
    return false;
}

static void turn(bool on) {
    if (on ? otelprof_enable(switched) : otelprof_disable(switched)) {
        fprintf(stderr, "%s: %s\n", program_name, otelprof_last_error());
        exit(EXIT_FAILURE);
    }
}

void slices_compare(slices_fn slice, const void *what, int pairs, bool really, struct slices_comparison *comparison) {
    static double off[SLICES_COLUMNS][SLICES_PAIRS_MAX], added[SLICES_COLUMNS][SLICES_PAIRS_MAX];
    double first_columns[SLICES_COLUMNS];
    turn(really);
    slice(what, first_columns);
    for (int pair = 0; pair < pairs; pair++) {
        double columns[2][SLICES_COLUMNS];
        bool first = draw() & 1;
        for (int half = 0; half < 2; half++) {
            bool on = half ? !first : first;
            turn(on && really);
            slice(what, columns[on]);
        }
        for (int i = 0; i < SLICES_COLUMNS; i++)
            off[i][pair] = columns[0][i], added[i][pair] = columns[1][i] - columns[0][i];
    }
    turn(false);
    for (int i = 0; i < SLICES_COLUMNS; i++) {
        comparison->added[i] = figure_of(added[i], pairs);
        comparison->off[i] = slices_trimmed_mean(off[i], pairs);
    }
}

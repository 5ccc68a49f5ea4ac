// SPDX-License-Identifier: Apache-2.0
/*
 * Two threads change their span as fast as they can inside an outer span. All bytes of the ids and the attribute of a
 * span tell the same number, so that a torn record would show. Every sample has a span; none is torn: span_storm.sh.
 *
 *     span_storm OUTPUT_DIR SECONDS
 */
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int number_key;
static double seconds;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void ids(uint8_t number, uint8_t trace[16], uint8_t span[8]) {
    memset(trace, number, 16);
    memset(span, number, 8);
}

static void *storm(void *argument) {
    uint8_t trace[16], span[8];
    uint64_t *count = argument;
    ids(255, trace, span);
    struct otelprof_span_token outer = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute_key(number_key, "255", 3);
    for (double end = now() + seconds; now() < end;) {
        for (unsigned i = 0; i < 10000; i++) {
            char text[4];
            uint8_t number = (uint8_t)(1 + i % 250);
            ids(number, trace, span);
            struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
            if (i % 8 == 0) {
                int length = snprintf(text, sizeof(text), "%u", number);
                otelprof_span_attribute_key(number_key, text, (size_t)length);
            }
            otelprof_span_exit(token);
            ++*count;
        }
    }
    otelprof_span_exit(outer);
    return NULL;
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    pthread_t threads[2];
    uint64_t counts[2] = {0, 0};
    if (argc != 3)
        return 2;
    seconds = atof(argv[2]);
    number_key = otelprof_attribute_key("test.number");
    options.output_dir = argv[1];
    options.rate_hz = 999;
    options.window_ms = 2000;
    options.start_timeout_ms = 10000;
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, storm, &counts[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    int result = otelprof_shutdown(10000);
    printf("%llu spans\n", (unsigned long long)(counts[0] + counts[1]));
    return result ? 1 : 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * The smallest user: starts with an option, enters a span, stops, and says which version it got. C and C++. With an
 * argument it works until it was sampled, and fails if it never is.
 */
#include <otelprof/otelprof.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static int is_sampled(void) {
    struct otelprof_stats stats;
    memset(&stats, 0, sizeof(stats));
    stats.size = sizeof(stats);
    while (clock() < 10 * CLOCKS_PER_SEC && !stats.stack_stops[OTELPROF_STOP_COMPLETE])
        otelprof_stats(&stats);
    return stats.stack_stops[OTELPROF_STOP_COMPLETE] > 0;
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.service_name = "packaging-user";
    int started = otelprof_init(&options);

    uint8_t trace_id[16] = {1}, span_id[8] = {2};
    struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute("http.route", "/");
    otelprof_span_exit(span);

    (void)argv;
    int failed = argc > 1 && !is_sampled();
    struct otelprof_stats stats;
    memset(&stats, 0, sizeof(stats));
    stats.size = sizeof(stats);
    int answered = otelprof_stats(&stats);
    if (started == 0)
        otelprof_shutdown(2000);
    printf("%s %s %d\n", otelprof_version(), OTELPROF_VERSION, answered);
    return failed || strcmp(otelprof_version(), OTELPROF_VERSION) != 0 || answered != 0;
}

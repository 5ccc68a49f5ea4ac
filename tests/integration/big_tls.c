// SPDX-License-Identifier: Apache-2.0
/*
 * A host with much thread-local storage, which the C library takes out of the stack of each thread, ours included:
 * there is room left for the work all the same. Built with debug information, so that lines are looked up.
 *
 *     big_tls OUTPUT_DIR
 */
#include <stdlib.h>

#include "expect.h"

/* Together a little less than the stack of a thread of the library. */
static _Thread_local volatile char storage[BIG_TLS_BYTES];

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (argc != 2)
        return 2;
    options.output_dir = argv[1];
    options.rate_hz = 997;
    options.start_timeout_ms = 10000;
    storage[sizeof(storage) - 1] = 1;
    GIVES(0, otelprof_init(&options));
    burn_ms(500);
    GIVES(0, otelprof_shutdown(20000));
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otelprof_stats(&stats);
    EXPECT(stats.samples_exported > 400 && stats.symbols_resolved > 0);
    return expect_failures != 0;
}

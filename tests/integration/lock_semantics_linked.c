// SPDX-License-Identifier: Apache-2.0
#include "lock_semantics.h"

#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "expect.h"

static pthread_t toggler;
static atomic_bool over;

static void *toggle(void *unused) {
    while (!atomic_load(&over)) {
        usleep(3000);
        GIVES(0, otelprof_disable(OTELPROF_LOCK));
        GIVES(0, otelprof_enable(OTELPROF_LOCK));
        GIVES(0, otelprof_lock_interval(1));
    }
    return unused;
}

int semantics_profile(const char *directory) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.profiles = OTELPROF_LOCK;
    options.lock_interval_ns = 1;
    options.start_timeout_ms = 20000;
    GIVES(0, otelprof_init(&options));
    GIVES(0, pthread_create(&toggler, NULL, toggle, NULL));
    return expect_failures;
}

int semantics_end(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    atomic_store(&over, true);
    GIVES(0, pthread_join(toggler, NULL));
    GIVES(0, otelprof_disable(OTELPROF_LOCK));
    GIVES(0, otelprof_flush(20000));
    GIVES(0, otelprof_stats(&stats));
    fprintf(stderr, "waits %llu, holders %llu\n", (unsigned long long)stats.lock_samples,
            (unsigned long long)stats.lock_holders);
    EXPECT(stats.lock_samples > 20 && stats.lock_holders > 5);
    GIVES(stats.samples_fired, stats.samples_exported + stats.lost_ring_full);
    GIVES(0, stats.hook_words);
    GIVES(0, otelprof_shutdown(20000));
    return expect_failures;
}

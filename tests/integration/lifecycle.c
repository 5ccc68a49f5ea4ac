// SPDX-License-Identifier: Apache-2.0
/*
 * What the calls of the life cycle answer: start, stop, options, the calls around them, in and out of season.
 *
 *     lifecycle CASE OUTPUT_DIR
 */
#include <dirent.h>
#include <errno.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"

#define THREADS 16
#define CYCLES 20

static const char *directory;
static const uint8_t trace[16] = {1}, span[8] = {2};

static struct otelprof_options usual(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.service_name = "lifecycle";
    options.rate_hz = 997;
    options.start_timeout_ms = 20000;
    return options;
}

static int start(void) {
    struct otelprof_options options = usual();
    return otelprof_init(&options);
}

static struct otelprof_stats stats(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    GIVES(0, otelprof_stats(&stats));
    return stats;
}

/* The identity of the manual. */
static bool accounts(const struct otelprof_stats *s) {
    return s->samples_fired == s->samples_exported + s->lost_ring_full + s->lost_decode + s->lost_memory +
                                   s->lost_window_dropped + s->lost_export_failed + s->lost_shutdown + s->lost_scratch;
}

static void test_twice(void) {
    GIVES(0, start());
    GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
    GIVES(OTELPROF_E_ALREADY, start());
    GIVES(OTELPROF_E_ALREADY, otelprof_init(NULL));
    GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
    GIVES(0, otelprof_wait_ready(0));
    burn_ms(300);
    GIVES(0, otelprof_shutdown(10000));
    GIVES(OTELPROF_STATE_STOPPED, otelprof_state());
    struct otelprof_stats after = stats();
    EXPECT(after.samples_fired > 200 && accounts(&after));
}

/* ------------------------------------------------------------------------------- many threads at once */

static pthread_barrier_t together;

static void *start_together(void *result) {
    pthread_barrier_wait(&together);
    *(int *)result = start();
    return NULL;
}

static void *stop_together(void *result) {
    pthread_barrier_wait(&together);
    *(int *)result = otelprof_shutdown(10000);
    return NULL;
}

/* All at once: one does it, the others hear that it is done or being done. */
static void at_once(void *(*body)(void *), int done) {
    pthread_t threads[THREADS];
    int results[THREADS], zero = 0;
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, body, &results[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        zero += results[i] == 0;
        EXPECT(results[i] == 0 || results[i] == OTELPROF_E_BUSY || results[i] == done);
    }
    pthread_barrier_destroy(&together);
    GIVES(1, zero);
}

static void test_threads(void) {
    for (int round = 0; round < 3; round++) {
        at_once(start_together, OTELPROF_E_ALREADY);
        GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
        at_once(stop_together, OTELPROF_E_STATE);
        GIVES(OTELPROF_STATE_STOPPED, otelprof_state());
    }
}

/* ------------------------------------------------------------------------------- everything at once */

#define STORM_MS 4000

static int any_call(unsigned choice) {
    struct otelprof_stats seen = {.size = sizeof(seen)};
    char text[1024];
    switch (choice % 12) {
    case 0:
    case 1:
        return start();
    case 2:
        return otelprof_shutdown(10000);
    case 3:
        return otelprof_flush(5000);
    case 4:
        return otelprof_enable(OTELPROF_CPU);
    case 5:
        return otelprof_disable(OTELPROF_CPU);
    case 6:
        return otelprof_stats(&seen);
    case 7:
        return otelprof_diagnose(text, sizeof(text)) > 0 ? 0 : OTELPROF_E_INVALID;
    case 8:
        return otelprof_wait_ready(50) == OTELPROF_E_TIMEOUT ? 0 : otelprof_wait_ready(20000);
    default:
        otelprof_span_exit(otelprof_span_enter(trace, span, 0));
        burn_ms(2);
        return 0;
    }
}

static void *storm(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed;
    uint64_t until = expect_clock_ms(CLOCK_MONOTONIC) + STORM_MS;
    while (expect_clock_ms(CLOCK_MONOTONIC) < until) {
        random = random * 1664525u + 1013904223u;
        int result = any_call(random >> 16);
        expect(result == 0 || result == OTELPROF_E_BUSY || result == OTELPROF_E_ALREADY || result == OTELPROF_E_STATE,
               __LINE__, "call %u gave %d", (random >> 16) % 12, result);
    }
    return NULL;
}

/* Every call from eight threads, in any order. */
static void test_storm(void) {
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, storm, (void *)(i + 1));
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    int last = otelprof_shutdown(10000);
    EXPECT(last == 0 || last == OTELPROF_E_STATE);
    GIVES(OTELPROF_STATE_STOPPED, otelprof_state());
    struct otelprof_stats after = stats();
    EXPECT(accounts(&after) && after.windows_made > 0);
    GIVES(0, start());
    GIVES(0, otelprof_shutdown(10000));
}

/* ------------------------------------------------------------------------------------ again and again */

static int entries(const char *path) {
    DIR *list = opendir(path);
    int count = 0;
    while (list && readdir(list))
        count++;
    if (list)
        closedir(list);
    return count;
}

static int lines(const char *path) {
    FILE *file = fopen(path, "r");
    int count = 0;
    for (int c; file && (c = getc(file)) != EOF;)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

static void test_cycles(void) {
    int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task"), mappings = 0;
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        GIVES(0, start());
        burn_ms(20);
        GIVES(0, otelprof_shutdown(10000));
        GIVES(descriptors, entries("/proc/self/fd"));
        GIVES(threads, entries("/proc/self/task"));
        if (cycle == 1) /* the allocator and the thread library have what they keep */
            mappings = lines("/proc/self/maps");
    }
    GIVES(mappings, lines("/proc/self/maps"));
    struct otelprof_stats after = stats();
    EXPECT(accounts(&after));
    EXPECT(after.samples_fired >= CYCLES * 10);
}

/* -------------------------------------------------------------------------------------- out of season */

static void every_call_while_off(enum otelprof_state state) {
    struct otelprof_context context;
    char text[1024];
    int key = otelprof_attribute_key("http.route");
    errno = 4711;
    GIVES(state, otelprof_state());
    GIVES(OTELPROF_E_STATE, otelprof_shutdown(100));
    GIVES(OTELPROF_E_STATE, otelprof_flush(100));
    GIVES(OTELPROF_E_STATE, otelprof_enable(OTELPROF_CPU));
    GIVES(OTELPROF_E_STATE, otelprof_disable(OTELPROF_CPU));
    GIVES(OTELPROF_E_INVALID, otelprof_enable(OTELPROF_THREADS << 1));
    GIVES(OTELPROF_E_INVALID, otelprof_disable(0));
    GIVES(OTELPROF_E_STATE, otelprof_heap_interval(4096));
    GIVES(OTELPROF_E_INVALID, otelprof_heap_interval(0));
    GIVES(OTELPROF_E_STATE, otelprof_lock_interval(4096));
    GIVES(OTELPROF_E_INVALID, otelprof_lock_interval(0));
    GIVES(OTELPROF_E_INVALID, otelprof_lock_name(NULL, "none"));
    GIVES(0, otelprof_lock_name(&expect_failures, "no lock, but who knows"));
    GIVES(0, otelprof_lock_name(&expect_failures, NULL));
    struct otelprof_span_token token = otelprof_span_enter(trace, span, OTELPROF_FLAG_SAMPLED);
    GIVES(OTELPROF_E_STATE, otelprof_span_attribute("http.route", "/a"));
    EXPECT(key >= 0);
    GIVES(OTELPROF_E_STATE, otelprof_span_attribute_key(key, "/a", 2));
    GIVES(OTELPROF_E_ORDER, otelprof_span_exit(token));
    otelprof_context_capture(&context);
    GIVES(OTELPROF_E_ORDER, otelprof_context_detach(otelprof_context_attach(&context)));
    GIVES(0, otelprof_thread_name("some thread"));
    GIVES(OTELPROF_E_INVALID, otelprof_thread_name(NULL));
    GIVES(OTELPROF_E_INVALID, otelprof_stats(NULL));
    EXPECT(otelprof_diagnose(NULL, 0) > 10);
    size_t length = otelprof_diagnose(text, sizeof(text));
    EXPECT(length == strlen(text) && strstr(text, "rung: off"));
    GIVES(length, otelprof_diagnose(text, 8));
    GIVES(7, strlen(text));
    EXPECT(strstr(otelprof_version(), "."));
    GIVES(4711, errno);
}

static void test_off(void) {
    struct otelprof_options bad = usual();
    struct otelprof_stats before = stats();
    GIVES(0, before.samples_fired);
    GIVES(OTELPROF_E_STATE, otelprof_wait_ready(100));
    every_call_while_off(OTELPROF_STATE_OFF);
    bad.rate_hz = 0;
    GIVES(OTELPROF_E_INVALID, otelprof_init(&bad));
    every_call_while_off(OTELPROF_STATE_OFF);
    bad = usual();
    bad.output_dir = "/proc/nowhere/at/all";
    int refused = otelprof_init(&bad);
    EXPECT(refused < 0 && strstr(otelprof_last_error(), "/proc/nowhere"));
    GIVES(refused, otelprof_wait_ready(100));
    every_call_while_off(OTELPROF_STATE_OFF);
    GIVES(0, start());
    burn_ms(100);
    GIVES(0, otelprof_shutdown(10000));
    struct otelprof_stats after = stats();
    EXPECT(after.samples_fired > 50);
    GIVES(OTELPROF_E_STATE, otelprof_wait_ready(100));
    every_call_while_off(OTELPROF_STATE_STOPPED);
}

/* -------------------------------------------------------------------------------------------- options */

#define FIELD(name) #name, offsetof(struct otelprof_options, name)

static const struct {
    const char *name;
    size_t offset;
    int64_t below, above; /* OTELPROF_UNSET: there is no such value */
} limits[] = {
    {FIELD(profiles), 0, 32},
    {FIELD(profiles), OTELPROF_UNSET, OTELPROF_CPU | OTELPROF_THREADS << 1},
    {FIELD(rate_hz), 0, 10001},
    {FIELD(window_ms), 99, 600001},
    {FIELD(detail), -2, OTELPROF_DETAIL_MERGED + 1},
    {FIELD(kernel_frames), -2, 2},
    {FIELD(max_threads), 15, 65537},
    {FIELD(memory_limit_bytes), (4 << 20) - 1, OTELPROF_UNSET},
    {FIELD(start_timeout_ms), -2, INT64_MAX},
    {FIELD(fork_mode), -2, OTELPROF_FORK_FOLLOW + 1},
    {FIELD(publish_context), -2, 2},
    {FIELD(output_max_bytes), 0, OTELPROF_UNSET},
    {FIELD(output_max_files), 0, INT64_MAX},
    {FIELD(wall_rate_hz), 0, 1001},
    {FIELD(wall_budget_permille), -2, 1001},
    {FIELD(log_level), -2, OTELPROF_LOG_DEBUG + 1},
};

static void refuse(size_t at, int64_t value) {
    struct otelprof_options options = usual();
    if (value == OTELPROF_UNSET)
        return;
    memcpy((char *)&options + limits[at].offset, &value, sizeof(value));
    int result = otelprof_init(&options);
    expect(result == OTELPROF_E_INVALID && strstr(otelprof_last_error(), limits[at].name), __LINE__,
           "%s of %lld gave %d", limits[at].name, (long long)value, result);
    GIVES(OTELPROF_STATE_OFF, otelprof_state());
}

static void test_options(void) {
    struct {
        struct otelprof_options known;
        int64_t unknown[4];
    } newer;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        refuse(i, limits[i].below);
        refuse(i, limits[i].above);
    }
    static const size_t sizes[] = {0, 1, 8, 39, 65537, SIZE_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        newer.known = usual();
        newer.known.size = sizes[i];
        GIVES(OTELPROF_E_INVALID, otelprof_init(&newer.known));
    }
    memset(&newer, 0, sizeof(newer));
    newer.known = usual();
    newer.known.size = sizeof(newer);
    newer.unknown[2] = 7;
    GIVES(OTELPROF_E_INVALID, otelprof_init(&newer.known));
    newer.unknown[2] = OTELPROF_UNSET; /* not set: an old library may do without */
    GIVES(0, otelprof_init(&newer.known));
    GIVES(0, otelprof_shutdown(10000));
}

/* Run with OTELPROF_NETWORK_OBJECT naming nothing: the receiver that is the default cannot be reached. */
static void test_nowhere(void) {
    char text[1024];
    struct otelprof_options options = usual();
    options.output_dir = NULL;
    GIVES(OTELPROF_E_EXPORT, otelprof_init(&options));
    GIVES(OTELPROF_E_EXPORT, otelprof_init(NULL));
    EXPECT(strstr(otelprof_last_error(), "/nowhere/at/all.so"));
    otelprof_diagnose(text, sizeof(text));
    EXPECT(strstr(text, "OTELPROF_OUTPUT_DIR"));
    GIVES(OTELPROF_STATE_OFF, otelprof_state());
}

/* Run with OTEL_SDK_DISABLED or OTELPROF_DISABLED set. */
static void test_disabled(void) {
    char text[1024];
    GIVES(OTELPROF_E_DISABLED, start());
    otelprof_diagnose(text, sizeof(text));
    EXPECT(strstr(text, "OTEL_SDK_DISABLED"));
    GIVES(OTELPROF_E_DISABLED, otelprof_wait_ready(0));
    every_call_while_off(OTELPROF_STATE_OFF);
}

/* ----------------------------------------------------------------------------- starting in other ways */

static int constructor_result = OTELPROF_E_STATE;

__attribute__((constructor)) static void before_main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "constructor"))
        return;
    directory = argv[2];
    constructor_result = start();
}

static void test_constructor(void) {
    GIVES(0, constructor_result);
    GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
    burn_ms(200);
    GIVES(0, otelprof_shutdown(10000));
    EXPECT(stats().samples_exported > 100);
}

static void test_timeout(void) {
    struct otelprof_options options = usual();
    options.start_timeout_ms = 0;
    int timeouts = 0;
    for (int round = 0; round < 10; round++) {
        int result = otelprof_init(&options); /* on a busy machine, the start may be the first to get a turn */
        EXPECT(result == OTELPROF_E_TIMEOUT || result == 0);
        timeouts += result == OTELPROF_E_TIMEOUT;
        int again = otelprof_init(&options);
        GIVES(OTELPROF_E_ALREADY, again);
        GIVES(0, otelprof_wait_ready(20000));
        GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
        burn_ms(50);
        GIVES(0, otelprof_shutdown(10000));
    }
    EXPECT(timeouts > 0);
    timeouts = 0;
    for (int round = 0; round < 10; round++) {
        timeouts += otelprof_init(&options) == OTELPROF_E_TIMEOUT;
        GIVES(0, otelprof_shutdown(20000)); /* in the middle of the start */
    }
    EXPECT(timeouts > 0);
    GIVES(OTELPROF_STATE_STOPPED, otelprof_state());
}

static void test_switch(void) {
    GIVES(0, start());
    burn_ms(200);
    GIVES(0, otelprof_disable(OTELPROF_CPU));
    GIVES(0, otelprof_flush(10000));
    struct otelprof_stats first = stats();
    EXPECT(first.samples_fired > 100 && first.windows_exported >= 1 && accounts(&first));
    burn_ms(300);
    GIVES(0, otelprof_disable(OTELPROF_CPU));
    GIVES(0, otelprof_flush(10000));
    struct otelprof_stats second = stats();
    GIVES(first.samples_fired, second.samples_fired);
    EXPECT(second.windows_made > first.windows_made && second.windows_made == second.windows_exported);
    EXPECT(accounts(&second));
    GIVES(0, otelprof_enable(OTELPROF_CPU));
    burn_ms(300);
    GIVES(0, otelprof_disable(OTELPROF_CPU));
    GIVES(0, otelprof_flush(10000));
    struct otelprof_stats third = stats();
    EXPECT(third.samples_fired > second.samples_fired + 200 && accounts(&third));
    GIVES(0, otelprof_shutdown(10000));
}

/* -------------------------------------------------------------------------------------- the callback */

struct taken {
    _Atomic int calls;
    int answer;
};

/* Keeps what it gets as files, so that the decoder judges it. */
static int take(void *user, const void *bytes, size_t size) {
    struct taken *taken = user;
    char path[4096], name[16] = "";
    int call = atomic_fetch_add(&taken->calls, 1);
    pthread_getname_np(pthread_self(), name, sizeof(name));
    EXPECT(!strcmp(name, "otelprof-export"));
    if (taken->answer)
        return taken->answer;
    snprintf(path, sizeof(path), "%s/callback-%d.otlp", directory, call);
    FILE *file = fopen(path, "wb");
    EXPECT(file && fwrite(bytes, 1, size, file) == size && size > 0);
    return file ? fclose(file) : 1;
}

static void test_callback(void) {
    struct taken taken = {0, 0};
    struct otelprof_options options = usual();
    options.export_bytes = take;
    options.export_user = &taken;
    GIVES(0, otelprof_init(&options));
    burn_ms(200);
    GIVES(0, otelprof_flush(10000));
    EXPECT(taken.calls >= 1);
    struct otelprof_stats good = stats();
    EXPECT(good.samples_exported > 100 && good.bytes_exported > 100);
    taken.answer = 1;
    burn_ms(200);
    GIVES(OTELPROF_E_EXPORT, otelprof_flush(10000));
    taken.answer = 0;
    burn_ms(100);
    GIVES(0, otelprof_shutdown(10000));
    struct otelprof_stats after = stats();
    EXPECT(after.lost_export_failed > 100 && accounts(&after));
}

/* ------------------------------------------------------------------------------------------------ main */

static const struct {
    const char *name;
    void (*test)(void);
} cases[] = {
    {"storm", test_storm},     {"twice", test_twice},       {"threads", test_threads},
    {"cycles", test_cycles},   {"off", test_off},           {"options", test_options},
    {"nowhere", test_nowhere}, {"disabled", test_disabled}, {"constructor", test_constructor},
    {"timeout", test_timeout}, {"switch", test_switch},     {"callback", test_callback},
};

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    directory = argv[2];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, argv[1]))
            continue;
        cases[i].test();
        return expect_failures ? 1 : 0;
    }
    fprintf(stderr, "no case %s\n", argv[1]);
    return 2;
}

// SPDX-License-Identifier: Apache-2.0
/* Spans of the shop: who works for what, told to the profiler, and written to the span log. */
#include "span.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static struct {
    FILE *log;
    bool tell_profiler;
    int key_route; /* looked up once: the hot path sets attributes by index */
    int key_method;
    int key_query;
} settings;

bool span_setup(const char *log_path, bool tell_profiler) {
    settings.tell_profiler = tell_profiler;
    settings.key_route = otelprof_attribute_key("http.route");
    settings.key_method = otelprof_attribute_key("http.request.method");
    settings.key_query = otelprof_attribute_key("db.query.summary");
    if (log_path == NULL) {
        return true;
    }
    settings.log = fopen(log_path, "we");
    return settings.log != NULL;
}

void span_teardown(void) {
    if (settings.log != NULL) {
        fclose(settings.log);
        settings.log = NULL;
    }
}

/* Random enough for ids, and without a system call each: splitmix64, seeded once a thread. */
static uint64_t random_bits(void) {
    static _Thread_local uint64_t state;
    if (state == 0 && getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)&state;
    }
    uint64_t bits = state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static void random_id(uint8_t *id, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t bits = random_bits() | 1; /* ids must not be all zero */
        memcpy(id + at, &bits, sizeof bits);
    }
}

static void span_enter(struct span *span, const char *name) {
    span->name = name;
    random_id(span->span_id, sizeof span->span_id);
    clock_gettime(CLOCK_REALTIME, &span->started_at);
    clock_gettime(CLOCK_MONOTONIC, &span->started);
    if (settings.tell_profiler) {
        span->token = otelprof_span_enter(span->trace_id, span->span_id, span->flags);
    }
}

static void span_attribute(int key, const char *value) {
    if (settings.tell_profiler) {
        otelprof_span_attribute_key(key, value, strlen(value));
    }
}

void span_begin_request(struct span *span, const char *traceparent, const char *route, const char *method) {
    memset(span, 0, sizeof *span);
    if (traceparent == NULL || otelprof_traceparent_parse(traceparent, strlen(traceparent), span->trace_id,
                                                          span->parent_id, &span->flags) < 0) {
        random_id(span->trace_id, sizeof span->trace_id);
        span->flags = OTELPROF_FLAG_SAMPLED | OTELPROF_FLAG_RANDOM;
    }
    span_enter(span, route);
    span_attribute(settings.key_route, route);
    span_attribute(settings.key_method, method);
}

void span_begin_query(struct span *span, const struct span *parent, const char *summary) {
    memset(span, 0, sizeof *span);
    memcpy(span->trace_id, parent->trace_id, sizeof span->trace_id);
    memcpy(span->parent_id, parent->span_id, sizeof span->parent_id);
    span->flags = parent->flags;
    span_enter(span, summary);
    span_attribute(settings.key_query, summary);
}

void span_leave(struct span *span) {
    if (settings.tell_profiler) {
        otelprof_span_exit(span->token);
    }
    span->token = (struct otelprof_span_token){0, 0};
}

static const char *hex(const uint8_t *bytes, size_t size, char *text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

void span_finish(const struct span *span, unsigned status) {
    if (settings.log == NULL) {
        return;
    }
    struct timespec now;
    struct tm day;
    char start[32];
    char trace[33];
    char id[17];
    char parent[17];
    clock_gettime(CLOCK_MONOTONIC, &now);
    gmtime_r(&span->started_at.tv_sec, &day);
    strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%S", &day);
    int64_t duration_us =
        (int64_t)(now.tv_sec - span->started.tv_sec) * 1000000 + (int64_t)(now.tv_nsec - span->started.tv_nsec) / 1000;
    fprintf(settings.log, "start=%s.%06ldZ duration_us=%" PRId64 " trace=%s span=%s parent=%s status=%u name=%s\n",
            start, span->started_at.tv_nsec / 1000, duration_us, hex(span->trace_id, sizeof span->trace_id, trace),
            hex(span->span_id, sizeof span->span_id, id), hex(span->parent_id, sizeof span->parent_id, parent), status,
            span->name);
}

void span_context_capture(struct otelprof_context *context) {
    if (settings.tell_profiler) {
        otelprof_context_capture(context);
    }
}

struct otelprof_span_token span_context_attach(const struct otelprof_context *context) {
    return settings.tell_profiler ? otelprof_context_attach(context) : (struct otelprof_span_token){0, 0};
}

void span_context_detach(struct otelprof_span_token token) {
    if (settings.tell_profiler) {
        otelprof_context_detach(token);
    }
}

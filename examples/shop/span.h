// SPDX-License-Identifier: Apache-2.0
/*
 * The service's own tracing, kept small: ids, start and end times, a log line for each finished span. What a real
 * service gets from its tracing library. The profiler is told where a span begins and ends on a thread; that is all
 * that links its samples to these spans.
 */
#ifndef SHOP_SPAN_H
#define SHOP_SPAN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <otelprof/otelprof.h>

struct span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* all zero: this span is the first of its trace */
    uint8_t flags;
    const char *name;
    struct timespec started_at; /* wall time, for the log */
    struct timespec started;    /* monotonic, for the duration */
    struct otelprof_span_token token;
};

/* Opens the span log (NULL: none) and says whether spans are told to the profiler. False: the log cannot be made. */
bool span_setup(const char *log_path, bool tell_profiler);

/* Closes the log. */
void span_teardown(void);

/*
 * Begins the span of a request on the calling thread, below the caller's span when `traceparent` is a valid header,
 * else in a trace of its own. `route` and `method` become attributes of the profile's samples.
 */
void span_begin_request(struct span *span, const char *traceparent, const char *route, const char *method);

/* Begins a database span below `parent` on the calling thread. `summary` is a constant such as "SELECT products". */
void span_begin_query(struct span *span, const struct span *parent, const char *summary);

/* The calling thread stops working for the span, which goes on: somebody else captured its context. */
void span_leave(struct span *span);

/* Ends a span that no thread works for any more, and writes its line; `status` is the HTTP status, or 0. */
void span_finish(const struct span *span, unsigned status);

/* Takes along, and brings back, the calling thread's context; both do nothing when spans are off. */
void span_context_capture(struct otelprof_context *context);
struct otelprof_span_token span_context_attach(const struct otelprof_context *context);
void span_context_detach(struct otelprof_span_token token);

#endif

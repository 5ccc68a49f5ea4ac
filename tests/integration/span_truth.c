// SPDX-License-Identifier: Apache-2.0
/*
 * Requests that move through three threads: each stage works 50 us to 5 ms for the request's route, in the span that
 * came along, part of it in a nested span of its own; between requests a thread works for nobody. Prints one JSON
 * object for span_truth.py: CPU time by stage, route and kind of span, and the profiler's counters.
 *
 * Ids tell what they belong to: byte 0 of a trace id is 0xa0 + the route, byte 0 of a span id the kind of span.
 *
 *     span_truth OUTPUT_DIR RATE SECONDS WINDOW_MS SEED
 */
#include <inttypes.h>
#include <math.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu_time.h"

#define STAGES 3
#define ROUTES 5
#define DEPTH 16 /* of a queue */

/* Kinds of span, and of work. */
enum kind { OUTER = 1, INNER = 2, INNERMOST = 3, KINDS = 4 };
static const char *const kind_names[KINDS] = {"none", "outer", "inner", "innermost"};
static const char *const routes[ROUTES] = {"/a", "/b/{id}", "/c", "/d/{x}/{y}", "/e"};
static const unsigned weights[ROUTES] = {30, 25, 20, 15, 10}; /* of requests, in a hundred */

struct request {
    struct otelprof_context context;
    uint8_t trace[16];
    uint64_t number;
    unsigned route;
    bool last; /* no more will come */
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request *items[DEPTH];
    unsigned first, count;
};

struct stage {
    pthread_t thread;
    unsigned number;
    unsigned seed;
    struct queue in;
    struct stage *next;
    uint64_t spent[ROUTES][KINDS];
    uint64_t cpu; /* all of the thread, from its first piece of work to its last */
    uint64_t requests;
};

static struct stage stages[STAGES];
static int route_key, kind_key;
static double seconds;
static volatile unsigned long sum;

/* ------------------------------------------------------------------------------------------------ work */

__attribute__((noinline)) static void burn(uint64_t ns) {
    for (uint64_t until = thread_ns() + ns; thread_ns() < until;) {
        for (unsigned i = 0; i < 1000; i++)
            sum += i ^ sum >> 3;
    }
}

/* 50 us to 5 ms, short ones as likely by their logarithm. */
static uint64_t random_ns(struct stage *stage) {
    double unit = (double)rand_r(&stage->seed) / RAND_MAX;
    return (uint64_t)(50000 * pow(100, unit));
}

static void span_id(uint8_t id[8], enum kind kind, const struct request *request, unsigned stage) {
    memset(id, 0, 8);
    id[0] = (uint8_t)kind;
    id[1] = (uint8_t)stage;
    for (unsigned i = 0; i < 6; i++)
        id[2 + i] = (uint8_t)(request->number >> 8 * i);
}

/* A span of this kind inside what is active, with its own work before and after what it calls. */
static void nested(struct stage *stage, const struct request *request, enum kind kind) {
    uint8_t span[8];
    span_id(span, kind, request, stage->number);
    uint64_t begin = thread_ns(), below = 0;
    struct otelprof_span_token token = otelprof_span_enter(request->trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute_key(kind_key, kind_names[kind], strlen(kind_names[kind]));
    burn(random_ns(stage) / 2);
    if (kind < INNERMOST && rand_r(&stage->seed) & 1 << 9) {
        below = thread_ns();
        nested(stage, request, (enum kind)(kind + 1));
        below = thread_ns() - below;
    }
    burn(random_ns(stage) / 2);
    otelprof_span_exit(token);
    stage->spent[request->route][kind] += thread_ns() - begin - below;
}

/* ---------------------------------------------------------------------------------------------- queues */

static void put(struct queue *queue, struct request *request) {
    pthread_mutex_lock(&queue->lock);
    while (queue->count == DEPTH)
        pthread_cond_wait(&queue->changed, &queue->lock);
    queue->items[(queue->first + queue->count++) % DEPTH] = request;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

static struct request *take(struct queue *queue) {
    pthread_mutex_lock(&queue->lock);
    while (!queue->count)
        pthread_cond_wait(&queue->changed, &queue->lock);
    struct request *request = queue->items[queue->first++ % DEPTH];
    queue->count--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    return request;
}

/* ---------------------------------------------------------------------------------------------- stages */

static unsigned choose_route(struct stage *stage) {
    unsigned at = (unsigned)rand_r(&stage->seed) / 7 % 100, route = 0;
    while (at >= weights[route])
        at -= weights[route++];
    return route;
}

/* The first stage makes the request: it enters the outer span, and takes what the thread has then along. */
static struct request *make_request(struct stage *stage, bool last) {
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        abort();
    request->last = last;
    request->number = ++stage->requests;
    request->route = choose_route(stage);
    request->trace[0] = (uint8_t)(0xa0 + request->route);
    for (unsigned i = 0; i < 8; i++)
        request->trace[8 + i] = (uint8_t)(request->number >> 8 * i);
    return request;
}

static void first_work(struct stage *stage, struct request *request) {
    uint8_t span[8];
    span_id(span, OUTER, request, 0);
    uint64_t begin = thread_ns(), below;
    struct otelprof_span_token token = otelprof_span_enter(request->trace, span, OTELPROF_FLAG_SAMPLED);
    otelprof_span_attribute_key(route_key, routes[request->route], strlen(routes[request->route]));
    otelprof_span_attribute_key(kind_key, kind_names[OUTER], strlen(kind_names[OUTER]));
    otelprof_context_capture(&request->context);
    burn(random_ns(stage));
    below = thread_ns();
    nested(stage, request, INNER);
    below = thread_ns() - below;
    otelprof_span_exit(token);
    stage->spent[request->route][OUTER] += thread_ns() - begin - below;
}

static void later_work(struct stage *stage, const struct request *request) {
    uint64_t begin = thread_ns(), below = 0;
    struct otelprof_span_token token = otelprof_context_attach(&request->context);
    burn(random_ns(stage));
    if (rand_r(&stage->seed) & 1 << 9) {
        below = thread_ns();
        nested(stage, request, INNER);
        below = thread_ns() - below;
    }
    otelprof_context_detach(token);
    stage->spent[request->route][OUTER] += thread_ns() - begin - below;
}

static void *work(void *argument) {
    struct stage *stage = argument;
    char name[16];
    snprintf(name, sizeof(name), "stage-%u", stage->number);
    otelprof_thread_name(name);
    uint64_t cpu = thread_ns(), end = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    for (bool last = false; !last;) {
        struct request *request =
            stage->number ? take(&stage->in) : make_request(stage, clock_ns(CLOCK_MONOTONIC) > end);
        last = request->last;
        if (last)
            ;
        else if (stage->number)
            later_work(stage, request);
        else
            first_work(stage, request);
        burn(random_ns(stage) / 8); /* for nobody */
        if (stage->next)
            put(&stage->next->in, request);
        else
            free(request);
    }
    stage->cpu = thread_ns() - cpu;
    return NULL;
}

/* ---------------------------------------------------------------------------------------------- report */

static void print_counters(void) {
    struct otelprof_stats s = {.size = sizeof(s)};
    otelprof_stats(&s);
    printf("\"fired\": %" PRIu64 ", \"exported\": %" PRIu64 ", \"with_span\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"misuse\": %" PRIu64 "}\n",
           s.samples_fired, s.samples_exported, s.samples_with_span,
           s.lost_ring_full + s.lost_decode + s.lost_memory + s.lost_window_dropped + s.lost_export_failed +
               s.lost_shutdown + s.lost_scratch,
           s.spans_invalid + s.spans_out_of_order + s.spans_too_deep + s.attributes_dropped + s.attributes_cut +
               s.threads_without_slot);
}

static void print_truth(void) {
    printf("{\"requests\": %" PRIu64 ", \"stages\": [", stages[0].requests - 1);
    for (unsigned s = 0; s < STAGES; s++) {
        printf("%s{\"cpu\": %" PRIu64 ", \"spent\": {", s ? ", " : "", stages[s].cpu);
        for (unsigned r = 0; r < ROUTES; r++) {
            printf("%s\"%s\": {", r ? ", " : "", routes[r]);
            for (unsigned k = OUTER; k < KINDS; k++)
                printf("%s\"%s\": %" PRIu64, k > OUTER ? ", " : "", kind_names[k], stages[s].spent[r][k]);
            printf("}");
        }
        printf("}}");
    }
    printf("], ");
    print_counters();
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (argc != 6) {
        fprintf(stderr, "usage: %s OUTPUT_DIR RATE SECONDS WINDOW_MS SEED\n", argv[0]);
        return 2;
    }
    seconds = atof(argv[3]);
    options.output_dir = argv[1];
    options.rate_hz = atoi(argv[2]);
    options.window_ms = atoi(argv[4]);
    options.service_name = "span-truth";
    options.start_timeout_ms = 10000;
    route_key = otelprof_attribute_key("http.route");
    kind_key = otelprof_attribute_key("truth.kind");
    if (otelprof_init(&options)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    for (unsigned i = 0; i < STAGES; i++) {
        stages[i].number = i;
        stages[i].seed = (unsigned)atoi(argv[5]) * 1000u + i;
        stages[i].next = i + 1 < STAGES ? &stages[i + 1] : NULL;
        pthread_mutex_init(&stages[i].in.lock, NULL);
        pthread_cond_init(&stages[i].in.changed, NULL);
    }
    for (unsigned i = 0; i < STAGES; i++)
        pthread_create(&stages[i].thread, NULL, work, &stages[i]);
    for (unsigned i = 0; i < STAGES; i++)
        pthread_join(stages[i].thread, NULL);
    if (otelprof_disable(OTELPROF_CPU) || otelprof_flush(10000) || otelprof_shutdown(10000)) {
        fprintf(stderr, "%s\n", otelprof_last_error());
        return 1;
    }
    print_truth();
    return 0;
}

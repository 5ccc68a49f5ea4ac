// SPDX-License-Identifier: Apache-2.0
/*
 * A request's way: the HTTP thread finds its route and begins its span. A light route runs right there. For a heavy
 * one the thread captures the span's context, sets the connection aside, and a worker goes on with the request in
 * that context; when the answer is ready it wakes the connection, and the HTTP thread sends the answer.
 */
#include "http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>
#include <otelprof/otelprof.h>

#include "pool.h"

#define QUEUE_LIMIT 1024
#define CONNECTION_LIMIT 1024
#define IDLE_SECONDS 30
#define FLUSH_MS 1000

struct request {
    struct http *http;
    struct MHD_Connection *connection;
    const struct route *route;
    bool begun;
    long argument;
    struct span span;
    struct otelprof_context context; /* the span's, on its way to a worker */
    struct answer answer;
};

struct http {
    struct MHD_Daemon *daemon;
    struct pool *pool;
    bool thread_named; /* the HTTP thread's */
    atomic_ulong answered;
    atomic_long open; /* requests that are not completed */
    uint16_t port;
    const struct catalogue *catalogue;
    unsigned stores_count;
    struct store **stores; /* one for each worker */
};

/* Runs on a worker: the request goes on where the HTTP thread left it. */
static void request_on_worker(void *task, unsigned worker) {
    struct request *request = task;
    struct otelprof_span_token token = span_context_attach(&request->context);
    struct job job = {&request->span, request->http->stores[worker], request->http->catalogue, request->argument};
    request->route->run(&job, &request->answer);
    span_context_detach(token);
    span_finish(&request->span, request->answer.status);
    MHD_resume_connection(request->connection); /* from here on the request is the HTTP thread's again */
}

static void request_here(struct request *request) {
    struct job job = {&request->span, NULL, request->http->catalogue, request->argument};
    request->route->run(&job, &request->answer);
    span_leave(&request->span);
    span_finish(&request->span, request->answer.status);
}

static void request_to_worker(struct request *request) {
    span_context_capture(&request->context);
    span_leave(&request->span);
    MHD_suspend_connection(request->connection);
    if (!pool_submit(request->http->pool, request)) {
        request->answer.status = MHD_HTTP_SERVICE_UNAVAILABLE;
        span_finish(&request->span, request->answer.status);
        MHD_resume_connection(request->connection);
    }
}

/* The whole request is here: begin its span and see to its answer. True when the answer is ready at once. */
static bool request_begin(struct request *request, const char *method, const char *path) {
    struct MHD_Connection *connection = request->connection;
    request->route = route_find(method, path, &request->argument);
    if (request->route == NULL) {
        request->answer.status = MHD_HTTP_NOT_FOUND;
        return true;
    }
    if (request->route->argument != NULL) {
        const char *value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, request->route->argument);
        if (value != NULL && !route_number(value, &request->argument)) {
            request->answer.status = MHD_HTTP_BAD_REQUEST;
            return true;
        }
    }
    const char *traceparent = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent");
    span_begin_request(&request->span, traceparent, request->route->name, method);
    if (request->route->on_worker) {
        request_to_worker(request);
        return false;
    }
    request_here(request);
    return true;
}

/* Sends the answer; the body goes to the HTTP library, which frees it. */
static enum MHD_Result request_answer(struct request *request) {
    struct answer *answer = &request->answer;
    struct MHD_Response *response =
        answer->body == NULL ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
                             : MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        return MHD_NO;
    }
    answer->body = NULL;
    if (answer->content_type != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    }
    if (answer->content_encoding != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, answer->content_encoding);
    }
    enum MHD_Result queued = MHD_queue_response(request->connection, answer->status, response);
    MHD_destroy_response(response);
    atomic_fetch_add(&request->http->answered, 1);
    return queued;
}

/* The HTTP library calls this when the headers are there, for each part of the body, and after each wake-up. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *body, size_t *body_size, void **state) {
    (void)version;
    (void)body;
    struct request *request = *state;
    if (request == NULL) {
        request = calloc(1, sizeof *request);
        if (request == NULL) {
            return MHD_NO;
        }
        request->http = user;
        request->connection = connection;
        atomic_fetch_add(&request->http->open, 1);
        *state = request;
        return MHD_YES;
    }
    if (*body_size > 0) {
        *body_size = 0; /* no route needs a body: taken and thrown away */
        return MHD_YES;
    }
    if (!request->begun) {
        request->begun = true;
        return request_begin(request, method, path) ? request_answer(request) : MHD_YES;
    }
    return request_answer(request); /* a worker woke the connection */
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode reason) {
    (void)user;
    (void)connection;
    (void)reason;
    struct request *request = *state;
    if (request != NULL) {
        atomic_fetch_sub(&request->http->open, 1);
        free(request->answer.body);
        free(request);
        *state = NULL;
    }
}

/* The HTTP library's thread has no other hook at its start: it names itself at its first connection. */
static void on_connection(void *user, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what) {
    (void)connection;
    (void)state;
    struct http *http = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED && !http->thread_named) {
        http->thread_named = true;
        otelprof_thread_name("shop-http");
    }
}

static bool http_listen(struct http *http, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    http->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port, NULL, NULL,
                                    on_request, http, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_NOTIFY_COMPLETED,
                                    on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
                                    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTION_LIMIT,
                                    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (http->daemon == NULL) {
        fprintf(stderr, "shop: cannot listen on 127.0.0.1:%u\n", port);
        return false;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    http->port = info == NULL ? port : info->port;
    return true;
}

static bool http_open_stores(struct http *http, const struct http_options *options) {
    http->stores = calloc(options->threads, sizeof(struct store *));
    if (http->stores == NULL) {
        return false;
    }
    for (; http->stores_count < options->threads; http->stores_count++) {
        struct store *store = store_open(options->database);
        if (store == NULL) {
            return false;
        }
        http->stores[http->stores_count] = store;
    }
    return true;
}

struct http *http_start(const struct http_options *options) {
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL) {
        return NULL;
    }
    http->catalogue = options->catalogue;
    /* Workers before the listener: the first request may come at once. */
    if (http_open_stores(http, options)) {
        http->pool = pool_start(options->threads, QUEUE_LIMIT, request_on_worker);
    }
    if (http->pool == NULL || !http_listen(http, options->port)) {
        http_stop(http);
        return NULL;
    }
    return http;
}

uint16_t http_port(const struct http *http) { return http->port; }

/* Waits until the answers that are ready have been sent; a client that does not read them is not waited for. */
static void http_flush(struct http *http) {
    const struct timespec pause = {0, 5 * 1000 * 1000};
    for (int waited_ms = 0; atomic_load(&http->open) > 0 && waited_ms < FLUSH_MS; waited_ms += 5) {
        nanosleep(&pause, NULL);
    }
}

unsigned long http_stop(struct http *http) {
    if (http == NULL) {
        return 0;
    }
    MHD_socket listener = http->daemon == NULL ? MHD_INVALID_SOCKET : MHD_quiesce_daemon(http->daemon);
    if (http->pool != NULL) {
        pool_drain(http->pool); /* wakes every connection that was set aside, as the HTTP library demands */
    }
    if (http->daemon != NULL) {
        http_flush(http);
        MHD_stop_daemon(http->daemon);
    }
    if (listener != MHD_INVALID_SOCKET) {
        close(listener);
    }
    pool_free(http->pool);
    for (unsigned i = 0; i < http->stores_count; i++) {
        store_close(http->stores[i]);
    }
    unsigned long answered = atomic_load(&http->answered);
    free(http->stores);
    free(http);
    return answered;
}

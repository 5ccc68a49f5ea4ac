// SPDX-License-Identifier: Apache-2.0
/* What the shop answers: a table of routes, and one function for each. */
#ifndef SHOP_ROUTES_H
#define SHOP_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "span.h"
#include "store.h"

/* The products as they were at the start, read by all threads and changed by none. */
struct catalogue {
    size_t count;
    struct product products[STORE_PRODUCTS];
};

/* A finished answer. `body` is allocated; whoever sends the answer frees it. */
struct answer {
    unsigned status;
    const char *content_type;
    const char *content_encoding; /* or NULL */
    char *body;
    size_t size;
};

/* What a route gets to work with. */
struct job {
    struct span *span;                 /* the request's, in force on the calling thread */
    struct store *store;               /* the worker's connection; NULL for routes that run on the HTTP thread */
    const struct catalogue *catalogue; /* all products */
    long argument;                     /* the number in the path or the query; 0 if there is none */
};

struct route {
    const char *method;
    const char *name;     /* as in http.route */
    const char *prefix;   /* of the path; a route with {} in its name has its argument right behind it */
    const char *argument; /* of the query, or NULL */
    bool on_worker;       /* heavy: runs on a worker, with a store; else right on the HTTP thread */
    void (*run)(const struct job *job, struct answer *answer);
};

/* The route of a request; NULL if there is none. `*argument` is set when the path holds it, else it is 0. */
const struct route *route_find(const char *method, const char *path, long *argument);

/* Reads a number of 1 to 9 digits. False, with `*number` undefined, for anything else. */
bool route_number(const char *text, long *number);

#endif

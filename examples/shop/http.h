// SPDX-License-Identifier: Apache-2.0
/* The HTTP side: one thread for the network and the light routes, a pool of workers for the heavy ones. */
#ifndef SHOP_HTTP_H
#define SHOP_HTTP_H

#include <stdint.h>

#include "routes.h"

struct http;

struct http_options {
    uint16_t port;    /* on 127.0.0.1; 0: any that is free */
    unsigned threads; /* workers */
    const char *database;
    const struct catalogue *catalogue;
};

/* Starts listening. The options are copied, not what they point to. NULL, after a line on stderr, if it fails. */
struct http *http_start(const struct http_options *options);

/* The port in use. */
uint16_t http_port(const struct http *http);

/* Answers what was accepted, then stops all threads and frees. How many requests were answered. NULL is fine. */
unsigned long http_stop(struct http *http);

#endif

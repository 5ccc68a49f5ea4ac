// SPDX-License-Identifier: Apache-2.0
#include "network/courier.h"

#include <errno.h>
#include <linux/close_range.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

/* As the export thread: the programs know our threads, and those that libcurl starts from them, by this name. */
#define THREAD_NAME "otelprof-export"
#define STANDARD_DESCRIPTORS 3

struct otp_courier {
    pthread_t thread;
    clockid_t clock;
    void (*begins)(void);
    pthread_mutex_t lock; /* covers all below */
    pthread_cond_t changed;
    void (*work)(void *argument); /* NULL: nothing to do */
    void *argument;
    bool ready, ending;
    int error; /* errno of the start */
};

/*
 * A table of descriptors with nothing in it (close_range(2): nothing is copied that would be closed at once, so a
 * host's files are not held open for a moment either). Then sockets that lead nowhere as standard input, output and
 * error, for libraries that complain: a write to them fails.
 */
static int take_own_descriptors(void) {
#ifdef __SANITIZE_THREAD__ /* takes equal numbers for the same file */
    return 0;
#endif
    if (syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE))
        return errno;
    for (int i = 0; i < STANDARD_DESCRIPTORS; i++)
        if (socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0)
            return errno;
    return 0;
}

static void *body(void *argument) {
    struct otp_courier *courier = argument;
    if (courier->begins)
        courier->begins();
    int error = take_own_descriptors();
    pthread_mutex_lock(&courier->lock);
    courier->error = error;
    courier->ready = true;
    pthread_cond_broadcast(&courier->changed);
    for (;;) {
        while (!courier->work && !courier->ending)
            pthread_cond_wait(&courier->changed, &courier->lock);
        if (!courier->work)
            break;
        pthread_mutex_unlock(&courier->lock);
        courier->work(courier->argument);
        pthread_mutex_lock(&courier->lock);
        courier->work = NULL;
        pthread_cond_broadcast(&courier->changed);
    }
    pthread_mutex_unlock(&courier->lock);
    return NULL;
}

static void give_back(struct otp_courier *courier) {
    pthread_cond_destroy(&courier->changed);
    pthread_mutex_destroy(&courier->lock);
    free(courier);
}

static int wait_ready(struct otp_courier *courier) {
    pthread_mutex_lock(&courier->lock);
    while (!courier->ready)
        pthread_cond_wait(&courier->changed, &courier->lock);
    int error = courier->error;
    pthread_mutex_unlock(&courier->lock);
    return error;
}

int otp_courier_start(struct otp_courier **out, void (*begins)(void), char *error, size_t error_size) {
    struct otp_courier *courier = calloc(1, sizeof(*courier));
    snprintf(error, error_size, "no memory for the network exporter");
    if (!courier)
        return OTELPROF_E_MEMORY;
    courier->begins = begins;
    pthread_mutex_init(&courier->lock, NULL);
    pthread_cond_init(&courier->changed, NULL);
    int result = otp_thread_start(THREAD_NAME, body, courier, &courier->thread);
    if (result) {
        snprintf(error, error_size, "%s", otp_error_text());
        give_back(courier);
        return result;
    }
    int number = wait_ready(courier);
    if (number || pthread_getcpuclockid(courier->thread, &courier->clock)) {
        snprintf(error, error_size, "the network exporter cannot have descriptors of its own: close_range: errno %d",
                 number);
        otp_courier_stop(courier);
        return OTELPROF_E_SYSTEM;
    }
    *out = courier;
    return 0;
}

void otp_courier_run(struct otp_courier *courier, void (*work)(void *argument), void *argument) {
    pthread_mutex_lock(&courier->lock);
    courier->work = work;
    courier->argument = argument;
    pthread_cond_broadcast(&courier->changed);
    while (courier->work)
        pthread_cond_wait(&courier->changed, &courier->lock);
    pthread_mutex_unlock(&courier->lock);
}

uint64_t otp_courier_cpu_ns(const struct otp_courier *courier) { return otp_clock_ns(courier->clock); }

void otp_courier_stop(struct otp_courier *courier) {
    if (!courier)
        return;
    pthread_mutex_lock(&courier->lock);
    courier->ending = true;
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
    pthread_join(courier->thread, NULL);
    give_back(courier);
}

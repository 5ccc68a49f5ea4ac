// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    otelprof_log_fn receiver;
    void *user;
    enum otelprof_log_level level;
} logger = {NULL, NULL, OTELPROF_LOG_INFO};

void otp_log_set(otelprof_log_fn receiver, void *user, enum otelprof_log_level level) {
    pthread_mutex_lock(&lock);
    logger.receiver = receiver;
    logger.user = user;
    logger.level = level;
    pthread_mutex_unlock(&lock);
}

enum otelprof_log_level otp_log_level(void) {
    pthread_mutex_lock(&lock);
    enum otelprof_log_level level = logger.receiver ? logger.level : OTELPROF_LOG_ERROR;
    pthread_mutex_unlock(&lock);
    return level;
}

void otp_log(enum otelprof_log_level level, const char *format, ...) {
    int saved = errno;
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    if (logger.receiver && level <= logger.level)
        logger.receiver(logger.user, level, message);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

void otp_log_forget(void) {
    pthread_mutex_init(&lock, NULL);
    logger.receiver = NULL;
}

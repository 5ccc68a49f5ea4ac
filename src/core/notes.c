// SPDX-License-Identifier: Apache-2.0
#include "core/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

void otp_notes_init(struct otp_notes *notes) {
    memset(notes, 0, sizeof(*notes));
    pthread_mutex_init(&notes->lock, NULL);
}

void otp_notes_destroy(struct otp_notes *notes) { pthread_mutex_destroy(&notes->lock); }

void otp_notes_add(struct otp_notes *notes, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    notes->degraded = true;
    pthread_mutex_lock(&notes->lock);
    size_t length = strlen(notes->text);
    bool known = strstr(notes->text, text) != NULL;
    if (!known)
        snprintf(notes->text + length, sizeof(notes->text) - length, "%s\n", text);
    pthread_mutex_unlock(&notes->lock);
    if (!known)
        otp_log(OTELPROF_LOG_WARN, "otelprof: %s", text);
}

void otp_notes_copy(struct otp_notes *notes, char *text, size_t size) {
    pthread_mutex_lock(&notes->lock);
    snprintf(text, size, "%s", notes->text);
    pthread_mutex_unlock(&notes->lock);
}

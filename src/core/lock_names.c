// SPDX-License-Identifier: Apache-2.0
#include "core/lock_names.h"

#include <pthread.h>
#include <string.h>

#include "base/utf8.h"

#define PLACES (2 * OTP_LOCK_NAMES_MAX)

/* Open addressing; a place that was given up keeps `lock` 0 and is told from one that never was used by `gone`. */
static struct place {
    uint64_t lock; /* 0: free */
    bool gone;
    char name[OTP_LOCK_NAME_MAX + 1];
} places[PLACES];
static size_t count;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static size_t first_place(uint64_t lock) { return (lock * 0x9e3779b97f4a7c15u >> 32) % PLACES; }

/* The lock's place, or the one that it would get; NULL: there is none. */
static struct place *find(uint64_t lock) {
    struct place *given_up = NULL;
    size_t at = first_place(lock);
    for (size_t i = 0; i < PLACES; i++, at = (at + 1) % PLACES) {
        struct place *place = &places[at];
        if (place->lock == lock)
            return place;
        if (!place->lock && !given_up)
            given_up = place;
        if (!place->lock && !place->gone)
            break;
    }
    return given_up;
}

static void take_back(struct place *place, uint64_t lock) {
    if (!place || place->lock != lock)
        return;
    place->lock = 0;
    place->gone = true;
    count--;
}

/* In a forked child another thread of the parent may have held it. The names stay. */
static void forked_child(void) { pthread_mutex_init(&guard, NULL); }

static void watch_forks(void) { pthread_atfork(NULL, NULL, forked_child); }

bool otp_lock_names_set(uint64_t lock, const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bool done = true;
    pthread_once(&once, watch_forks); /* names may be given before the profiler starts */
    pthread_mutex_lock(&guard);
    struct place *place = find(lock);
    if (!name || !*name) {
        take_back(place, lock);
    } else if (place && (place->lock == lock || count < OTP_LOCK_NAMES_MAX)) {
        bool is_new = place->lock != lock;
        otp_utf8_clean(place->name, sizeof(place->name), name, strlen(name));
        place->lock = lock;
        count += is_new;
    } else {
        done = false;
    }
    pthread_mutex_unlock(&guard);
    return done;
}

void otp_lock_names_get(uint64_t lock, char name[OTP_LOCK_NAME_MAX + 1]) {
    pthread_mutex_lock(&guard);
    const struct place *place = count ? find(lock) : NULL;
    bool known = place && place->lock == lock;
    memcpy(name, known ? place->name : "", known ? sizeof(place->name) : 1);
    pthread_mutex_unlock(&guard);
}

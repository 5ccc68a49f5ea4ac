// SPDX-License-Identifier: Apache-2.0
/*
 * Many snapshots of a process that is never in a deadlock, though each snapshot by itself may look like one: two
 * threads that take A then B and B then A under a gate, and 1,000 that fight for mutexes in one order and for
 * read/write locks. At the end two threads do lock each other up, and must be found.
 *
 *     deadlock_storm [SNAPSHOTS [THREADS]]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "capture/capture.h"
#include "capture_room.h"
#include "core/futex_lock.h"
#include "core/intake.h"
#include "core/thread_snapshot.h"

#define LOCKS 24
#define WINDOW_SNAPSHOTS 20 /* in one window */
#define VERIFY_US 20000

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER, one = PTHREAD_MUTEX_INITIALIZER,
                       other = PTHREAD_MUTEX_INITIALIZER,
                       dead[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t mutexes[LOCKS];
static pthread_rwlock_t rwlocks[LOCKS];
static atomic_bool stop;
static _Atomic unsigned locked_up;

/* ------------------------------------------------------------------------------------------------- threads */

static void hold(void) { usleep(300); }

static void *work_under_the_gate(void *turned) {
    while (!stop) {
        pthread_mutex_lock(&gate);
        pthread_mutex_lock(turned ? &one : &other);
        pthread_mutex_lock(turned ? &other : &one);
        pthread_mutex_unlock(&gate);
        hold();
        pthread_mutex_unlock(&one);
        pthread_mutex_unlock(&other);
    }
    return NULL;
}

/* Always the lower number first: nobody can wait in a circle. */
static void *work_in_order(void *seed) {
    unsigned random = (unsigned)(uintptr_t)seed;
    while (!stop) {
        random = random * 1664525u + 1013904223u;
        unsigned low = (random >> 8) % (LOCKS - 1), high = low + 1 + (random >> 20) % (LOCKS - 1 - low);
        if (random >> 31) {
            pthread_mutex_lock(&mutexes[low]);
            pthread_mutex_lock(&mutexes[high]);
            hold();
            pthread_mutex_unlock(&mutexes[high]);
            pthread_mutex_unlock(&mutexes[low]);
        } else {
            pthread_rwlock_wrlock(&rwlocks[low]);
            pthread_rwlock_rdlock(&rwlocks[high]);
            hold();
            pthread_rwlock_unlock(&rwlocks[high]);
            pthread_rwlock_unlock(&rwlocks[low]);
        }
    }
    return NULL;
}

static void *lock_up(void *which) {
    pthread_mutex_lock(&dead[which != NULL]);
    locked_up++;
    while (locked_up < 2)
        usleep(1000);
    pthread_mutex_lock(&dead[which == NULL]);
    return NULL;
}

static void start_thread(void *(*body)(void *), void *argument) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    if (pthread_create(&thread, &attributes, body, argument))
        abort();
}

/* ----------------------------------------------------------------------------------------------- snapshots */

static struct {
    struct capture_room inside;
    struct otp_intake intake;
    struct otp_thread_snapshot snapshot;
    uint64_t threads, waits, suspicions;
} room;

static int start(void) {
    struct otp_capture_options options = {.rate_hz = 1, .slots = 64, .kernel_frames = false};
    if (capture_room_prepare(&room.inside, &options))
        return -1;
    int result = otp_capture_open(&room.inside.capture, &options);
    if (!result)
        result = capture_room_publish(&room.inside);
    room.intake.modules = room.inside.modules;
    otp_thread_snapshot_init(&room.snapshot, &room.intake, true);
    otp_futex_lock_find_functions();
    return result;
}

static void renew_window(void) {
    struct otp_window_config config = {.detail = OTELPROF_DETAIL_FULL, .rung = "ebpf"};
    for (int i = 0; i < OTP_PROFILE_KINDS; i++)
        config.period[i] = 1;
    otp_window_free(room.intake.window);
    room.intake.window = otp_window_new(&config, otp_clock_ns(CLOCK_REALTIME));
}

static void on_thread(void *unused, const struct otp_thread_state *state, const void *bytes, size_t size) {
    struct otp_record header;
    struct otp_sample sample;
    (void)unused;
    if (!otp_intake_thread(&room.intake, bytes, size, &header, &sample))
        abort();
    room.threads++;
    room.waits += otp_futex_lock_of(state, sample.frames, sample.frame_count).owner != 0;
    otp_thread_snapshot_take(&room.snapshot, state, &sample);
}

static void pass(void) {
    struct otp_control *control = otp_capture_control(room.inside.capture);
    uint32_t what = otp_thread_snapshot_wants(&room.snapshot, otp_clock_ns(CLOCK_MONOTONIC), true);
    if (otp_capture_pass(room.inside.capture, what, on_thread, NULL)) {
        printf("%s\n", otp_error_text());
        exit(1);
    }
    otp_thread_snapshot_passed(&room.snapshot, control, what, 0, otp_clock_ns(CLOCK_MONOTONIC));
}

static void take_snapshot(void) {
    if (otp_thread_snapshot_begin(&room.snapshot, otp_capture_control(room.inside.capture), 10000, 0))
        abort();
    pass();
    if (room.snapshot.phase != OTP_SNAPSHOT_VERIFYING)
        return;
    room.suspicions++;
    usleep(VERIFY_US);
    pass();
}

static void to_stdout(void *user, enum otelprof_log_level level, const char *message) {
    (void)user, (void)level;
    printf("%s\n", message);
}

int main(int argc, char **argv) {
    unsigned snapshots = argc > 1 ? (unsigned)atoi(argv[1]) : 10000,
             threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
    otp_log_set(to_stdout, NULL, OTELPROF_LOG_WARN);
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&mutexes[i], NULL);
        pthread_rwlock_init(&rwlocks[i], NULL);
    }
    if (start()) {
        printf("%s\n", otp_error_text());
        return 1;
    }
    start_thread(work_under_the_gate, NULL);
    start_thread(work_under_the_gate, &gate);
    for (unsigned i = 0; i < threads; i++)
        start_thread(work_in_order, (void *)(uintptr_t)(i * 7919u + 1));
    usleep(200000);
    for (unsigned i = 0; i < snapshots; i++) {
        if (i % WINDOW_SNAPSHOTS == 0)
            renew_window();
        take_snapshot();
    }
    uint32_t wrong = room.snapshot.deadlocks.found;
    printf("%u snapshots, %llu looks at threads, %llu at waits with an owner, %llu suspicions, %u reports\n", snapshots,
           (unsigned long long)room.threads, (unsigned long long)room.waits, (unsigned long long)room.suspicions,
           wrong);
    start_thread(lock_up, NULL);
    start_thread(lock_up, dead);
    usleep(300000);
    renew_window();
    for (int i = 0; i < 3; i++)
        take_snapshot();
    uint32_t right = room.snapshot.deadlocks.found - wrong;
    printf("a true one: %u reports\n", right);
    fflush(stdout);
    _exit(wrong == 0 && right == 1 && room.waits > snapshots ? 0 : 1);
}

// SPDX-License-Identifier: Apache-2.0
#include "kernel_guest_threads.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "capture/capture.h"

#define THREADS 20
#define PASSES 20
#define FRAMES 64

static struct {
    int ends[2];
    _Atomic int waiting;
    uint32_t tids[THREADS];
} parked;

static __attribute__((noinline)) void wait_in_read(void) {
    char byte;
    while (read(parked.ends[0], &byte, 1) < 0)
        ;
}

static void *park(void *unused) {
    (void)unused;
    parked.tids[atomic_fetch_add(&parked.waiting, 1)] = (uint32_t)syscall(SYS_gettid);
    wait_in_read();
    return NULL;
}

struct look {
    unsigned seen, right, other;
    uint64_t frames[FRAMES];
    uint16_t frame_count;
    uint64_t blocked_ns;
};

static bool is_parked(uint32_t tid) {
    for (int i = 0; i < THREADS; i++) {
        if (parked.tids[i] == tid)
            return true;
    }
    return false;
}

/* All of them stand in the same stack, to its end. */
static void on_thread(void *user, const struct otp_thread_state *state, const void *bytes, size_t size) {
    struct look *look = user;
    struct otp_record record;
    memcpy(&record, bytes, sizeof(record));
    if (!is_parked(record.tid)) {
        look->other++;
        return;
    }
    look->seen++;
    look->blocked_ns += record.weight;
    const uint8_t *frames = (const uint8_t *)bytes + sizeof(record) + record.kernel_frames * sizeof(uint64_t);
    if (record.user_frames > FRAMES || size < sizeof(record) + record.user_frames * sizeof(uint64_t))
        return;
    if (!look->frame_count) {
        look->frame_count = record.user_frames;
        memcpy(look->frames, frames, record.user_frames * sizeof(uint64_t));
    }
    look->right += record.stop == OTP_STOP_COMPLETE && state->run == OTP_THREAD_SLEEPING &&
                   state->syscall == SYS_read && state->argument[0] == (uint64_t)parked.ends[0] &&
                   record.user_frames >= 4 && record.user_frames == look->frame_count &&
                   !memcmp(frames, look->frames, record.user_frames * sizeof(uint64_t));
}

/* Until when each is known to stand still, of all together. */
static uint64_t all_still(struct otp_capture *capture) {
    uint64_t sum = 0;
    const struct otp_control *control = otp_capture_control(capture);
    for (uint32_t i = 1; i <= control->places; i++)
        sum += otp_capture_still(capture)[OTP_PLACE_INDEX(control->epoch, i)];
    return sum;
}

/* The same threads again and again: their time is added up, and nobody is told twice. */
static bool time_adds_up(struct otp_capture *capture) {
    struct otp_control *control = otp_capture_control(capture);
    struct look look = {0};
    control->run = control->epoch = 1;
    control->places = 0;
    control->last_pass_ns = UINT64_MAX; /* nobody was born since */
    if (otp_capture_pass(capture, OTP_PASS_TICK, on_thread, &look))
        return false;
    uint64_t start = otp_clock_ns(CLOCK_MONOTONIC), unchanged = control->threads.unchanged, end = start;
    uint64_t others = all_still(capture);
    for (int i = 0; i < PASSES; i++) {
        usleep(10000);
        control->pass_ns = otp_clock_ns(CLOCK_MONOTONIC);
        if (otp_capture_pass(capture, OTP_PASS_TICK, on_thread, &look))
            return false;
        end = otp_clock_ns(CLOCK_MONOTONIC);
    }
    unchanged = control->threads.unchanged - unchanged;
    double share = (double)(all_still(capture) - others) / ((double)THREADS * (double)(end - start));
    printf("passes: %u told, %" PRIu64 " unchanged, time added up %.4f\n", look.seen, unchanged, share);
    return look.seen == THREADS && look.blocked_ns == 0 && unchanged >= THREADS * PASSES && share > 0.97 &&
           share < 1.0 + 3.0 / THREADS; /* threads of the library may wait beside them */
}

bool guest_threads_are_seen(struct otp_capture *capture) {
    pthread_t threads[THREADS];
    struct look look = {0};
    struct otp_control *control = otp_capture_control(capture);
    if (otp_capture_pass_possible(capture) || pipe(parked.ends)) {
        printf("passes: %s\n", otp_error_text());
        return false;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, park, NULL);
    while (parked.waiting < THREADS)
        usleep(1000);
    usleep(300000);
    control->serial = 1;
    int result = otp_capture_pass(capture, OTP_PASS_SNAPSHOT | OTP_PASS_LAST, on_thread, &look);
    printf("snapshot: %u seen, %u right, %u others, %" PRIu64 " untold%s\n", look.seen, look.right, look.other,
           control->threads.untold, result ? otp_error_text() : "");
    bool good = !result && look.seen == THREADS && look.right == THREADS && time_adds_up(capture);
    char bytes[THREADS] = "";
    good &= write(parked.ends[1], bytes, sizeof(bytes)) == sizeof(bytes);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return good;
}

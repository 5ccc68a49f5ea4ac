// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "encode/otlp_reader.h"
#include "export/worker.h"
#include "profile_fixture.h"

#define MS 1000000ull

static uint64_t in_ms(uint64_t ms) { return otp_clock_ns(CLOCK_MONOTONIC) + ms * MS; }

/* An exporter that does as it is told, and reads what it gets. */
struct fake {
    struct otp_exporter base;
    pthread_mutex_t lock;
    sem_t entered; /* posted at each send */
    sem_t go;      /* awaited at each send, if `stuck` */
    bool stuck;
    enum otp_delivery answers[8]; /* in turn; then the last one */
    unsigned answer_count;
    struct otp_answer answer; /* beside each */
    size_t too_large;         /* requests of more bytes are refused for it; 0: none is */
    uint64_t sent_at_ns[8];   /* of the first ones */
    uint64_t sends, events, closed, last_deadline_ns, hurried_ns;
    int64_t fired; /* sum of the counter over what was delivered */
    int64_t bytes_in_use;
};

static void read_request(struct fake *fake, const void *bytes, size_t size) {
    struct otp_otlp_reader *reader;
    struct otp_otlp_profile profile;
    struct otp_otlp_sample sample;
    ck_assert_int_eq(otp_otlp_read(bytes, size, &reader), 0);
    for (size_t p = 0; otp_otlp_profile(reader, p, &profile); p++) {
        for (size_t s = 0; otp_otlp_sample(reader, p, s, &sample); s++)
            if (!strcmp(profile.sample_name, "inuse_space"))
                fake->bytes_in_use += sample.value;
            else
                fake->events += strcmp(profile.sample_name, "samples") ? 0 : sample.events;
        int64_t fired = fixture_profile_number(reader, p, "otelprof.samples.fired");
        fake->fired += fired > 0 ? fired : 0; /* -1: an earlier request of the window told it */
    }
    otp_otlp_reader_free(reader);
}

static enum otp_delivery fake_send(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns,
                                   struct otp_answer *answer) {
    struct fake *fake = (struct fake *)(void *)exporter;
    pthread_mutex_lock(&fake->lock);
    bool stuck = fake->stuck;
    unsigned turn = fake->sends < fake->answer_count ? (unsigned)fake->sends : fake->answer_count - 1;
    enum otp_delivery delivery = fake->answers[turn];
    if (fake->too_large && size > fake->too_large)
        delivery = OTP_DELIVERY_TOO_LARGE;
    if (fake->sends < 8)
        fake->sent_at_ns[fake->sends] = otp_clock_ns(CLOCK_MONOTONIC);
    fake->sends++;
    fake->last_deadline_ns = deadline_ns;
    *answer = fake->answer;
    if (delivery == OTP_DELIVERED)
        read_request(fake, bytes, size);
    pthread_mutex_unlock(&fake->lock);
    sem_post(&fake->entered);
    while (stuck && sem_wait(&fake->go) && errno == EINTR)
        ;
    return delivery;
}

static void fake_hurry(struct otp_exporter *exporter, uint64_t deadline_ns) {
    ((struct fake *)(void *)exporter)->hurried_ns = deadline_ns;
}

static void fake_close(struct otp_exporter *exporter) { ((struct fake *)(void *)exporter)->closed++; }

static const struct otp_exporter_ops fake_ops = {.send = fake_send, .hurry = fake_hurry, .close = fake_close};
static struct fake fake;
static struct otp_worker *worker; /* static: one that is left behind is no leak */

static void start_with(size_t queue_bytes, size_t encoder_bytes) {
    memset(&fake, 0, sizeof(fake));
    fake.base.ops = &fake_ops;
    fake.base.name = "the test";
    fake.answer_count = 1;
    pthread_mutex_init(&fake.lock, NULL);
    sem_init(&fake.entered, 0, 0);
    sem_init(&fake.go, 0, 0);
    const struct otp_worker_config config = {
        .exporter = &fake.base,
        .queue_bytes = queue_bytes,
        .options = {.memory_bytes = encoder_bytes},
        .limits = {.backoff_ns = 20 * MS, .backoff_max_ns = 40 * MS, .give_up_ns = 300 * MS},
    };
    ck_assert_int_eq(otp_worker_start(&config, &worker), 0);
}

static void start(size_t queue_bytes) { start_with(queue_bytes, 0); }

static void await(sem_t *semaphore) {
    while (sem_wait(semaphore) && errno == EINTR)
        ;
}

static struct otp_window *window_of(uint64_t samples) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1010, .mapping = fixture_mapping(window, 1, "/bin/one")}};
    struct otp_sample sample = fixture_sample(frames, 1);
    for (uint64_t i = 0; i < samples; i++) {
        sample.time_unix_ns = START_NS + i;
        otp_window_add(window, &sample);
    }
    otp_window_close(window, START_NS + 10 * SECOND_NS, &(struct otelprof_stats){.samples_fired = samples});
    return window;
}

static struct otelprof_stats stats_of(void) {
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otp_worker_stats(worker, &stats);
    return stats;
}

START_TEST(windows_go_out_in_order) {
    start(0);
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0); /* nothing there */
    for (uint64_t i = 1; i <= 10; i++)
        otp_worker_put(worker, window_of(i));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    struct otelprof_stats stats = stats_of();
    ck_assert_uint_eq(stats.samples_exported, 55);
    ck_assert_uint_eq(stats.windows_exported, 10);
    ck_assert_uint_gt(stats.bytes_exported, 1000);
    ck_assert_uint_gt(stats.own_cpu_ns, 0);
    ck_assert_uint_eq(stats.symbols_missing, 10);
    ck_assert_uint_eq(fake.events, 55);
    ck_assert_int_eq(fake.fired, 55);
    struct otelprof_stats last = {.size = sizeof(last)};
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(5000), &last), 0);
    ck_assert_uint_eq(last.samples_exported, 55);
    ck_assert_uint_ge(last.own_cpu_ns, stats.own_cpu_ns);
    ck_assert_uint_eq(fake.closed, 1);
}
END_TEST

START_TEST(stop_exports_what_waits) {
    start(0);
    for (int i = 0; i < 5; i++)
        otp_worker_put(worker, window_of(100));
    struct otelprof_stats stats = {.size = sizeof(stats)};
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(10000), &stats), 0);
    ck_assert_uint_eq(stats.samples_exported, 500);
    ck_assert_uint_eq(stats.lost_shutdown, 0);
}
END_TEST

START_TEST(full_queue_drops_the_oldest) {
    struct otp_window *probe = window_of(1);
    size_t bytes = otp_window_size(probe);
    otp_window_free(probe);
    start(3 * bytes);
    fake.stuck = true;
    otp_worker_put(worker, window_of(1)); /* this one is in the exporter's hands */
    await(&fake.entered);
    for (uint64_t i = 0; i < 5; i++)
        otp_worker_put(worker, window_of(10 + i)); /* 10 and 11 go */
    ck_assert_uint_eq(stats_of().lost_window_dropped, 21);
    ck_assert_uint_eq(stats_of().windows_dropped, 2);
    pthread_mutex_lock(&fake.lock);
    fake.stuck = false;
    pthread_mutex_unlock(&fake.lock);
    sem_post(&fake.go);
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(stats_of().samples_exported, 1 + 12 + 13 + 14);
    /* What the dropped windows had to tell went with the next one. */
    ck_assert_int_eq(fake.fired, 1 + 10 + 11 + 12 + 13 + 14);
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(5000), NULL), 0);
}
END_TEST

START_TEST(window_larger_than_the_queue_is_dropped) {
    start(100);
    otp_worker_put(worker, window_of(7));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(stats_of().lost_window_dropped, 7);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

START_TEST(failure_is_counted_and_told) {
    start(0);
    fake.answers[0] = OTP_DELIVERY_FAILED;
    fake.answers[1] = OTP_DELIVERED;
    fake.answer_count = 2;
    otp_worker_put(worker, window_of(5));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    otp_worker_put(worker, window_of(6));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    struct otelprof_stats stats = stats_of();
    ck_assert_uint_eq(stats.lost_export_failed, 5);
    ck_assert_uint_eq(stats.samples_exported, 6);
    ck_assert_uint_eq(stats.windows_exported, 1);
    ck_assert_uint_eq(stats.windows_dropped, 1);
    ck_assert_int_eq(fake.fired, 11); /* the lost window's counters came with the next */
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(5000), NULL), 0);
}
END_TEST

START_TEST(what_may_be_taken_later_is_sent_again) {
    start(0);
    memcpy(fake.answers, (enum otp_delivery[]){OTP_DELIVERY_RETRY, OTP_DELIVERY_UNKNOWN, OTP_DELIVERED},
           3 * sizeof(int));
    fake.answer_count = 3;
    otp_worker_put(worker, window_of(5));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(fake.sends, 3);
    ck_assert_uint_ge(fake.sent_at_ns[1] - fake.sent_at_ns[0], 10 * MS); /* half of the first pause, at least */
    ck_assert_uint_eq(stats_of().samples_exported, 5);
    ck_assert_uint_eq(stats_of().export_retries, 2);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

/* Given up after the stated time, as lost; or as unknown, if any attempt may have arrived. */
START_TEST(patience_ends) {
    static const struct {
        enum otp_delivery first, then;
        uint64_t lost, unknown;
    } rows[] = {{OTP_DELIVERY_RETRY, OTP_DELIVERY_RETRY, 6, 0},
                {OTP_DELIVERY_UNKNOWN, OTP_DELIVERY_RETRY, 0, 6},
                {OTP_DELIVERY_UNKNOWN, OTP_DELIVERY_FAILED, 0, 6},
                {OTP_DELIVERY_FAILED, OTP_DELIVERED, 6, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start(0);
        fake.answers[0] = rows[i].first;
        fake.answers[1] = rows[i].then;
        fake.answer_count = 2;
        otp_worker_put(worker, window_of(6));
        ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
        ck_assert_uint_eq(stats_of().lost_export_failed, rows[i].lost);
        ck_assert_uint_eq(stats_of().delivery_unknown, rows[i].unknown);
        ck_assert_uint_eq(stats_of().samples_exported, 0);
        ck_assert_uint_ge(fake.sends, rows[i].then == OTP_DELIVERY_RETRY ? 5 : 1);
        ck_assert_uint_le(fake.sends, 32); /* 300 ms in steps of 10 ms, at least */
        otp_worker_stop(worker, in_ms(5000), NULL);
    }
}
END_TEST

START_TEST(an_answer_that_is_final_is_not_sent_again) {
    start(0);
    fake.answers[0] = OTP_DELIVERY_UNKNOWN;
    fake.answer.final = true;
    otp_worker_put(worker, window_of(6));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(fake.sends, 1);
    ck_assert_uint_eq(stats_of().delivery_unknown, 6);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

/* Not before the receiver wants it, whatever request is next; a stop does not send earlier either. */
START_TEST(receivers_wish_to_be_left_alone_counts) {
    start(0);
    memcpy(fake.answers, (enum otp_delivery[]){OTP_DELIVERY_RETRY, OTP_DELIVERED}, 2 * sizeof(int));
    fake.answer_count = 2;
    fake.answer.wait_ns = 150 * MS;
    otp_worker_put(worker, window_of(5));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_ge(fake.sent_at_ns[1] - fake.sent_at_ns[0], 150 * MS);
    fake.answers[1] = OTP_DELIVERY_RETRY;
    fake.answer.wait_ns = 3000 * SECOND_NS;
    otp_worker_put(worker, window_of(6)); /* given up at once: its time would be over */
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    otp_worker_put(worker, window_of(7));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(100)), OTELPROF_E_TIMEOUT);
    ck_assert_uint_eq(fake.sends, 3);
    struct otelprof_stats stats = {.size = sizeof(stats)};
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(5000), &stats), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(fake.sends, 3);
    ck_assert_uint_eq(stats.samples_exported, 5);
    ck_assert_uint_eq(stats.lost_export_failed, 13);
}
END_TEST

START_TEST(rejected_profiles_are_counted) {
    start(0);
    fake.answer.rejected_profiles = 1;
    otp_worker_put(worker, window_of(5));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(stats_of().lost_rejected, 5);
    ck_assert_uint_eq(stats_of().profiles_rejected, 1);
    ck_assert_uint_eq(stats_of().samples_exported, 0);
    fake.answer.rejected_profiles = 0; /* a warning only */
    snprintf(fake.answer.text, sizeof(fake.answer.text), "be careful");
    otp_worker_put(worker, window_of(6));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(stats_of().samples_exported, 6);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

/* Its events come in smaller requests, and the next window begins with those. */
START_TEST(a_request_that_is_too_large_comes_in_parts) {
    start(0);
    fake.too_large = 100000;
    otp_worker_put(worker, window_of(15500)); /* timestamps: 124 KB */
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(stats_of().samples_exported, 15500);
    ck_assert_uint_eq(fake.events, 15500);
    ck_assert_int_eq(fake.fired, 15500); /* once, although the first request came twice */
    ck_assert_uint_eq(stats_of().lost_export_failed, 0);
    uint64_t sends = fake.sends;
    ck_assert_uint_ge(sends, 3);
    otp_worker_put(worker, window_of(15500));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(fake.events, 31000);
    ck_assert_uint_eq(fake.sends, 2 * sends - 1);
    fake.too_large = 1; /* nothing is small enough */
    otp_worker_put(worker, window_of(15500));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(stats_of().lost_export_failed, 15500);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

/* ---- windows that tell states: nothing fired, and yet there is something to deliver */

static struct otp_window *window_of_states(uint64_t count) {
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    uint32_t mapping = fixture_mapping(window, 1, "/bin/one");
    for (uint64_t i = 0; i < count; i++) {
        struct otp_frame_ref frames[] = {{.address = 0x100000 + i, .mapping = mapping}};
        struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_INUSE_OBJECTS, frames, 1, 1, 8);
        otp_window_add(window, &sample);
    }
    otp_window_close(window, START_NS + 10 * SECOND_NS, &(struct otelprof_stats){.samples_fired = 3});
    return window;
}

/* Puts a window of states, waits for its end, and returns what the flush said. */
static int put_states(uint64_t count) {
    otp_worker_put(worker, window_of_states(count));
    int result = otp_worker_flush(worker, in_ms(20000));
    struct otelprof_stats stats = stats_of();
    ck_assert_uint_eq(stats.samples_exported + stats.lost_export_failed + stats.lost_rejected, 0);
    ck_assert_uint_eq(stats.delivery_unknown + stats.lost_window_dropped + stats.lost_shutdown, 0);
    return result;
}

START_TEST(states_are_delivered_without_events) {
    start(0);
    memcpy(fake.answers, (enum otp_delivery[]){OTP_DELIVERY_RETRY, OTP_DELIVERED}, 2 * sizeof(int));
    fake.answer_count = 2;
    ck_assert_int_eq(put_states(10), 0);
    ck_assert_uint_eq(fake.sends, 2); /* tried again as any other */
    ck_assert_int_eq(fake.bytes_in_use, 80);
    ck_assert_int_eq(fake.fired, 3);
    ck_assert_uint_eq(stats_of().windows_exported, 1);
    fake.too_large = 70000;
    ck_assert_int_eq(put_states(5000), 0);
    ck_assert_int_eq(fake.bytes_in_use, 80 + 40000); /* in parts, and each once */
    ck_assert_int_eq(fake.fired, 6);
    ck_assert_uint_ge(fake.sends, 5);
    ck_assert_uint_eq(stats_of().windows_exported, 2);
    ck_assert_uint_eq(stats_of().windows_dropped, 0);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

START_TEST(states_that_fail_are_a_window_dropped) {
    static const struct {
        enum otp_delivery delivery;
        uint64_t rejected;
    } rows[] = {{OTP_DELIVERY_FAILED, 0}, {OTP_DELIVERY_UNKNOWN, 0}, {OTP_DELIVERED, 1}, {OTP_DELIVERED, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start(0);
        fake.answers[0] = rows[i].delivery;
        fake.answer.rejected_profiles = rows[i].rejected;
        fake.answer.final = true;
        ck_assert_int_eq(put_states(10), OTELPROF_E_EXPORT);
        ck_assert_uint_eq(stats_of().windows_exported, 0);
        ck_assert_uint_eq(stats_of().windows_dropped, 1);
        memset(&fake.answer, 0, sizeof(fake.answer));
        fake.answers[0] = OTP_DELIVERED;
        ck_assert_int_eq(put_states(10), 0);
        ck_assert_int_eq(fake.fired, 3 + 3); /* the first window's counters are not lost with it */
        ck_assert_uint_eq(stats_of().windows_exported, 1);
        otp_worker_stop(worker, in_ms(5000), NULL);
    }
}
END_TEST

START_TEST(states_without_memory_to_encode_are_a_window_dropped) {
    start_with(0, 64 << 10);
    ck_assert_int_eq(put_states(5000), OTELPROF_E_EXPORT);
    ck_assert_uint_eq(fake.sends, 0);
    ck_assert_uint_eq(stats_of().windows_exported, 0);
    ck_assert_uint_eq(stats_of().windows_dropped, 1);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

/* The estimate of what was allocated rounds to nothing: it is neither lost nor left. */
START_TEST(values_that_round_to_nothing_are_no_loss) {
    start(0);
    struct otp_window *window = fixture_window(OTELPROF_DETAIL_FULL, 0);
    struct otp_frame_ref frames[] = {{.address = 0x1010, .mapping = fixture_mapping(window, 1, "/bin/one")}};
    struct otp_sample sample = fixture_heap_sample(OTP_PROFILE_ALLOC_OBJECTS, frames, 1, 0.1, 0.1);
    otp_window_add(window, &sample);
    otp_window_add(window, &sample);
    otp_window_close(window, START_NS + SECOND_NS, NULL);
    otp_worker_put(worker, window);
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(fake.sends, 0);
    ck_assert_uint_eq(stats_of().samples_exported, 2);
    ck_assert_uint_eq(stats_of().lost_export_failed, 0);
    ck_assert_uint_eq(stats_of().windows_exported, 1);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

static atomic_int warnings;

static void count_warnings(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    if (level == OTELPROF_LOG_WARN && strstr(message, "export to the test: "))
        atomic_fetch_add(&warnings, 1);
}

START_TEST(each_kind_of_trouble_is_told_once_a_minute) {
    start(0);
    warnings = 0;
    otp_log_set(count_warnings, NULL, OTELPROF_LOG_INFO);
    fake.answers[0] = OTP_DELIVERY_FAILED;
    for (int i = 0; i < 20; i++) {
        fake.answer.code = i < 10 ? 401 : 503;
        snprintf(fake.answer.text, sizeof(fake.answer.text), "no");
        otp_worker_put(worker, window_of(1));
        otp_worker_flush(worker, in_ms(5000));
    }
    ck_assert_int_eq(warnings, 2);
    otp_worker_stop(worker, in_ms(5000), NULL);
    otp_log_set(NULL, NULL, OTELPROF_LOG_ERROR);
}
END_TEST

START_TEST(stop_waits_for_no_attempts_to_come) {
    start(0);
    fake.answers[0] = OTP_DELIVERY_RETRY;
    otp_worker_put(worker, window_of(7));
    await(&fake.entered);
    uint64_t before = otp_clock_ns(CLOCK_MONOTONIC), deadline = in_ms(10000);
    struct otelprof_stats stats = {.size = sizeof(stats)};
    ck_assert_int_eq(otp_worker_stop(worker, deadline, &stats), OTELPROF_E_EXPORT);
    ck_assert_uint_lt(otp_clock_ns(CLOCK_MONOTONIC) - before, 3000 * MS);
    ck_assert_uint_eq(stats.lost_export_failed, 7);
    ck_assert_uint_lt(fake.hurried_ns, deadline); /* so much earlier that the thread can end by then */
    ck_assert_uint_gt(fake.hurried_ns, deadline - 200 * MS);
}
END_TEST

START_TEST(stuck_exporter_keeps_nobody_past_the_deadline) {
    start(0);
    fake.stuck = true;
    otp_worker_put(worker, window_of(5));
    await(&fake.entered);
    otp_worker_put(worker, window_of(6));
    otp_worker_put(worker, window_of(7));
    uint64_t before = otp_clock_ns(CLOCK_MONOTONIC);
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(100)), OTELPROF_E_TIMEOUT);
    struct otelprof_stats stats = {.size = sizeof(stats)}, later = {.size = sizeof(later)};
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(100), &stats), OTELPROF_E_TIMEOUT);
    ck_assert_uint_lt(otp_clock_ns(CLOCK_MONOTONIC) - before, 2000 * MS);
    ck_assert_uint_eq(stats.lost_shutdown, 18);
    ck_assert_uint_eq(stats.samples_exported, 0);
    ck_assert_uint_eq(stats.windows_dropped, 3);
    sem_post(&fake.go); /* it comes back from the send, counts nothing any more, and ends */
    struct timespec pause = {0, 200000000};
    nanosleep(&pause, NULL);
    otp_worker_stats(worker, &later);
    ck_assert_uint_eq(later.lost_shutdown, 18);
    ck_assert_uint_eq(later.samples_exported, 0);
    ck_assert_uint_eq(fake.sends, 1);
    ck_assert_uint_eq(fake.closed, 0);
}
END_TEST

START_TEST(deadline_of_a_send_is_bounded) {
    start(0);
    otp_worker_put(worker, window_of(5));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_le(fake.last_deadline_ns, in_ms(10000));
    ck_assert_uint_ge(fake.last_deadline_ns, in_ms(0));
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

START_TEST(empty_windows_pass_their_counters_on) {
    start(0);
    struct otp_window *empty = fixture_window(OTELPROF_DETAIL_FULL, 0);
    otp_window_close(empty, START_NS + SECOND_NS, &(struct otelprof_stats){.samples_fired = 3, .lost_ring_full = 3});
    otp_worker_put(worker, empty);
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_uint_eq(fake.sends, 0);
    otp_worker_put(worker, window_of(2));
    ck_assert_int_eq(otp_worker_flush(worker, in_ms(5000)), 0);
    ck_assert_int_eq(fake.fired, 5);
    ck_assert_uint_eq(stats_of().windows_exported, 2);
    otp_worker_stop(worker, in_ms(5000), NULL);
}
END_TEST

static void *flush_often(void *argument) {
    atomic_int *failures = argument;
    for (int i = 0; i < 50; i++) {
        int result = otp_worker_flush(worker, in_ms(10000));
        if (result && result != OTELPROF_E_EXPORT)
            atomic_fetch_add(failures, 1);
        stats_of();
    }
    return NULL;
}

START_TEST(many_threads_flush_while_windows_come) {
    pthread_t threads[4];
    atomic_int failures = 0;
    uint64_t samples = 0;
    start((size_t)1 << 20);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, flush_often, &failures);
    for (uint64_t i = 0; i < 200; i++) {
        otp_worker_put(worker, window_of(1 + i % 7));
        samples += 1 + i % 7;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(failures, 0);
    struct otelprof_stats stats = {.size = sizeof(stats)};
    otp_worker_stop(worker, in_ms(20000), &stats);
    ck_assert_uint_eq(stats.samples_exported + stats.lost_window_dropped + stats.lost_shutdown, samples);
    ck_assert_uint_eq(stats.samples_exported, fake.events);
}
END_TEST

/* The child was made while the worker was at work, and perhaps held its lock: no call may touch it. */
START_TEST(forked_child_touches_nothing) {
    start(0);
    fake.stuck = true;
    otp_worker_put(worker, window_of(5));
    await(&fake.entered);
    pid_t child = fork();
    if (!child) {
        alarm(20);
        otp_worker_forked_child(worker);
        struct otelprof_stats stats = {.size = sizeof(stats)};
        otp_worker_stats(worker, &stats);
        int good = otp_worker_flush(worker, UINT64_MAX) == OTELPROF_E_STATE &&
                   otp_worker_stop(worker, UINT64_MAX, &stats) == OTELPROF_E_STATE && !stats.samples_exported;
        _exit(good ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
    sem_post(&fake.go);
    ck_assert_int_eq(otp_worker_stop(worker, in_ms(5000), NULL), 0);
    ck_assert_uint_eq(fake.events, 5);
}
END_TEST

/* ------------------------------------------------------------------------------------------ base/thread.h */

struct seen {
    sigset_t blocked;
    char name[17];
    int policy;
    size_t stack_bytes;
    cpu_set_t cpus;
};

static void *look(void *argument) {
    struct seen *seen = argument;
    pthread_attr_t attributes;
    struct sched_param parameter;
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    prctl(PR_GET_NAME, seen->name);
    pthread_getschedparam(pthread_self(), &seen->policy, &parameter);
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &seen->stack_bytes);
    pthread_attr_destroy(&attributes);
    sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
    return NULL;
}

START_TEST(thread_takes_nothing_over) {
    struct seen seen = {.name = ""};
    sigset_t before, after;
    cpu_set_t all, one;
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    sched_getaffinity(0, sizeof(all), &all);
    ck_assert_int_eq(otp_thread_start("otelprof-export-and-more", look, &seen, &thread), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal_number = 1; signal_number < 65; signal_number++)
        ck_assert_int_eq(sigismember(&before, signal_number), sigismember(&after, signal_number));
    ck_assert_str_eq(seen.name, "otelprof-export");
    ck_assert_int_eq(seen.policy, SCHED_OTHER);
    ck_assert(CPU_EQUAL(&seen.cpus, &all));
    ck_assert_int_eq(sigismember(&seen.blocked, SIGXFSZ), 1);
    ck_assert_int_eq(sigismember(&seen.blocked, SIGPROF), 1);
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (!CPU_ISSET(0, &all) || sched_setaffinity(0, sizeof(one), &one))
        return;
    ck_assert_int_eq(otp_thread_start("x", look, &seen, &thread), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(CPU_COUNT(&seen.cpus), 1); /* the main thread pinned itself: that is what the process may use */
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
static int refusals[3], refusal;

static int refusing_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    if (refusal < 3 && refusals[refusal])
        return refusals[refusal++];
    return otp_sys_real.thread_create(thread, attributes, body, argument);
}

START_TEST(thread_falls_back) {
    static const struct {
        int refusals[3];
        int result;
        bool small;
    } rows[] = {
        {{0}, 0, true},
        {{EPERM}, 0, true},           /* class may not be changed */
        {{EINVAL, EINVAL}, 0, false}, /* stack too small for its thread-local storage */
        {{EAGAIN}, OTELPROF_E_SYSTEM, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct seen seen = {.name = ""};
        pthread_t thread;
        memcpy(refusals, rows[i].refusals, sizeof(refusals));
        refusal = 0;
        otp_sys.thread_create = refusing_create;
        otp_thread_set_overhead(64 << 10);
        int result = otp_thread_start("x", look, &seen, &thread);
        otp_sys = otp_sys_real;
        ck_assert_int_eq(result, rows[i].result);
        if (result)
            continue;
        pthread_join(thread, NULL);
        ck_assert_msg((seen.stack_bytes <= OTP_THREAD_STACK_BYTES * 2) == rows[i].small, "row %zu: %zu", i,
                      seen.stack_bytes);
    }
}
END_TEST

START_TEST(worker_that_cannot_start_closes_its_exporter) {
    memset(&fake, 0, sizeof(fake));
    fake.base.ops = &fake_ops;
    const struct otp_worker_config config = {.exporter = &fake.base};
    memcpy(refusals, (int[3]){EAGAIN}, sizeof(refusals));
    refusal = 0;
    otp_sys.thread_create = refusing_create;
    int result = otp_worker_start(&config, &worker);
    otp_sys = otp_sys_real;
    ck_assert_int_eq(result, OTELPROF_E_SYSTEM);
    ck_assert_uint_eq(fake.closed, 1);
}
END_TEST
#endif

int main(void) {
    Suite *suite = suite_create("export_worker");
    TCase *tests = tcase_create("worker");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, windows_go_out_in_order);
    tcase_add_test(tests, stop_exports_what_waits);
    tcase_add_test(tests, full_queue_drops_the_oldest);
    tcase_add_test(tests, window_larger_than_the_queue_is_dropped);
    tcase_add_test(tests, failure_is_counted_and_told);
    tcase_add_test(tests, what_may_be_taken_later_is_sent_again);
    tcase_add_test(tests, patience_ends);
    tcase_add_test(tests, an_answer_that_is_final_is_not_sent_again);
    tcase_add_test(tests, receivers_wish_to_be_left_alone_counts);
    tcase_add_test(tests, rejected_profiles_are_counted);
    tcase_add_test(tests, a_request_that_is_too_large_comes_in_parts);
    tcase_add_test(tests, states_are_delivered_without_events);
    tcase_add_test(tests, states_that_fail_are_a_window_dropped);
    tcase_add_test(tests, states_without_memory_to_encode_are_a_window_dropped);
    tcase_add_test(tests, values_that_round_to_nothing_are_no_loss);
    tcase_add_test(tests, each_kind_of_trouble_is_told_once_a_minute);
    tcase_add_test(tests, stop_waits_for_no_attempts_to_come);
    tcase_add_test(tests, stuck_exporter_keeps_nobody_past_the_deadline);
    tcase_add_test(tests, deadline_of_a_send_is_bounded);
    tcase_add_test(tests, empty_windows_pass_their_counters_on);
    tcase_add_test(tests, many_threads_flush_while_windows_come);
    tcase_add_test(tests, forked_child_touches_nothing);
    tcase_add_test(tests, thread_takes_nothing_over);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_test(tests, thread_falls_back);
    tcase_add_test(tests, worker_that_cannot_start_closes_its_exporter);
#endif
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

// SPDX-License-Identifier: Apache-2.0
/* Span calls on many threads: slots claimed and given back, and a reader that must never see a record in the making. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "context/thread.h"
#include "context_fixture.h"

#ifndef __SANITIZE_THREAD__
#define CHURN_ROUNDS 4000
#define DESTRUCTOR_ROUNDS 6
#define INTERRUPTS_MIN 1000
#else
#define CHURN_ROUNDS 400
#define DESTRUCTOR_ROUNDS 2 /* it takes its own state of the thread down in a later one */
#define INTERRUPTS_MIN 1    /* it holds signals back until the next call that it knows */
#endif
#define CHURN_THREADS 64

static struct otp_context_memory memory;
static _Atomic bool stop;
static _Atomic uint64_t records_read;
static _Atomic uint64_t records_valid;
static _Atomic uint64_t records_torn;

/* A record is whole if all of its bytes follow from its first one: the writers below keep to that. */
static bool whole(const struct otp_thread_record *record) {
    uint8_t seed = record->trace_id[0];
    for (int i = 0; i < 16; i++)
        if (record->trace_id[i] != seed)
            return false;
    for (int i = 0; i < 8; i++)
        if (record->span_id[i] != seed)
            return false;
    if (record->trace_flags != seed || record->attrs_size > OTP_RECORD_ATTRS_MAX)
        return false;
    for (uint32_t at = 0; at < record->attrs_size; at += 2u + record->attrs[at + 1]) {
        if (at + 2u + record->attrs[at + 1] > record->attrs_size)
            return false;
        for (uint32_t i = 1; i < record->attrs[at + 1]; i++)
            if (record->attrs[at + 2 + i] != record->attrs[at + 2])
                return false;
    }
    return true;
}

/*
 * What a program on another CPU does: copy, then look at the generation again. ThreadSanitizer must not look in here:
 * reading bytes that may be changing, and throwing them away then, is the protocol.
 */
#ifdef __SANITIZE_THREAD__
__attribute__((no_sanitize("thread")))
#endif
static void
read_slot(const struct otp_slot *slot) {
    const volatile uint32_t *generation_at = &slot->generation;
    uint32_t generation = *generation_at;
    atomic_signal_fence(memory_order_seq_cst);
    struct otp_thread_record copy;
    const volatile uint64_t *from = (const volatile uint64_t *)(const volatile void *)&slot->record[generation & 1];
    uint64_t words[sizeof(copy) / 8];
    for (size_t i = 0; i < sizeof(copy) / 8; i++)
        words[i] = from[i];
    atomic_signal_fence(memory_order_seq_cst);
    if (*generation_at != generation)
        return;
    memcpy(&copy, words, sizeof(copy));
    atomic_fetch_add(&records_read, 1);
    if (copy.valid != 1)
        return;
    atomic_fetch_add(&records_valid, 1);
    if (!whole(&copy))
        atomic_fetch_add(&records_torn, 1);
}

static void *reader(void *argument) {
    (void)argument;
    while (!atomic_load(&stop)) {
        for (uint32_t i = 0; i < memory.slot_count; i++)
            read_slot(&memory.slots[i]);
        sched_yield();
    }
    return NULL;
}

static struct otelprof_span_token enter(uint8_t seed) {
    uint8_t trace[16];
    uint8_t span[8];
    memset(trace, seed, sizeof(trace));
    memset(span, seed, sizeof(span));
    return otelprof_span_enter(trace, span, seed);
}

static void *churn(void *argument) {
    uint32_t random = (uint32_t)(uintptr_t)argument;
    int key = otelprof_attribute_key("k");
    for (int i = 0; i < CHURN_ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        struct otelprof_span_token outer = enter((uint8_t)(random >> 24 | 1));
        char value[40];
        size_t length = (random >> 16) % sizeof(value);
        memset(value, 'a' + (int)(random >> 8) % 26, sizeof(value));
        otelprof_span_attribute_key(key, value, length);
        struct otelprof_span_token inner = enter((uint8_t)(random >> 20 | 1));
        otelprof_span_attribute_key(key, value, length / 2);
        struct otelprof_context context;
        otelprof_context_capture(&context);
        if (i % 2)
            otelprof_span_exit(inner);
        otelprof_context_detach(otelprof_context_attach(&context));
        otelprof_span_exit(outer);
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

START_TEST(no_reader_sees_a_torn_record) {
    memory = fixture_start(CHURN_THREADS);
    pthread_t reading;
    pthread_t threads[CHURN_THREADS];
    ck_assert_int_eq(pthread_create(&reading, NULL, reader, NULL), 0);
    unsigned rounds = 0; /* until the reader has had its share of the CPUs */
    while (rounds < 4 || (atomic_load(&records_valid) < 2000 && rounds < 100)) {
        for (uintptr_t i = 0; i < CHURN_THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)(i * 977 + 1)), 0);
        for (int i = 0; i < CHURN_THREADS; i++)
            pthread_join(threads[i], NULL);
        otp_context_sweep();
        rounds++;
    }
    atomic_store(&stop, true);
    pthread_join(reading, NULL);
    ck_assert_uint_eq(atomic_load(&records_torn), 0);
    ck_assert_uint_ge(atomic_load(&records_valid), 2000);
    struct otelprof_stats stats = fixture_stats();
    ck_assert_uint_eq(stats.threads_without_slot, 0);
    ck_assert_uint_eq(stats.spans_out_of_order, 0);
    ck_assert_uint_eq(stats.threads_registered, rounds * CHURN_THREADS);
    for (uint32_t i = 0; i < memory.slot_count; i++)
        ck_assert_uint_eq(memory.slots[i].owner_tid, 0);
}
END_TEST

static void *read_one_slot(void *argument) {
    const struct otp_slot *slot = argument;
    while (!atomic_load(&stop))
        for (int i = 0; i < 1000; i++)
            read_slot(slot);
    return NULL;
}

/* One thread changes spans all the time, and one reads only it: millions of readings, many of them across a change. */
static void *tight_loop(void *argument) {
    int key = *(int *)argument;
    char value[64];
    for (uint32_t i = 0; !atomic_load(&stop); i++) {
        struct otelprof_span_token outer = enter((uint8_t)(i | 1));
        memset(value, 'a' + (int)(i % 26), sizeof(value));
        otelprof_span_attribute_key(key, value, i % sizeof(value));
        for (uint32_t j = 0; j < 30; j += 2) {
            struct otelprof_span_token inner = enter((uint8_t)((i + j) | 1));
            for (volatile uint32_t wait = 0; wait < 40; wait++) /* long enough for a reader to finish */
                ;
            otelprof_span_exit(inner);
        }
        otelprof_span_exit(outer);
    }
    return NULL;
}

START_TEST(no_reader_on_another_cpu_sees_a_torn_record) {
    memory = fixture_start(1);
    int key = otelprof_attribute_key("k");
    pthread_t writing;
    pthread_t reading;
    ck_assert_int_eq(pthread_create(&writing, NULL, tight_loop, &key), 0);
    ck_assert_int_eq(pthread_create(&reading, NULL, read_one_slot, &memory.slots[0]), 0);
    for (int i = 0; i < 200 && atomic_load(&records_valid) < 2000000; i++)
        usleep(100000);
    atomic_store(&stop, true);
    pthread_join(writing, NULL);
    pthread_join(reading, NULL);
    ck_assert_uint_eq(atomic_load(&records_torn), 0);
    ck_assert_uint_ge(atomic_load(&records_valid), 10000);
}
END_TEST

/* As the sampler: interrupts the owner at any instruction, looks once, and must find a whole record. */
static void interrupt(int signal_number) {
    (void)signal_number;
    const struct otp_slot *slot = &memory.slots[0];
    const struct otp_thread_record *record = &slot->record[slot->generation & 1];
    atomic_fetch_add(&records_read, 1);
    if (record->valid == 1) {
        atomic_fetch_add(&records_valid, 1);
        if (!whole(record))
            atomic_fetch_add(&records_torn, 1);
    }
    const struct otp_thread_record *shown = *(void *volatile *)&otel_thread_ctx_v1;
    if (shown && (shown->valid != 1 || !whole(shown)))
        atomic_fetch_add(&records_torn, 1);
}

START_TEST(no_interrupt_sees_a_torn_record) {
    memory = fixture_start(1);
    int key = otelprof_attribute_key("k");
    struct otelprof_span_token base = enter(1);
    struct sigaction action = {.sa_handler = interrupt};
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval interval = {{0, 50}, {0, 50}};
    ck_assert_int_eq(setitimer(ITIMER_REAL, &interval, NULL), 0);
    struct timespec from;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    uint32_t i = 0;
    do {
        for (int round = 0; round < 1000; round++, i++) {
            struct otelprof_span_token outer = enter((uint8_t)(i | 1));
            if (i % 8 == 0)
                otelprof_span_attribute_key(key, "xxxxxxxxxxxxxxxx", i % 16);
            otelprof_span_exit(enter((uint8_t)(i * 3 | 1)));
            otelprof_span_exit(outer);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - from.tv_sec < 3);
    memset(&interval, 0, sizeof(interval));
    setitimer(ITIMER_REAL, &interval, NULL);
    ck_assert_uint_eq(atomic_load(&records_torn), 0);
    ck_assert_uint_ge(atomic_load(&records_read), INTERRUPTS_MIN);
    ck_assert_uint_eq(atomic_load(&records_valid), atomic_load(&records_read)); /* inside `base` all the while */
    ck_assert_int_eq(otelprof_span_exit(base), 0);
}
END_TEST

static void *restarter(void *argument) {
    struct otp_context_memory *starts = argument;
    for (int i = 0; i < 200; i++) {
        otp_context_stop();
        ck_assert_int_eq(otp_context_start(&starts[i % 3]), 0);
        otp_context_sweep();
        usleep(200);
    }
    return NULL;
}

START_TEST(starts_and_stops_under_load) {
    struct otp_context_memory starts[3] = {fixture_start(64), fixture_memory(64), fixture_memory(32)};
    pthread_t threads[CHURN_THREADS];
    pthread_t restarting;
    ck_assert_int_eq(pthread_create(&restarting, NULL, restarter, starts), 0);
    for (int round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < CHURN_THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)(i * 977 + 1)), 0);
        for (int i = 0; i < CHURN_THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    pthread_join(restarting, NULL);
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < starts[s].slot_count; i++)
            ck_assert_uint_eq(starts[s].slots[i].owner_tid, 0);
}
END_TEST

static pthread_barrier_t barrier;

static void *hold_a_slot(void *argument) {
    _Atomic int *without = argument;
    struct otelprof_span_token token = enter(1);
    if (!token.serial)
        atomic_fetch_add(without, 1);
    else
        ck_assert_ptr_nonnull(fixture_record(&memory));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    otelprof_span_exit(token);
    return NULL;
}

START_TEST(no_slot_is_counted_and_slots_come_back) {
    memory = fixture_start(16);
    static _Atomic int without;
    pthread_t threads[20];
    pthread_barrier_init(&barrier, NULL, 21);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hold_a_slot, (void *)&without), 0);
    pthread_barrier_wait(&barrier);
    ck_assert_int_eq(atomic_load(&without), 4);
    ck_assert_uint_eq(enter(3).serial, 0);
    ck_assert_uint_eq(enter(3).serial, 0);
    ck_assert_uint_eq(fixture_stats().threads_without_slot, 6);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(fixture_stats().spans_out_of_order, 0);
    struct otelprof_span_token token = enter(3); /* the same thread that was refused before */
    ck_assert_uint_ne(token.serial, 0);
    ck_assert_ptr_nonnull(fixture_record(&memory));
    ck_assert_int_eq(otelprof_span_exit(token), 0);
}
END_TEST

static void *short_life(void *argument) {
    (void)argument;
    struct otelprof_span_token token = enter(7);
    ck_assert_ptr_nonnull(fixture_record(&memory));
    (void)token; /* ends inside its span */
    return NULL;
}

START_TEST(thousands_of_short_threads_share_few_slots) {
    memory = fixture_start(16);
    for (int i = 0; i < 3000; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, short_life, NULL), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_eq(fixture_stats().threads_without_slot, 0);
    ck_assert_uint_eq(fixture_stats().threads_registered, 3000);
    for (uint32_t i = 0; i < memory.index_size; i++)
        ck_assert(memory.index[i] == OTP_INDEX_EMPTY || memory.index[i] == OTP_INDEX_GONE);
}
END_TEST

static pthread_key_t late_key;

static void late_destructor(void *value) {
    /* Runs after or before ours, several times: the thread comes back each time. */
    struct otelprof_span_token token = enter(9);
    ck_assert_uint_ne(token.serial, 0);
    ck_assert_int_eq(otelprof_span_exit(token), 0);
    uintptr_t rounds = (uintptr_t)value;
    if (rounds > 1)
        pthread_setspecific(late_key, (void *)(rounds - 1));
}

static void *with_destructor(void *argument) {
    pthread_setspecific(late_key, argument);
    otelprof_span_exit(enter(8));
    return NULL;
}

START_TEST(span_calls_in_destructors) {
    memory = fixture_start(16);
    ck_assert_int_eq(pthread_key_create(&late_key, late_destructor), 0);
    for (uintptr_t i = 0; i < 100; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, with_destructor, (void *)(i % DESTRUCTOR_ROUNDS + 1)), 0);
        pthread_join(thread, NULL);
        otp_context_sweep(); /* what came back after the last round is the sweep's */
    }
    ck_assert_uint_eq(fixture_stats().threads_without_slot, 0);
    for (uint32_t i = 0; i < memory.slot_count; i++)
        ck_assert_uint_eq(memory.slots[i].owner_tid, 0);
}
END_TEST

/* A thread that ends without its destructors leaves its entry behind, as this makes it look. */
static void leave_behind(uint32_t tid) {
    struct otp_live *live = atomic_load(&otp_live_now);
    struct otp_thread *thread = otp_pool_claim(live->pool, tid);
    ck_assert_ptr_nonnull(thread);
    __atomic_store_n(&memory.slots[thread->number].owner_tid, tid, __ATOMIC_RELEASE);
    memory.index[otp_index_hash(tid) & (memory.index_size - 1)] = OTP_INDEX_ENTRY(tid, thread->number);
}

static uint32_t dead_tid(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    return (uint32_t)child;
}

START_TEST(the_sweep_releases_what_dead_threads_left) {
    memory = fixture_start(4);
    for (int i = 0; i < 3; i++)
        leave_behind(dead_tid());
    struct otelprof_span_token token = enter(1);
    ck_assert_uint_ne(token.serial, 0);
    uint32_t mine = (uint32_t)gettid();
    otp_context_sweep();
    int owned = 0;
    for (uint32_t i = 0; i < memory.slot_count; i++) {
        owned += memory.slots[i].owner_tid != 0;
        ck_assert(memory.slots[i].owner_tid == 0 || memory.slots[i].owner_tid == mine);
    }
    ck_assert_int_eq(owned, 1);
    ck_assert_ptr_nonnull(fixture_record(&memory));
    for (uint32_t i = 0; i < 3; i++)
        leave_behind(dead_tid()); /* all three can be claimed again */
    otp_context_sweep();
    otp_context_sweep();
    ck_assert_int_eq(otelprof_span_exit(token), 0);
}
END_TEST

START_TEST(a_reused_thread_id_takes_over_the_entry_of_the_dead) {
    memory = fixture_start(2);
    leave_behind((uint32_t)gettid()); /* an earlier thread had our id */
    struct otelprof_span_token token = enter(1);
    ck_assert_uint_ne(token.serial, 0);
    ck_assert_ptr_nonnull(fixture_record(&memory));
    ck_assert_uint_eq(memory.slots[0].owner_tid, 0);
    ck_assert_uint_eq(memory.slots[1].owner_tid, (uint32_t)gettid());
    otp_context_sweep();
    ck_assert_ptr_nonnull(fixture_record(&memory));
    ck_assert_int_eq(otelprof_span_exit(token), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("span_threads");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 240);
    tcase_add_test(all, no_reader_sees_a_torn_record);
    tcase_add_test(all, no_reader_on_another_cpu_sees_a_torn_record);
    tcase_add_test(all, no_interrupt_sees_a_torn_record);
    tcase_add_test(all, starts_and_stops_under_load);
    tcase_add_test(all, no_slot_is_counted_and_slots_come_back);
    tcase_add_test(all, thousands_of_short_threads_share_few_slots);
    tcase_add_test(all, span_calls_in_destructors);
    tcase_add_test(all, the_sweep_releases_what_dead_threads_left);
    tcase_add_test(all, a_reused_thread_id_takes_over_the_entry_of_the_dead);
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

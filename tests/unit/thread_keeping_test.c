// SPDX-License-Identifier: Apache-2.0
/* What the profiler thread knows of threads: when to look, what a pass gives, what it remembers, which lock it is. */
#include "capture/thread_split.h"
#include "core/futex_lock.h"
#include "core/syscall_names.h"
#include "core/thread_book.h"
#include "core/thread_pace.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "context_slot.h"
#include "test_main.h"

#define MS 1000000ull
#define SECOND (1000 * MS)

/* ---- pace */

struct paced {
    double ticks, share, shortest_ns, longest_ns;
};

/* Ten minutes of ticks, each of which costs `cost_ns` and up to `noise_ns` more. */
static struct paced pace_for(uint32_t permille, uint64_t cost_ns, uint64_t noise_ns) {
    struct otp_thread_pace pace;
    struct paced paced = {0, 0, 1e18, 0};
    uint64_t now = 1000 * SECOND, end = now + 600 * SECOND, spent = 0, seed = 5;
    otp_thread_pace_init(&pace, SECOND / 100, permille, 42);
    otp_thread_pace_start(&pace, now);
    ck_assert_uint_eq(pace.next_ns, now);
    while (now < end) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t cost = cost_ns + (noise_ns ? (seed >> 33) % noise_ns : 0), before = now;
        otp_thread_pace_ticked(&pace, now, cost);
        ck_assert_uint_gt(pace.next_ns, now);
        now = pace.next_ns;
        double gap = (double)(now - before);
        spent += cost;
        paced.ticks++;
        paced.shortest_ns = gap < paced.shortest_ns ? gap : paced.shortest_ns;
        paced.longest_ns = gap > paced.longest_ns ? gap : paced.longest_ns;
    }
    paced.share = (double)spent / (600.0 * (double)SECOND);
    return paced;
}

START_TEST(ticks_come_at_the_rate_and_unevenly) {
    struct paced free_of_charge = pace_for(10, 20000, 0), unlimited = pace_for(0, 20 * MS, 0);
    ck_assert_double_eq_tol(free_of_charge.ticks, 60000, 600);
    ck_assert_double_eq_tol(unlimited.ticks, 60000, 600);
    ck_assert_double_lt(free_of_charge.shortest_ns, 5.1 * MS);
    ck_assert_double_ge(free_of_charge.shortest_ns, 4.9 * MS);
    ck_assert_double_gt(free_of_charge.longest_ns, 14.9 * MS);
    ck_assert_double_le(free_of_charge.longest_ns, 15.1 * MS);
}
END_TEST

START_TEST(the_budget_is_kept) {
    static const struct {
        uint32_t permille;
        uint64_t cost_ns, noise_ns;
    } rows[] = {{10, 110000, 0},        {10, 190000, 400000}, {10, 2 * MS, 0},
                {10, 20 * MS, 20 * MS}, {1, 1 * MS, MS},      {100, 3 * MS, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct paced paced = pace_for(rows[i].permille, rows[i].cost_ns, rows[i].noise_ns);
        double budget = rows[i].permille / 1000.0, mean = (double)rows[i].cost_ns + (double)rows[i].noise_ns / 2;
        ck_assert_double_le(paced.share, budget * 1.01);
        ck_assert_double_ge(paced.share, budget * 0.80); /* and it is used */
        ck_assert_double_le(paced.longest_ns, 12 * mean / budget);
        ck_assert_double_lt(paced.shortest_ns * 1.2, paced.longest_ns);
    }
}
END_TEST

/* ---- passes */

struct seen {
    size_t count;
    uint32_t tids[16];
};

static void on_thread(void *user, const struct otp_thread_state *state, const void *record, size_t size) {
    struct seen *seen = user;
    struct otp_record header;
    memcpy(&header, record, sizeof(header));
    ck_assert_uint_eq(size, sizeof(header) + (header.kernel_frames + header.user_frames) * 8u + header.context_size);
    ck_assert_int_eq(state->syscall, (int)header.tid + 100);
    ck_assert_uint_lt(seen->count, 16);
    seen->tids[seen->count++] = header.tid;
}

/* A thread of a pass at `to`; its length. */
static size_t put_thread(uint8_t *to, uint32_t tid, unsigned kernel, unsigned user, unsigned context) {
    const struct otp_thread_state state = {.syscall = (int)tid + 100};
    const struct otp_record header = {.version = OTP_RECORD_VERSION,
                                      .type = OTP_RECORD_THREAD,
                                      .kernel_frames = (uint16_t)kernel,
                                      .user_frames = (uint16_t)user,
                                      .context_size = (uint16_t)context,
                                      .tid = tid};
    memcpy(to, &state, sizeof(state));
    memcpy(to + sizeof(state), &header, sizeof(header));
    size_t body = (kernel + user) * 8u + context;
    memset(to + sizeof(state) + sizeof(header), 0x5a, body);
    return sizeof(state) + sizeof(header) + body;
}

START_TEST(a_pass_is_taken_apart_wherever_it_is_cut) {
    uint8_t bytes[8192];
    size_t ends[4] = {0};
    ends[1] = put_thread(bytes, 1, 0, 0, 0);
    ends[2] = ends[1] + put_thread(bytes + ends[1], 2, 3, 20, 33);
    ends[3] = ends[2] + put_thread(bytes + ends[2], 3, OTP_KERNEL_FRAMES_MAX, OTP_FRAMES_MAX, 256);
    for (size_t size = 0; size <= ends[3]; size++) {
        struct seen seen = {0};
        size_t whole = size >= ends[3] ? 3 : size >= ends[2] ? 2 : size >= ends[1];
        ck_assert_uint_eq(otp_thread_pass_split(bytes, size, on_thread, &seen), ends[whole]);
        ck_assert_uint_eq(seen.count, whole);
        for (size_t i = 0; i < whole; i++)
            ck_assert_uint_eq(seen.tids[i], i + 1);
    }
}
END_TEST

START_TEST(what_is_no_pass_is_refused) {
    static const struct {
        size_t offset;
        uint8_t value;
    } rows[] = {{offsetof(struct otp_record, version), 99},
                {offsetof(struct otp_record, type), OTP_RECORD_CPU},
                {offsetof(struct otp_record, kernel_frames), OTP_KERNEL_FRAMES_MAX + 1},
                {offsetof(struct otp_record, user_frames) + 1, 0x7f},
                {offsetof(struct otp_record, context_size) + 1, 0x7f}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[1024];
        struct seen seen = {0};
        size_t size = put_thread(bytes, 1, 1, 2, 28);
        bytes[sizeof(struct otp_thread_state) + rows[i].offset] = rows[i].value;
        ck_assert_uint_eq(otp_thread_pass_split(bytes, size, on_thread, &seen), SIZE_MAX);
        ck_assert_uint_eq(seen.count, 0);
    }
}
END_TEST

/* ---- what is remembered */

START_TEST(the_book_follows_threads) {
    struct otp_thread_book *book = otp_thread_book_new();
    for (uint32_t tid = 1; tid <= 5000; tid++) {
        struct otp_thread_entry *entry = otp_thread_book_entry(book, tid * 7);
        ck_assert_uint_eq(entry->serial, 0);
        entry->serial = tid % 2 ? 1 : 2;
        entry->cpu_units = tid;
    }
    ck_assert_uint_eq(otp_thread_book_count(book), 5000);
    otp_thread_book_sweep(book, 2);
    ck_assert_uint_eq(otp_thread_book_count(book), 2500);
    for (uint32_t tid = 1; tid <= 5000; tid++) {
        const struct otp_thread_entry *entry = otp_thread_book_find(book, tid * 7);
        ck_assert_int_eq(entry != NULL, tid % 2 == 0);
        ck_assert(!entry || entry->cpu_units == tid);
    }
    ck_assert_ptr_null(otp_thread_book_find(book, 3));
    otp_thread_book_free(book);
    otp_thread_book_free(NULL);
}
END_TEST

/* ---- locks */

/* As the program fills it for a thread that waits at `futex`. */
static struct otp_thread_state at_futex(const void *futex, int operation) {
    struct otp_thread_state state = {.syscall = SYS_futex, .lock_words_valid = 1};
    state.argument[0] = (uint64_t)(uintptr_t)futex;
    state.argument[1] = (uint64_t)operation;
    memcpy(state.lock_words, futex, sizeof(state.lock_words));
    return state;
}

static void *lock_and_wait(void *lock) {
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

/* By the C library's own objects, as they are while somebody holds them. */
START_TEST(owners_are_read_from_locks) {
    uint32_t self = (uint32_t)syscall(SYS_gettid);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct otp_thread_state state;
    pthread_t waiter;
    pthread_mutex_lock(&mutex);
    pthread_create(&waiter, NULL, lock_and_wait, &mutex);
    while (*(volatile int *)&mutex != 2) /* locked, with somebody who waits */
        ;
    state = at_futex(&mutex, FUTEX_WAIT_PRIVATE);
    struct otp_futex_lock lock = otp_futex_lock_read(&state, OTP_LOCK_MUTEX);
    ck_assert_uint_eq(lock.owner, self);
    ck_assert_uint_eq(lock.address, (uintptr_t)&mutex);
    ck_assert(!lock.timed);
    state.argument[2] = 1;
    ck_assert(otp_futex_lock_read(&state, OTP_LOCK_MUTEX).timed);
    state.lock_words[2] = 0x7fffffff; /* no thread's */
    ck_assert_uint_eq(otp_futex_lock_read(&state, OTP_LOCK_MUTEX).owner, 0);
    state.lock_words_valid = 0;
    ck_assert_uint_eq(otp_futex_lock_read(&state, OTP_LOCK_MUTEX).address, 0);
    pthread_mutex_unlock(&mutex);
    pthread_join(waiter, NULL);
    state = at_futex(&mutex, FUTEX_WAIT_PRIVATE);
    ck_assert_uint_eq(otp_futex_lock_read(&state, OTP_LOCK_MUTEX).owner, 0);

    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    const char *base = (const char *)&rwlock;
    pthread_rwlock_wrlock(&rwlock);
    for (size_t at = 8; at <= 12; at += 4) { /* where readers wait, and writers */
        state = at_futex(base + at, FUTEX_WAIT_PRIVATE);
        lock = otp_futex_lock_read(&state, at == 8 ? OTP_LOCK_READ : OTP_LOCK_WRITE);
        ck_assert_uint_eq(lock.owner, self);
        ck_assert_uint_eq(lock.address, (uintptr_t)&rwlock);
    }
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_rdlock(&rwlock); /* readers have no name */
    for (size_t at = 8; at <= 12; at += 4) {
        state = at_futex(base + at, FUTEX_WAIT_PRIVATE);
        ck_assert_uint_eq(otp_futex_lock_read(&state, OTP_LOCK_WRITE).owner, 0);
    }
    pthread_rwlock_unlock(&rwlock);

    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutex_lock(&mutex);
    state = at_futex(&mutex, FUTEX_LOCK_PI_PRIVATE);
    lock = otp_futex_lock_of(&state, NULL, 0); /* the operation alone says what it is */
    ck_assert_uint_eq(lock.kind, OTP_LOCK_MUTEX);
    ck_assert_uint_eq(lock.owner, self);
    pthread_mutex_unlock(&mutex);
    pthread_mutex_destroy(&mutex);
}
END_TEST

/* The C library's own: a sanitizer puts one of its own in front. */
static uint64_t libc_function(const char *name) {
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    void *address = libc ? dlsym(libc, name) : NULL;
    ck_assert_ptr_nonnull(address);
    dlclose(libc);
    return (uintptr_t)address;
}

START_TEST(the_function_on_the_stack_says_which_kind) {
    uint32_t words[8] = {2, 0, 1234};
    struct otp_thread_state state = at_futex(words, FUTEX_WAIT_PRIVATE);
    uint64_t mutex_lock = libc_function("pthread_mutex_lock"), wrlock = libc_function("pthread_rwlock_wrlock");
    struct otp_frame_ref frames[] = {{.address = mutex_lock + 1, .kind = OTP_FRAME_KERNEL}, /* not a user's */
                                     {.address = 0x1000},
                                     {.address = mutex_lock + 4},
                                     {.address = wrlock + 4}};
    otp_futex_lock_find_functions();
    struct otp_futex_lock lock = otp_futex_lock_of(&state, frames, 4);
    ck_assert_uint_eq(lock.kind, OTP_LOCK_MUTEX);
    ck_assert_uint_eq(lock.owner, 1234);
    frames[2].address = libc_function("pthread_cond_wait") + 4;
    ck_assert_uint_eq(otp_futex_lock_of(&state, frames, 4).kind, OTP_LOCK_WRITE);
    ck_assert_uint_eq(otp_futex_lock_of(&state, frames, 3).kind, 0);
    state.syscall = SYS_read;
    ck_assert_uint_eq(otp_futex_lock_of(&state, frames, 4).kind, 0);
}
END_TEST

START_TEST(system_calls_have_names) {
    ck_assert_str_eq(otp_syscall_name(SYS_futex), "futex");
    ck_assert_str_eq(otp_syscall_name(SYS_read), "read");
    ck_assert_str_eq(otp_syscall_name(SYS_epoll_pwait), "epoll_pwait");
    ck_assert_str_eq(otp_syscall_name(SYS_clock_nanosleep), "clock_nanosleep");
    ck_assert_str_eq(otp_syscall_name(SYS_fcntl), "fcntl");
    ck_assert_str_eq(otp_syscall_name(SYS_io_uring_enter), "io_uring_enter");
    ck_assert_str_eq(otp_syscall_name(-1), "");
    ck_assert_ptr_null(otp_syscall_name(100000));
    ck_assert_ptr_null(otp_syscall_name(-2));
}
END_TEST

OTP_TEST_MAIN("thread_keeping", 120, ticks_come_at_the_rate_and_unevenly, the_budget_is_kept,
              a_pass_is_taken_apart_wherever_it_is_cut, what_is_no_pass_is_refused, the_book_follows_threads,
              owners_are_read_from_locks, the_function_on_the_stack_says_which_kind, system_calls_have_names)

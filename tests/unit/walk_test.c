// SPDX-License-Identifier: Apache-2.0
/*
 * Walks over live stacks of this program against call chains that it knows: every function notes the address that it
 * will return to, and the walk must find the same, frame for frame, up to the root.
 */
#include <check.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "own_tables.h"
#include "test_main.h"

#define DEEP 100
#define NOINLINE __attribute__((noinline))

static struct own_tables own;
static struct walked walked;
static uint64_t chain[WALK_MAX]; /* return addresses, outermost first */
static size_t chain_length;
static volatile unsigned sink; /* keeps calls from becoming jumps */

#define NOTE_RETURN() (chain[chain_length++] = (uint64_t)(uintptr_t)__builtin_return_address(0))

/* Frames from `first` on are the chain, innermost first. */
static void expect_chain(size_t first, size_t length) {
    ck_assert_uint_ge(walked.result.count, first + length);
    for (size_t i = 0; i < length; i++)
        ck_assert_msg(walked.frames[first + i] == chain[length - 1 - i] - 1, "frame %zu: 0x%llx, not 0x%llx", first + i,
                      (unsigned long long)walked.frames[first + i], (unsigned long long)chain[length - 1 - i] - 1);
}

static void expect_complete(void) {
    ck_assert_msg(walked.result.stop == OTP_STOP_COMPLETE, "stop %d after %u frames, at 0x%llx", walked.result.stop,
                  walked.result.count, (unsigned long long)walked.frames[walked.result.count - 1]);
    ck_assert_uint_eq(walked.result.directory, own.memory.control->directory);
}

/* The first frame at or after `from` that lies in the module of `address`, or not in it. */
static size_t next_frame(size_t from, const void *address, bool inside) {
    const struct otp_module *module = otp_modules_find(own.modules, (uint64_t)(uintptr_t)address, UINT32_MAX - 1);
    ck_assert_ptr_nonnull(module);
    for (; from < walked.result.count; from++)
        if ((walked.frames[from] >= module->start && walked.frames[from] < module->end) == inside)
            return from;
    ck_abort_msg("no such frame");
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- recursion */

static NOINLINE void recursion(unsigned depth, uint32_t max) {
    NOTE_RETURN();
    if (depth)
        recursion(depth - 1, max);
    else
        WALK_HERE(&own.memory, &walked, max);
    sink++;
}

/* A frame of a size that only the program knows: the frame pointer is needed. */
static NOINLINE void variable_frames(unsigned depth) {
    NOTE_RETURN();
    volatile char *bytes = __builtin_alloca(16 + depth * 40);
    bytes[depth] = 1;
    if (depth)
        variable_frames(depth - 1);
    else
        WALK_HERE(&own.memory, &walked, WALK_MAX);
    sink += (unsigned)bytes[depth];
}

START_TEST(own_functions) {
    own = own_new(2);
    recursion(DEEP, WALK_MAX);
    expect_chain(1, DEEP + 1);
    expect_complete();
    chain_length = 0;
    variable_frames(50);
    expect_chain(1, 51);
    expect_complete();
    own_free(&own);
}
END_TEST

START_TEST(too_deep) {
    own = own_new(2);
    recursion(DEEP, 64);
    ck_assert_uint_eq(walked.result.count, 64);
    ck_assert_int_eq(walked.result.stop, OTP_STOP_DEPTH);
    ck_assert_uint_eq(walked.frames[63], chain[DEEP + 1 - 63] - 1);
    own_free(&own);
}
END_TEST

/* --------------------------------------------------------------------------------------------- through libraries */

static int compare(const void *a, const void *b) {
    static unsigned calls;
    if (++calls == 5000) /* in the middle; a sanitizer's qsort first tries the function by itself */
        WALK_HERE(&own.memory, &walked, WALK_MAX);
    return *(const int *)a - *(const int *)b;
}

static NOINLINE void sort(void) {
    int numbers[2000]; /* enough for qsort's own memory, and its recursion */
    NOTE_RETURN();
    for (int i = 0; i < 2000; i++)
        numbers[i] = i * 7919 % 2000;
    qsort(numbers, 2000, sizeof(numbers[0]), compare);
    sink += (unsigned)numbers[0];
}

START_TEST(qsort_callback) {
    own = own_new(2);
    sort();
    size_t libc = next_frame(0, (const void *)(uintptr_t)&sort, false);
    ck_assert_uint_eq(libc, 1);
    size_t caller = next_frame(libc, (const void *)(uintptr_t)&sort, true);
    ck_assert_uint_gt(caller, libc + 1); /* qsort recursed */
    expect_chain(caller + 1, 1);
    expect_complete();
    own_free(&own);
}
END_TEST

static unsigned long hash_callback(const void *data) {
    (void)data;
    WALK_HERE(&own.memory, &walked, WALK_MAX);
    return 1;
}

static int compare_callback(const void *a, const void *b) { return a != b; }

static NOINLINE void insert(void *(*insert_in)(void *, void *), void *table) {
    NOTE_RETURN();
    insert_in(table, chain);
    sink++;
}

START_TEST(library_loaded_later) {
    own = own_new(4);
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    if (!library) {
        puts("skipped: no libcrypto.so.3");
        return;
    }
    void *(*new_table)(void *, void *) = NULL;
    void *(*insert_in)(void *, void *) = NULL;
    *(void **)&new_table = dlsym(library, "OPENSSL_LH_new");
    *(void **)&insert_in = dlsym(library, "OPENSSL_LH_insert");
    void (*free_table)(void *) = NULL;
    *(void **)&free_table = dlsym(library, "OPENSSL_LH_free");
    void *table = new_table((void *)(uintptr_t)&hash_callback, (void *)(uintptr_t)&compare_callback);
    insert(insert_in, table);
    if (walked.result.count == 2) { /* in no segment yet, unless something else had loaded it */
        ck_assert_int_eq(walked.result.stop, OTP_STOP_UNKNOWN_MODULE);
        chain_length = 0;
        own_build(&own);
        ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
        insert(insert_in, table);
    }
    free_table(table);
    size_t inside = next_frame(0, (const void *)(uintptr_t)insert_in, true);
    ck_assert_uint_eq(inside, 1);
    size_t caller = next_frame(inside, (const void *)(uintptr_t)&insert, true);
    expect_chain(caller + 1, 1);
    expect_complete();
    own_free(&own);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- signals */

static uint64_t interrupted_pc;
static struct walked interrupted;

static void handler(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    struct otp_frame frame = frame_of(context, 1);
    interrupted_pc = frame.pc;
    interrupted.result = otp_walk(&own.memory, &frame, NULL, read_stack, NULL, interrupted.frames, WALK_MAX);
    WALK_HERE(&own.memory, &walked, WALK_MAX);
}

static NOINLINE void raising(unsigned depth) {
    NOTE_RETURN();
    if (depth)
        raising(depth - 1);
    else
        raise(SIGUSR1);
    sink++;
}

/* From inside the handler through the signal's frame, and from the interrupted registers: the same chain. */
static void signal_test(int flags) {
    static char other_stack[65536];
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    own = own_new(2);
    ck_assert_int_eq(sigaltstack(&stack, NULL), 0);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    raising(5);
    expect_complete();
    ck_assert_int_eq(interrupted.result.stop, OTP_STOP_COMPLETE);
    size_t at = 0;
    while (at < walked.result.count && walked.frames[at] != interrupted_pc)
        at++;
    ck_assert_uint_lt(at, walked.result.count);
    ck_assert_uint_le(at, 4);
    ck_assert_uint_eq(walked.result.count - at, interrupted.result.count);
    ck_assert_mem_eq(walked.frames + at, interrupted.frames, interrupted.result.count * sizeof(uint64_t));
    size_t caller = next_frame(at, (const void *)(uintptr_t)&raising, true);
    expect_chain(caller + 1, 6);
    own_free(&own);
}

START_TEST(signal_handler) { signal_test(0); }
END_TEST

START_TEST(signal_handler_on_a_stack_of_its_own) { signal_test(SA_ONSTACK); }
END_TEST

/* ------------------------------------------------------------------------------------------------------- threads */

static void *thread(void *argument) {
    recursion(10, WALK_MAX);
    return argument;
}

START_TEST(another_thread) {
    pthread_t id;
    own = own_new(2);
    ck_assert_int_eq(pthread_create(&id, NULL, thread, NULL), 0);
    ck_assert_int_eq(pthread_join(id, NULL), 0);
    expect_chain(1, 11);
    expect_complete();
    own_free(&own);
}
END_TEST

static int nothing_to_read(void *user, uint64_t address, uint64_t *word) {
    (void)user, (void)address, (void)word;
    return -1;
}

START_TEST(no_tables_and_no_stack) {
    struct otp_tables_memory empty = memory_new(16, 16);
    own = own_new(2);
    WALK_HERE(&empty, &walked, WALK_MAX);
    ck_assert_uint_eq(walked.result.count, 1);
    ck_assert_int_eq(walked.result.stop, OTP_STOP_NO_TABLES);
    ucontext_t here;
    getcontext(&here);
    struct otp_frame frame = frame_of(&here, 0);
    struct otp_walk_result result = otp_walk(&own.memory, &frame, NULL, nothing_to_read, NULL, walked.frames, WALK_MAX);
    ck_assert_uint_eq(result.count, 1);
    ck_assert_int_eq(result.stop, OTP_STOP_READ_FAULT);
    frame.pc = 16;
    result = otp_walk(&own.memory, &frame, NULL, read_stack, NULL, walked.frames, WALK_MAX);
    ck_assert_int_eq(result.stop, OTP_STOP_UNKNOWN_MODULE);
    own_free(&own);
    memory_free(&empty);
}
END_TEST

OTP_TEST_MAIN("walk", 120, own_functions, too_deep, qsort_callback, library_loaded_later, signal_handler,
              signal_handler_on_a_stack_of_its_own, another_thread, no_tables_and_no_stack)

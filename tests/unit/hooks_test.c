// SPDX-License-Identifier: Apache-2.0
/*
 * The hooks in this very program, which is linked with the library: its own words are changed. With an interval of one
 * byte every allocation is chosen.
 */
#include "hooks/heap.h"
#include "hooks/hook_ring.h"
#include "hooks/install.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "context_fixture.h"
#include "hooks/allocation_hooks.h"
#include "hooks/hook_state.h"
#include "hooks/hook_table.h"
#include "hooks/live_blocks.h"
#include "hooks/stack_ranges.h"
#include "own_tables.h"
#include "test_main.h"

#define LIVE_MAX 4096
#define MANY 4096
#define NOINLINE __attribute__((noinline))
#define SECOND_NS 1000000000u

/* Allocates nothing as long as it holds; Check's own do. */
#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("line %d: %s", __LINE__, #condition);                                                         \
    } while (0)

static struct own_tables own;
static volatile unsigned sink; /* keeps calls from becoming jumps */
static void *volatile kept;    /* keeps calls from being left out */

/* What was drained last, and the stack of the last one. */
static struct {
    struct otp_record records[MANY];
    uint64_t frames[OTP_FRAMES_MAX];
    struct otp_thread_record context;
    size_t count;
} seen;

static void take(void *user, const void *bytes, size_t size) {
    const struct otp_record *record = bytes;
    (void)user;
    NEED(record->version == OTP_RECORD_VERSION);
    NEED(record->type == OTP_RECORD_HEAP);
    NEED(size == sizeof(*record) + record->user_frames * sizeof(uint64_t) + record->context_size);
    if (seen.count < MANY)
        seen.records[seen.count++] = *record;
    memcpy(seen.frames, record + 1, record->user_frames * sizeof(uint64_t));
    memset(&seen.context, 0, sizeof(seen.context));
    memcpy(&seen.context, (const char *)(record + 1) + record->user_frames * sizeof(uint64_t), record->context_size);
}

static size_t drain(void) {
    seen.count = 0;
    return otp_hook_ring_drain(take, NULL);
}

/* The one record of this size, among those of the libraries' own allocations; NULL if there is none. */
static const struct otp_record *record_of(size_t size) {
    const struct otp_record *found = NULL;
    drain();
    for (size_t i = 0; i < seen.count; i++)
        if (seen.records[i].weight == size) {
            NEED(found == NULL);
            found = &seen.records[i];
        }
    return found;
}

static uint64_t soon(void) { return otp_clock_ns(CLOCK_MONOTONIC) + 10u * SECOND_NS; }

static void begin(uint64_t interval) {
    NEED(otp_fork_guard_arm() == 0);
    own = own_new(2);
    NEED(otp_hooks_install(OTP_HOOK_HEAP, LIVE_MAX) == 0);
    otp_hook_show_tables(&own.memory, NULL);
    NEED(otp_stack_ranges_look(soon()));
    otp_heap_enable(interval);
    for (int i = 0; i < 100; i++) { /* what this thread may still ask for without a look */
        kept = malloc(OTP_SAMPLER_BUDGET_OFF);
        free(kept);
    }
    drain();
}

static void end(void) {
    NEED(otp_heap_disable(soon()));
    drain();
    NEED(otp_hook_hide_tables(soon()));
    otp_hooks_remove(OTP_HOOK_HEAP);
    own_free(&own);
}

/* ------------------------------------------------------------------------------------------- what is recorded */

/* Valgrind has no pvalloc(), and takes absurd sizes for errors. */
static bool in_valgrind(void) { return getenv("OTP_TEST_VALGRIND") != NULL; }

static void *by_malloc(size_t size) { return malloc(size); }
static void *by_calloc(size_t size) { return calloc(1, size); }
static void *by_realloc(size_t size) { return realloc(NULL, size); }
static void *by_reallocarray(size_t size) { return reallocarray(NULL, size / 8, 8); }
static void *by_aligned_alloc(size_t size) { return aligned_alloc(16, size); }
static void *by_memalign(size_t size) { return memalign(64, size); }
static void *by_valloc(size_t size) { return valloc(size); }
static void *by_pvalloc(size_t size) { return pvalloc(size); }

static void *by_posix_memalign(size_t size) {
    void *block = NULL;
    return posix_memalign(&block, 128, size) ? NULL : block;
}

static void *by_strdup(size_t size) { /* the C library's own call */
    char text[8192];
    memset(text, 'x', size - 1);
    text[size - 1] = 0;
    return strdup(text);
}

START_TEST(each_function) {
    void *(*const functions[])(size_t) = {by_malloc,         by_calloc,   by_realloc, by_reallocarray, by_aligned_alloc,
                                          by_posix_memalign, by_memalign, by_valloc,  by_pvalloc,      by_strdup};
    begin(1);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        size_t size = 4096 + 16 * i;
        if (functions[i] == by_pvalloc && in_valgrind())
            continue;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (functions[i] == by_strdup) /* the sanitizer's own, which allocates by itself */
            continue;
#endif
        drain();
        char *block = functions[i](size);
        NEED(block != NULL);
        memset(block, 1, size - 1);
        const struct otp_record *record = record_of(size);
        NEED(record != NULL);
        NEED(record->interval == 1);
        NEED(otp_live_is(record->place, record->block));
        NEED(record->stop == OTP_STOP_COMPLETE);
        free(block);
        NEED(!otp_live_is(record->place, record->block));
    }
    end();
}
END_TEST

/* Where each of the callers will be returned to. */
static uint64_t chain[8];
static size_t chain_length;
#define NOTE_RETURN() (chain[chain_length++] = (uint64_t)(uintptr_t)__builtin_return_address(0))

static NOINLINE void innermost(size_t size) {
    NOTE_RETURN();
    kept = malloc(size);
    sink++;
}

static NOINLINE void middle(size_t size) {
    NOTE_RETURN();
    innermost(size);
    sink++;
}

static NOINLINE void outermost(size_t size) {
    NOTE_RETURN();
    middle(size);
    sink++;
}

START_TEST(stacks_and_spans) {
    struct otp_context_memory memory = fixture_memory(16);
    begin(1);
    NEED(otp_context_start(&memory) == 0);
    struct otelprof_span_token token = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    NEED(otelprof_span_attribute("http.route", "/x") == 0);
    drain();
    outermost(12345);
    NEED(drain() == 1);
    const struct otp_record *record = &seen.records[0];
    NEED(record->weight == 12345);
    /* The leaf is in innermost(), behind its call of malloc(); then the callers, frame for frame. */
    uint64_t start = (uint64_t)(uintptr_t)innermost;
    NEED(seen.frames[0] > start && seen.frames[0] < start + 2000);
    for (size_t i = 0; i < chain_length; i++)
        NEED(seen.frames[1 + i] == chain[chain_length - 1 - i] - 1);
    NEED(seen.context.valid == 1);
    NEED(!memcmp(seen.context.trace_id, TRACE_A, 16) && !memcmp(seen.context.span_id, SPAN_1, 8));
    NEED(record->context_size == OTP_RECORD_HEADER + 4);
    NEED(otelprof_span_exit(token) == 0);
    free(kept);
    outermost(777);
    const struct otp_record *outside = record_of(777);
    NEED(outside && outside->context_size == 0);
    free(kept);
    end();
}
END_TEST

static NOINLINE void recurse(int depth) {
    if (depth)
        recurse(depth - 1);
    else
        kept = malloc(54321);
    sink++;
}

START_TEST(deep_stacks) {
    begin(1);
    recurse(200);
    const struct otp_record *record = record_of(54321);
    NEED(record && record->user_frames > 200 && record->stop == OTP_STOP_COMPLETE);
    free(kept);
    recurse(1000);
    record = record_of(54321);
    if (!record || record->user_frames != OTP_FRAMES_MAX || record->stop != OTP_STOP_DEPTH)
        ck_abort_msg("%u frames, stop %u", record ? record->user_frames : 0, record ? record->stop : 0);
    free(kept);
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------ as without us */

static volatile size_t huge = SIZE_MAX / 2 + 1;

static void refused_requests(void) {
    void *block = NULL;
    errno = 0;
    NEED(!malloc(huge) && errno == ENOMEM);
    errno = 0;
    NEED(!calloc(huge, 4) && errno == ENOMEM);
    NEED(posix_memalign(&block, 64, huge) == ENOMEM);
    errno = 0;
    NEED(!reallocarray(NULL, huge, 4) && errno == ENOMEM);
}

START_TEST(answers_and_errno) {
    void *block = NULL;
    begin(1);
    if (!in_valgrind())
        refused_requests();
    NEED(posix_memalign(&block, 3, 100) == EINVAL);
    NEED(drain() == 0);
    errno = 4711;
    kept = malloc(5000);
    free(kept);
    kept = malloc(0);
    free(kept);
    free(NULL);
    NEED(errno == 4711);
    NEED(drain() == 1);
    end();
}
END_TEST

START_TEST(reallocations) {
    begin(1);
    char *block = malloc(3000);
    strcpy(block, "contents");
    struct otp_record first = *record_of(3000);
    errno = 0;
    NEED(in_valgrind() || (!realloc(block, huge) && errno == ENOMEM));
    NEED(otp_live_is(first.place, first.block));
    NEED(drain() == 0);
    block = realloc(block, 200000); /* moves, or grows */
    struct otp_record second = *record_of(200000);
    NEED(!strcmp(block, "contents"));
    NEED(!otp_live_is(first.place, first.block) && otp_live_is(second.place, second.block));
    block = realloc(block, 100); /* shrinks */
    struct otp_record third = *record_of(100);
    NEED(!otp_live_is(second.place, second.block) && otp_live_is(third.place, third.block));
    kept = realloc(block, 0);
    free(kept);
    NEED(!otp_live_is(third.place, third.block));
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------ the words */

static const struct { void (*destroy)(void *block); } constant = {free};

static struct {
    void *(*make)(size_t size);
    void (*destroy)(void *block);
} changeable = {malloc, free};

START_TEST(addresses_as_data) {
    void (*before)(void *) = *(void (*const volatile *)(void *)) & constant.destroy;
    begin(1);
    void (*hooked)(void *) = *(void (*const volatile *)(void *)) & constant.destroy;
    NEED(hooked != before && hooked == *(void (*volatile *)(void *)) & changeable.destroy);
    void *block = changeable.make(6000);
    struct otp_record record = *record_of(6000);
    constant.destroy(block);
    NEED(!otp_live_is(record.place, record.block));
    end();
    NEED(*(void (*const volatile *)(void *)) & constant.destroy == before);
    block = malloc(100);
    hooked(block); /* a copy that the program made meanwhile */
}
END_TEST

START_TEST(words_come_and_go) {
    struct otp_patch_counts at_first, now;
    begin(1);
    otp_patch_counts(&at_first);
    NEED(at_first.words > 10);
    NEED(at_first.objects > 1);
    NEED(at_first.failed == 0);
    NEED(otp_patch_reach() == OTP_REACH_ALL);
    for (int i = 0; i < 200; i++) {
        otp_hooks_remove(OTP_HOOK_HEAP);
        otp_patch_counts(&now);
        NEED(now.words == 0);
        drain();
        kept = malloc(7000);
        free(kept);
        NEED(drain() == 0);
        NEED(otp_hooks_install(OTP_HOOK_HEAP, LIVE_MAX) == 0);
        otp_patch_counts(&now);
        NEED(now.words == at_first.words);
    }
    kept = malloc(7000);
    free(kept);
    NEED(record_of(7000) != NULL);
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------- threads */

static _Atomic bool ending;

static void *hammer(void *argument) {
    unsigned random = (unsigned)(uintptr_t)argument;
    void *blocks[32] = {NULL};
    while (!atomic_load(&ending)) {
        for (int i = 0; i < 100; i++) {
            void **block = &blocks[(random = random * 1103515245u + 12345u) >> 16 & 31];
            free(*block);
            *block = malloc((random >> 8 & 1023) + 1);
            memset(*block, (int)i, 1);
        }
    }
    for (int i = 0; i < 32; i++)
        free(blocks[i]);
    return NULL;
}

START_TEST(the_account_is_exact) {
    pthread_t threads[3];
    size_t records = 0;
    begin(64);
    uint64_t chosen = otp_hook_counted(OTP_HOOK_CHOSEN), full = otp_hook_counted(OTP_HOOK_RING_FULL);
    for (uintptr_t i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, hammer, (void *)i) == 0);
    for (int i = 0; i < 30; i++) {
        for (int j = 0; j < 10 || (records == 0 && j < 5000); j++) { /* a busy machine may let none of them run yet */
            usleep(1000);
            records += drain();
        }
        NEED(otp_heap_disable(soon()));
        records += drain();
        chosen = otp_hook_counted(OTP_HOOK_CHOSEN) - chosen;
        full = otp_hook_counted(OTP_HOOK_RING_FULL) - full;
        NEED(chosen == records + full);
        NEED(chosen > 0);
        usleep(2000);
        NEED(drain() == 0); /* nothing comes after it */
        records = 0;
        chosen = otp_hook_counted(OTP_HOOK_CHOSEN);
        full = otp_hook_counted(OTP_HOOK_RING_FULL);
        otp_heap_enable(64);
    }
    atomic_store(&ending, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    end();
}
END_TEST

static pthread_key_t key;

static void allocate_at_end(void *value) {
    free(value);
    kept = malloc(8100);
    free(kept);
}

static void *in_little_room(void *argument) {
    (void)argument;
    kept = malloc(8000);
    free(kept);
    pthread_setspecific(key, malloc(8050));
    return NULL;
}

START_TEST(tiny_stacks_and_destructors) {
    pthread_attr_t attributes;
    pthread_t thread;
    begin(1);
    NEED(pthread_key_create(&key, allocate_at_end) == 0);
    pthread_attr_init(&attributes);
#ifndef __SANITIZE_ADDRESS__ /* takes more than there is */
    size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    NEED(pthread_attr_setstacksize(&attributes, (least + 8191) & ~(size_t)4095) == 0);
#endif
    for (int i = 0; i < 20; i++) {
        drain();
        NEED(pthread_create(&thread, &attributes, in_little_room, NULL) == 0);
        pthread_join(thread, NULL);
        size_t found = 0;
        drain();
        for (size_t j = 0; j < seen.count; j++)
            found += seen.records[j].weight == 8000 || seen.records[j].weight == 8050 || seen.records[j].weight == 8100;
        NEED(found == 3);
    }
    pthread_attr_destroy(&attributes);
    end();
}
END_TEST

static void *as_one_of_ours(void *argument) {
    (void)argument;
    otp_thread_becomes_ours();
    kept = malloc(9999);
    free(kept);
    return NULL;
}

START_TEST(our_own_threads_are_left_alone) {
    pthread_t thread;
    begin(1);
    NEED(pthread_create(&thread, NULL, as_one_of_ours, NULL) == 0);
    pthread_join(thread, NULL);
    NEED(!record_of(9999));
    end();
}
END_TEST

/* ---------------------------------------------------------------------------------------- odd stacks */

static ucontext_t here, there;

static void on_the_other_stack(void) {
    kept = malloc(11111);
    swapcontext(&there, &here);
}

/* A stack that nobody has listed is read to the end of its page; once it is listed, to its end. */
START_TEST(coroutines) {
    const size_t size = 256 << 10;
    begin(1);
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(area != MAP_FAILED);
    for (int listed = 0; listed < 2; listed++) {
        uint64_t unbounded = otp_hook_counted(OTP_HOOK_UNBOUNDED);
        getcontext(&there);
        there.uc_stack.ss_sp = area;
        there.uc_stack.ss_size = size;
        makecontext(&there, on_the_other_stack, 0);
        swapcontext(&here, &there);
        free(kept);
        const struct otp_record *record = record_of(11111);
        NEED(record && record->user_frames >= 1);
        NEED(otp_hook_counted(OTP_HOOK_UNBOUNDED) - unbounded == !listed);
        NEED(otp_stack_ranges_wanted() == !listed);
        NEED(otp_stack_ranges_look(soon()));
    }
    munmap(area, size);
    end();
}
END_TEST

static void handler(int number) {
    (void)number;
    kept = malloc(22222);
}

START_TEST(signal_stacks) {
    static char area[64 << 10];
    begin(1);
    stack_t stack = {.ss_sp = area, .ss_size = sizeof(area)};
    NEED(sigaltstack(&stack, NULL) == 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    NEED(sigaction(SIGUSR1, &action, NULL) == 0);
#ifndef __SANITIZE_THREAD__ /* which does not like it */
    raise(SIGUSR1);         /* synchronous: not in the middle of an allocation */
    const struct otp_record *record = record_of(22222);
    NEED(record && record->user_frames > 2);
    free(kept);
#endif
    end();
}
END_TEST

/* An allocation while the thread records one: as a signal handler's that should not allocate. */
START_TEST(inside_a_hook) {
    begin(1);
    uint64_t before = otp_hook_counted(OTP_HOOK_REENTERED);
    otp_allocation_thread.inside = true;
    kept = malloc(33333);
    free(kept);
    otp_allocation_thread.inside = false;
    NEED(otp_hook_counted(OTP_HOOK_REENTERED) - before == 1);
    NEED(!record_of(33333));
    end();
}
END_TEST

START_TEST(ends_of_stacks) {
    uint64_t page = 4096;
    int local;
    begin(1);
    uint64_t sp = (uint64_t)(uintptr_t)&local;
    NEED(otp_stack_end(sp) > sp);
    char *area = mmap(NULL, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(area != MAP_FAILED);
    NEED(mprotect(area + 2 * page, 4 * page, PROT_READ | PROT_WRITE) == 0);
    uint64_t start = (uint64_t)(uintptr_t)area;
    NEED(otp_stack_ranges_look(soon()));
    NEED(otp_stack_end(start + 2 * page) == start + 6 * page);
    NEED(otp_stack_end(start + 6 * page - 8) == start + 6 * page);
    NEED(otp_stack_end(start + 7 * page + 16) == start + 8 * page);
    otp_stack_ranges_hide();
    NEED(otp_stack_end(start + 3 * page + 16) == start + 4 * page);
    end();
}
END_TEST

/* ------------------------------------------------------------------------------------------------ children */

/* Frees what its parent had chosen, allocates, and records nothing; then begins anew. */
static int child(void *inherited) {
    free(inherited);
    kept = malloc(44444);
    free(kept);
    if (drain() || otp_patch_follows() || otp_live_count())
        return 1;
    otp_hooks_forked_child();
    if (otp_fork_guard_arm() || otp_hooks_install(OTP_HOOK_HEAP, LIVE_MAX))
        return 2;
    otp_heap_enable(1);
    for (int i = 0; i < 3; i++) {
        kept = malloc(OTP_SAMPLER_BUDGET_OFF * 2 + 1);
        free(kept);
    }
    return drain() ? 0 : 3;
}

START_TEST(children) {
    begin(1);
    void *block = malloc(55555);
    struct otp_record record = *record_of(55555);
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t pid = i % 2 ? fork() : _Fork();
        if (!pid)
            _exit(child(block));
        NEED(waitpid(pid, &status, 0) == pid);
        NEED(status == 0);
    }
    NEED(otp_live_is(record.place, record.block));
    free(block);
    end();
}
END_TEST

#define DRAWS 256

/* Which of `DRAWS` equal blocks are chosen in a worker that begins its own profile, as bits into `chosen`. */
static void worker(uint8_t *chosen) {
    otp_hooks_forked_child();
    NEED(otp_fork_guard_arm() == 0 && otp_hooks_install(OTP_HOOK_HEAP, LIVE_MAX) == 0);
    otp_heap_enable(65536);
    for (int i = 0; i < DRAWS; i++) {
        drain();
        kept = malloc(40000);
        free(kept);
        drain();
        for (size_t at = 0; at < seen.count; at++)
            chosen[i] |= seen.records[at].weight == 40000;
    }
}

START_TEST(workers_choose_apart) {
    uint8_t *chosen = mmap(NULL, 2 * DRAWS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(chosen != MAP_FAILED);
    begin(65536);
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();
        if (!pid) {
            worker(chosen + (size_t)i * DRAWS);
            _exit(0);
        }
        NEED(waitpid(pid, &status, 0) == pid && status == 0);
    }
    end();
    unsigned first = 0, second = 0, apart = 0;
    for (int i = 0; i < DRAWS; i++) {
        first += chosen[i];
        second += chosen[DRAWS + i];
        apart += chosen[i] != chosen[DRAWS + i];
    }
    ck_assert_uint_ge(first, DRAWS / 4); /* 117 are expected, and 127 apart; 8 is a standard deviation */
    ck_assert_uint_ge(second, DRAWS / 4);
    ck_assert_uint_ge(apart, DRAWS / 4);
}
END_TEST

static void *end_of_own_stack(void *unused) {
    (void)unused;
    NEED(otp_stack_ranges_look(soon()));
    /* not a local's address: AddressSanitizer may keep locals elsewhere */
    NEED(otp_stack_end((uint64_t)(uintptr_t)__builtin_frame_address(0)) == (uint64_t)pthread_self());
    return NULL;
}

START_TEST(end_of_a_threads_stack) {
    pthread_t thread;
    begin(1);
    NEED(pthread_create(&thread, NULL, end_of_own_stack, NULL) == 0);
    NEED(pthread_join(thread, NULL) == 0);
    end();
}
END_TEST

static void *install(void *unused) {
    (void)unused;
    NEED(otp_hooks_install(OTP_HOOK_HEAP, LIVE_MAX) == 0);
    return NULL;
}

/* ThreadSanitizer says so if they do not keep apart. */
START_TEST(installed_by_many_at_once) {
    pthread_t threads[4];
    NEED(otp_fork_guard_arm() == 0);
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, install, NULL) == 0);
    for (int i = 0; i < 4; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    begin(1);
    void *block = malloc(77777);
    const struct otp_record *record = record_of(77777);
    NEED(record && record->place != OTP_LIVE_NOWHERE && otp_live_is(record->place, record->block));
    free(block);
    end();
}
END_TEST

OTP_TEST_MAIN("hooks", 120, each_function, stacks_and_spans, deep_stacks, answers_and_errno, reallocations,
              addresses_as_data, words_come_and_go, the_account_is_exact, tiny_stacks_and_destructors,
              our_own_threads_are_left_alone, coroutines, signal_stacks, inside_a_hook, ends_of_stacks,
              end_of_a_threads_stack, children, workers_choose_apart, installed_by_many_at_once)

// SPDX-License-Identifier: Apache-2.0
/* Span calls in forked children, and the promise that a registered thread makes no system call. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "context/thread.h"
#include "context_fixture.h"

static struct otp_context_memory memory;
static int hook_calls;

static void hook(void) { hook_calls++; }

/* Exit status of `body` in a child; a signal is 100 + its number. */
static int in_child(pid_t (*make_child)(void), int (*body)(void)) {
    pid_t child = make_child();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(body());
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
}

static struct otelprof_span_token outer;

#define CHECK_CHILD(condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __COUNTER__ + 1;                                                                                    \
    } while (0)

/* Everything is a no-op, and nothing of the parent is touched: its memory is not mapped here. */
static int child_is_off(void) {
    struct otelprof_context context;
    CHECK_CHILD(otelprof_span_enter(TRACE_B, SPAN_2, 1).serial == 0);
    CHECK_CHILD(otelprof_span_exit(outer) == OTELPROF_E_ORDER);
    CHECK_CHILD(otelprof_span_attribute("a", "b") == OTELPROF_E_STATE);
    CHECK_CHILD(otelprof_span_attribute_key(0, "b", 1) == OTELPROF_E_STATE);
    otelprof_context_capture(&context);
    CHECK_CHILD(context.opaque[0] == 0);
    CHECK_CHILD(otelprof_context_attach(&context).serial == 0);
    CHECK_CHILD(otel_thread_ctx_v1 == NULL);
    CHECK_CHILD(otelprof_thread_name("child") == 0);
    otp_context_sweep();
    CHECK_CHILD(hook_calls > 0);
    return 0;
}

static void *thread_in_child(void *argument) {
    (void)argument;
    return (void *)(uintptr_t)otelprof_span_enter(TRACE_B, SPAN_2, 1).serial;
}

static int child_with_threads(void) {
    pthread_t thread;
    void *serial;
    CHECK_CHILD(pthread_create(&thread, NULL, thread_in_child, NULL) == 0);
    CHECK_CHILD(pthread_join(thread, &serial) == 0);
    CHECK_CHILD(serial == NULL);
    return child_is_off();
}

static int child_guard_armed_too_early(void) {
    otp_fork_guard_arm(); /* before the room knows that it is in a child: it must find out */
    CHECK_CHILD(otelprof_span_enter(TRACE_B, SPAN_2, 1).serial == 0);
    return 0;
}

static int child_starts_anew(void) {
    otp_context_forked_child();
    CHECK_CHILD(otel_thread_ctx_v1 == NULL);
    CHECK_CHILD(fixture_stats().threads_registered == 0);
    memory = fixture_start(16);
    CHECK_CHILD(otelprof_span_exit(outer) == OTELPROF_E_ORDER);
    struct otelprof_span_token token = otelprof_span_enter(TRACE_B, SPAN_2, 1);
    CHECK_CHILD(fixture_record(&memory) != NULL);
    CHECK_CHILD(memcmp(fixture_record(&memory)->trace_id, TRACE_B, 16) == 0);
    CHECK_CHILD(otelprof_span_exit(outer) == OTELPROF_E_ORDER);
    CHECK_CHILD(otelprof_span_exit(token) == 0);
    CHECK_CHILD(otel_thread_ctx_v1 == NULL);
    CHECK_CHILD(fixture_stats().threads_registered == 1);
    return 0;
}

static int child_starts_anew_unprepared(void) {
    memory = fixture_start(16); /* after _Fork() nothing told the room */
    struct otelprof_span_token token = otelprof_span_enter(TRACE_B, SPAN_2, 1);
    CHECK_CHILD(fixture_record(&memory) != NULL);
    CHECK_CHILD(otelprof_span_exit(token) == 0);
    return 0;
}

static int child_of_a_child(void) {
    CHECK_CHILD(child_starts_anew() == 0);
    struct otelprof_span_token token = otelprof_span_enter(TRACE_B, SPAN_2, 1);
    pid_t child = fork();
    if (child == 0)
        _exit(child_is_off());
    int status;
    CHECK_CHILD(waitpid(child, &status, 0) == child);
    CHECK_CHILD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_CHILD(otelprof_span_exit(token) == 0);
    return 0;
}

static int (*const bodies[])(void) = {child_is_off,      child_with_threads,           child_guard_armed_too_early,
                                      child_starts_anew, child_starts_anew_unprepared, child_of_a_child};

static pid_t raw_clone(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); }
static pid_t plain_fork(void) { return fork(); }
static pid_t bare_fork(void) { return _Fork(); }
static pid_t (*const makers[])(void) = {plain_fork, bare_fork, raw_clone};

START_TEST(children_are_off_until_they_start) {
    otp_context_child_call = hook;
    memory = fixture_start(16);
    outer = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_int_eq(otelprof_span_attribute("a", "b"), 0);
    int (*body)(void) = bodies[_i / 3];
    bool needs_libc = body == child_with_threads; /* threads cannot be made after a raw clone */
    if (!needs_libc || _i % 3 == 0)
        ck_assert_int_eq(in_child(makers[_i % 3], body), 0);
    ck_assert_int_eq(hook_calls, 0);
    ck_assert_ptr_nonnull(fixture_record(&memory)); /* the parent goes on as before */
    ck_assert_uint_eq(fixture_record(&memory)->attrs_size, 3);
    ck_assert_ptr_nonnull(otel_thread_ctx_v1);
    ck_assert_int_eq(otelprof_span_exit(outer), 0);
}
END_TEST

/* ------------------------------------------------------------------------- no system calls on the way */

#define SPAN_ROUNDS 20000

static void every_call(int key, const struct otelprof_context *other) {
    struct otelprof_context context;
    struct otelprof_span_token one = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    otelprof_span_attribute_key(key, "/a", 2);
    otelprof_span_attribute("http.route", "/b");
    struct otelprof_span_token two = otelprof_span_enter(TRACE_A, SPAN_2, 1);
    for (int i = 0; i < 20; i++)
        otelprof_span_attribute("http.route", "a value that fills the record soon");
    otelprof_context_capture(&context);
    struct otelprof_span_token attached = otelprof_context_attach(other);
    otelprof_context_detach(attached);
    otelprof_span_exit(two);
    otelprof_span_exit(two);
    otelprof_span_attribute("http.route", NULL);
    otelprof_span_enter(NULL, NULL, 0);
    otelprof_span_exit(one);
    otelprof_span_attribute("http.route", "/c");
}

static void only_write_and_exit(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(50);
}

/* Runs in a process of its own, where any system call but exit kills. The first enter comes before or after that. */
static int spans_under_filter(bool registered_before) {
    memory = fixture_start(16);
    int key = otelprof_attribute_key("http.route");
    struct otelprof_context other;
    struct otelprof_span_token token = {0, 0};
    if (registered_before)
        token = otelprof_span_enter(TRACE_B, SPAN_3, 1);
    otelprof_context_capture(&other);
    otelprof_span_exit(token);
    only_write_and_exit();
    for (int i = 0; i < SPAN_ROUNDS; i++)
        every_call(key, &other);
    syscall(SYS_exit, 0);
    return 1;
}

START_TEST(no_system_call_after_the_first_enter) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    (void)spans_under_filter; /* the sanitizers make calls of their own */
#else
    for (int before = 0; before < 2; before++) {
        pid_t child = fork();
        if (child == 0)
            _exit(spans_under_filter(before));
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        if (before)
            ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        else /* the filter does see the first enter's call for the thread id */
            ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    }
#endif
}
END_TEST

int main(void) {
    Suite *suite = suite_create("span_fork");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, children_are_off_until_they_start, 0, 3 * sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_test(all, no_system_call_after_the_first_enter);
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

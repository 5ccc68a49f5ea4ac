// SPDX-License-Identifier: Apache-2.0
/*
 * A service that runs whether or not it may profile itself, and says how that went. Linked statically with the library,
 * so that a copy of it runs from anywhere, also with file capabilities.
 *
 *     privileges OUTPUT_DIR [start_timeout_ms [seccomp]]
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <otelprof/otelprof.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

static void log_line(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    printf("log %d: %s\n", level, message);
}

/* As a container's profile does: bpf(2) and perf_event_open(2) give EPERM. */
static int refuse_calls(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void say_counters(void) {
    struct otelprof_stats s = {.size = sizeof(s)};
    uint64_t records = 0;
    otelprof_stats(&s);
    for (int i = 0; i < OTELPROF_STOP_COUNT; i++)
        records += s.stack_stops[i];
    printf("fired: %" PRIu64 "\nexpected: %" PRIu64 "\nexported: %" PRIu64 "\ncomplete: %" PRIu64
           "\nunknown module: %" PRIu64 "\nrecords: %" PRIu64 "\n",
           s.samples_fired, s.samples_expected, s.samples_exported, s.stack_stops[OTELPROF_STOP_COMPLETE],
           s.stack_stops[OTELPROF_STOP_UNKNOWN_MODULE], records);
}

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    char text[4096];
    if (argc < 2)
        return 2;
    options.output_dir = argv[1];
    options.rate_hz = 997;
    options.start_timeout_ms = argc > 2 ? atoi(argv[2]) : 20000;
    options.log = log_line;
    if (argc > 3 && refuse_calls())
        return 3;
    int result = otelprof_init(&options);
    printf("pid: %d\ninit: %s\n", (int)getpid(), otelprof_strerror(result));
    if (result == OTELPROF_E_TIMEOUT) {
        result = otelprof_wait_ready(20000);
        printf("ready: %s\n", otelprof_strerror(result));
    }
    otelprof_diagnose(text, sizeof(text));
    printf("%s", text);
    burn_ms(1000);
    if (!result)
        printf("shutdown: %s\n", otelprof_strerror(otelprof_shutdown(10000)));
    say_counters();
    printf("the service has run\n");
    return 0;
}

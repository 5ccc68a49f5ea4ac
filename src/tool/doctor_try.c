// SPDX-License-Identifier: Apache-2.0
/* What doctor tries: each kind of system call by itself, so that the one that is refused is known; then the library. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "tool/doctor.h"

#define TRIAL_RATE_HZ 999
#define TRIAL_BURN_NS 300000000u /* about 300 samples */
#define TRIAL_STOP_MS 5000
#define TRIAL_HOLD_US 20000
#define TRIAL_BLOCKS 1024 /* 64 MiB: about 128 of them are chosen */
#define TRIAL_BLOCK_BYTES 65536

static int bpf(int command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int make_map(uint32_t type, uint32_t value_size, uint32_t entries, uint32_t flags) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.map_type = type;
    attributes.key_size = value_size ? 4 : 0;
    attributes.value_size = value_size;
    attributes.max_entries = entries;
    attributes.map_flags = flags;
    return bpf(BPF_MAP_CREATE, &attributes);
}

static int try_map(void) { return make_map(BPF_MAP_TYPE_ARRAY, 64, 16, BPF_F_MMAPABLE); }

static int try_ring(void) { return make_map(BPF_MAP_TYPE_RINGBUF, 0, (uint32_t)sysconf(_SC_PAGESIZE), 0); }

/* "return 0" as a program for perf events. */
static int try_program(void) {
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_PERF_EVENT;
    attributes.insns = (uint64_t)(uintptr_t)code;
    attributes.insn_cnt = sizeof(code) / sizeof(code[0]);
    attributes.license = (uint64_t)(uintptr_t) "Dual BSD/GPL";
    return bpf(BPF_PROG_LOAD, &attributes);
}

/* The clock of one CPU, for all its processes, never started. */
static int try_clock(void) {
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.size = sizeof(attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.sample_period = 100000000;
    attributes.disabled = 1;
    int cpu = sched_getcpu();
    return (int)syscall(SYS_perf_event_open, &attributes, -1, cpu < 0 ? 0 : cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* A program on a clock. */
static int try_attach(void) {
    int program = try_program();
    if (program < 0)
        return -1;
    int clock = try_clock();
    int result = clock < 0 ? -1 : ioctl(clock, PERF_EVENT_IOC_SET_BPF, program);
    int error = errno;
    close(program);
    if (result == 0)
        return clock;
    if (clock >= 0)
        close(clock);
    errno = error;
    return -1;
}

static const char *advice_for(int error, int capability, const char *feature) {
    if (error == ENOSYS || error == EINVAL || error == EOPNOTSUPP || error == ENOENT)
        return feature;
    if ((error == EPERM || error == EACCES) && doctor_has(capability))
        return "the capability is there: a seccomp filter, lockdown or a security module refuses the call";
    if (error == EPERM || error == EACCES)
        return capability == CAP_BPF ? "give CAP_BPF and CAP_PERFMON (see below)" : "give CAP_PERFMON (see below)";
    return error == ENOMEM ? "raise the memory limit of the control group" : NULL;
}

static void try_one(const char *name, const char *call, int (*attempt)(void), int capability, const char *feature) {
    int fd = attempt();
    if (fd >= 0) {
        doctor_line(DOCTOR_OK, name, NULL, "%s", call);
        close(fd);
        return;
    }
    int error = errno;
    doctor_line(DOCTOR_MISSING, name, advice_for(error, capability, feature), "%s: %s (errno %d)", call,
                strerror(error), error);
}

static uint64_t now_ns(clockid_t clock) {
    struct timespec time = {0, 0};
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Something for the profiler to see. */
static void burn(void) {
    volatile uint64_t value = 1;
    uint64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + TRIAL_BURN_NS;
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
        for (int i = 0; i < 10000; i++)
            value = value * 6364136223846793005u + 1442695040888963407u;
    }
}

static int discard(void *user, const void *bytes, size_t size) {
    (void)bytes;
    *(size_t *)user += size;
    return 0;
}

static void print_diagnosis(void) {
    char text[2048];
    size_t length = otelprof_diagnose(text, sizeof(text));
    char *rest = text;
    for (char *line; length && (line = strsep(&rest, "\n")) != NULL;) {
        if (*line)
            printf("  %-8s %-20s   %s\n", "", "", line);
    }
}

static int start(unsigned profiles, size_t *bytes) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.service_name = "otelprof-doctor";
    options.profiles = profiles;
    options.rate_hz = TRIAL_RATE_HZ;
    options.start_timeout_ms = 10000;
    options.publish_context = 0;
    options.export_bytes = discard;
    options.export_user = bytes;
    return otelprof_init(&options);
}

static int stop(struct otelprof_stats *stats) {
    int error = otelprof_shutdown(TRIAL_STOP_MS);
    memset(stats, 0, sizeof(*stats));
    stats->size = sizeof(*stats);
    otelprof_stats(stats);
    return error;
}

/* Starts, takes samples of itself, stops. */
static bool try_library(void) {
    struct otelprof_stats stats;
    size_t bytes = 0;
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    int error = start(OTELPROF_CPU, &bytes);
    double start_ms = (double)(now_ns(CLOCK_MONOTONIC) - before) / 1e6;
    if (error) {
        doctor_line(DOCTOR_MISSING, "otelprof itself", NULL, "%s", otelprof_strerror(error));
        print_diagnosis();
        return false;
    }
    burn();
    error = stop(&stats);
    unsigned long long fired = stats.samples_fired, exported = stats.samples_exported;
    if (error || !exported || !bytes) {
        doctor_line(DOCTOR_MISSING, "otelprof itself", NULL, "started, but %llu samples came and %llu left (%s)", fired,
                    exported, error ? otelprof_strerror(error) : "stopped without an error");
        print_diagnosis();
        return false;
    }
    doctor_line(DOCTOR_OK, "otelprof itself", NULL,
                "started in %.0f ms; %llu samples in %.0f ms of CPU at %d Hz, %llu exported, %llu to the root",
                start_ms, fired, TRIAL_BURN_NS / 1e6, TRIAL_RATE_HZ, exported,
                (unsigned long long)stats.stack_stops[OTELPROF_STOP_COMPLETE]);
    return true;
}

/* Something for the profile of memory to see; the compiler may not leave it out. */
static void allocate(void) {
    for (size_t i = 0; i < TRIAL_BLOCKS; i++) {
        void *volatile block = malloc(TRIAL_BLOCK_BYTES);
        free(block);
    }
}

/* The profile of memory: needs no privilege of its own, but calls that go through words of the loader. */
static void try_heap(void) {
    struct otelprof_stats stats;
    size_t bytes = 0;
    int error = start(OTELPROF_HEAP, &bytes);
    if (error) {
        doctor_line(DOCTOR_NOTE, "heap profile", NULL, "%s", otelprof_strerror(error));
        print_diagnosis();
        return;
    }
    allocate();
    error = stop(&stats);
    unsigned long long chosen = stats.heap_samples;
    doctor_line(!error && chosen ? DOCTOR_OK : DOCTOR_NOTE, "heap profile", NULL,
                "%llu of %d blocks of %d KiB chosen, %llu bytes of profiles%s%s", chosen, TRIAL_BLOCKS,
                TRIAL_BLOCK_BYTES / 1024, (unsigned long long)bytes, error ? ": " : "",
                error ? otelprof_strerror(error) : "");
}

static pthread_mutex_t contended = PTHREAD_MUTEX_INITIALIZER;

static void *hold(void *held) {
    pthread_mutex_lock(&contended);
    atomic_store((atomic_bool *)held, true);
    usleep(TRIAL_HOLD_US);
    pthread_mutex_unlock(&contended);
    return NULL;
}

static void contend(void) {
    atomic_bool held = false;
    pthread_t thread;
    if (pthread_create(&thread, NULL, hold, &held))
        return;
    while (!atomic_load(&held))
        usleep(100);
    pthread_mutex_lock(&contended);
    pthread_mutex_unlock(&contended);
    pthread_join(thread, NULL);
}

/* The profile of locks: as that of memory. */
static void try_locks(void) {
    struct otelprof_stats stats;
    size_t bytes = 0;
    int error = start(OTELPROF_LOCK, &bytes);
    if (error) {
        doctor_line(DOCTOR_NOTE, "lock profile", NULL, "%s", otelprof_strerror(error));
        print_diagnosis();
        return;
    }
    contend();
    error = stop(&stats);
    doctor_line(!error && stats.lock_samples ? DOCTOR_OK : DOCTOR_NOTE, "lock profile", NULL,
                "%llu waits chosen, the holder seen in %llu, %llu bytes of profiles%s%s",
                (unsigned long long)stats.lock_samples, (unsigned long long)stats.lock_holders,
                (unsigned long long)bytes, error ? ": " : "", error ? otelprof_strerror(error) : "");
}

/* What switches profiling off on purpose is told, and not in the way of the trial. */
static void lift_switch(const char *name) {
    if (!getenv(name))
        return;
    doctor_line(DOCTOR_NOTE, name, "unset it, if it is not meant",
                "it may switch profiling off; not used in this trial");
    unsetenv(name);
}

bool doctor_try(void) {
    try_one("memory for BPF", "bpf(BPF_MAP_CREATE, array)", try_map, CAP_BPF, "a kernel with CONFIG_BPF_SYSCALL");
    try_one("ring buffer", "bpf(BPF_MAP_CREATE, ring buffer)", try_ring, CAP_BPF, "Linux 5.8 or later");
    try_one("program", "bpf(BPF_PROG_LOAD, perf event)", try_program, CAP_BPF, "a kernel with CONFIG_BPF_EVENTS");
    try_one("clock of a CPU", "perf_event_open(cpu-clock)", try_clock, CAP_PERFMON, "a kernel with CONFIG_PERF_EVENTS");
    try_one("program on a clock", "ioctl(PERF_EVENT_IOC_SET_BPF)", try_attach, CAP_BPF,
            "a kernel with CONFIG_BPF_EVENTS");
    lift_switch("OTEL_SDK_DISABLED");
    lift_switch("OTELPROF_DISABLED");
    if (!try_library())
        return false;
    try_heap();
    try_locks();
    return true;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Unwind tables that run out of room while samples are taken: a second set of kernel tables, or a clear word that there
 * is none, and never harm to the host.
 *
 *     growth OUTPUT_DIR grows      a library of a million rows is loaded and called
 *     growth OUTPUT_DIR refused    the same, while the kernel gives us no descriptor for a second set
 *     growth OUTPUT_DIR stolen     the same, after somebody closed the event of a CPU
 *     growth OUTPUT_DIR segments   more executable mappings than a directory holds: growing would not help
 *     growth OUTPUT_DIR filtered   a seccomp filter came after the start that kills whoever calls bpf(2)
 */
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

#define LIBRARY "libLLVM-14.so.1" /* clang's: 840,000 rows */
#define MAPPINGS 1300             /* over OTP_SEGMENTS_MAX */

/* What is called of it; C API of LLVM, llvm-c/Core.h. */
static struct {
    void *(*context)(void);
    void (*free_context)(void *context);
    void *(*module)(const char *name, void *context);
    void (*free_module)(void *module);
    char *(*print)(void *module);
    void (*free_text)(char *text);
} llvm;

static char notes[4096];

static void log_line(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    fprintf(stderr, "%d %s\n", level, message);
}

static struct otelprof_stats stats(void) {
    struct otelprof_stats s = {.size = sizeof(s)};
    otelprof_stats(&s);
    return s;
}

static const char *diagnosis(void) {
    otelprof_diagnose(notes, sizeof(notes));
    return notes;
}

static void load_library(void) {
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    EXPECT(library != NULL);
    if (!library)
        exit(1);
    *(void **)&llvm.context = dlsym(library, "LLVMContextCreate");
    *(void **)&llvm.free_context = dlsym(library, "LLVMContextDispose");
    *(void **)&llvm.module = dlsym(library, "LLVMModuleCreateWithNameInContext");
    *(void **)&llvm.free_module = dlsym(library, "LLVMDisposeModule");
    *(void **)&llvm.print = dlsym(library, "LLVMPrintModuleToString");
    *(void **)&llvm.free_text = dlsym(library, "LLVMDisposeMessage");
}

__attribute__((noinline)) static void call_library(uint64_t milliseconds) {
    for (uint64_t until = expect_clock_ms(CLOCK_THREAD_CPUTIME_ID) + milliseconds;
         expect_clock_ms(CLOCK_THREAD_CPUTIME_ID) < until;) {
        void *context = llvm.context();
        void *module = llvm.module("growth", context);
        llvm.free_text(llvm.print(module));
        llvm.free_module(module);
        llvm.free_context(context);
    }
}

static void start(const char *directory) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.rate_hz = 997;
    options.window_ms = 1000;
    options.start_timeout_ms = 20000;
    options.log = log_line;
    GIVES(0, otelprof_init(&options));
    EXPECT(otelprof_state() == OTELPROF_STATE_RUNNING);
}

/* Stacks of two seconds; how many in a thousand are complete. */
static uint64_t complete_permille(void (*work)(uint64_t milliseconds)) {
    struct otelprof_stats before, after;
    before = stats();
    work(2000);
    GIVES(0, otelprof_flush(10000));
    after = stats();
    uint64_t fired = after.samples_fired - before.samples_fired;
    uint64_t complete = after.stack_stops[OTELPROF_STOP_COMPLETE] - before.stack_stops[OTELPROF_STOP_COMPLETE];
    fprintf(stderr, "fired %" PRIu64 ", complete %" PRIu64 "\n", fired, complete);
    expect(fired > 1800, __LINE__, "fired in two seconds: %" PRIu64, fired);
    return fired ? complete * 1000 / fired : 0;
}

static void finish(void) {
    GIVES(0, otelprof_disable(OTELPROF_CPU));
    GIVES(0, otelprof_shutdown(10000));
    struct otelprof_stats s = stats();
    uint64_t lost = s.lost_ring_full + s.lost_decode + s.lost_memory + s.lost_window_dropped + s.lost_export_failed +
                    s.lost_shutdown + s.lost_scratch;
    fprintf(stderr, "fired %" PRIu64 ", exported %" PRIu64 ", lost %" PRIu64 ", rows %" PRIu64 " of %" PRIu64 "\n",
            s.samples_fired, s.samples_exported, lost, s.table_rows, s.table_rows_capacity);
    GIVES(s.samples_fired, s.samples_exported + lost);
    EXPECT(lost == 0);
}

static void grows(void) {
    struct otelprof_stats before = stats();
    EXPECT(complete_permille(burn_ms) >= 995);
    load_library();
    call_library(1500); /* found by a sample at an unknown address, or at the end of the window */
    EXPECT(complete_permille(call_library) >= 995);
    struct otelprof_stats after = stats();
    GIVES(1, before.table_builds);
    GIVES(2, after.table_builds);
    EXPECT(after.table_rows > 800000 && after.table_rows_capacity > before.table_rows_capacity);
    EXPECT(after.kernel_memory_bytes > before.kernel_memory_bytes + (4 << 20));
    GIVES(0, after.modules_uncovered);
    EXPECT(after.samples_fired * 100 >= after.samples_expected * 97); /* the exchange itself is short */
    EXPECT(otelprof_state() == OTELPROF_STATE_RUNNING);
}

/* The tables in force go on; what was loaded is uncovered, and everybody is told. */
static void stays_small(const char *reason) {
    load_library();
    call_library(1500);
    uint64_t permille = complete_permille(call_library);
    struct otelprof_stats s = stats();
    EXPECT(permille < 500);
    EXPECT(s.stack_stops[OTELPROF_STOP_NO_TABLES] > 0);
    EXPECT(s.modules_uncovered > 0);
    EXPECT(otelprof_state() == OTELPROF_STATE_DEGRADED);
    expect(strstr(diagnosis(), reason) != NULL, __LINE__, "the diagnosis says: %s", notes);
    EXPECT(complete_permille(burn_ms) >= 995);
    dlopen("libsqlite3.so.0", RTLD_NOW); /* the tables are published again */
    EXPECT(complete_permille(burn_ms) >= 995);
}

static void refused(void) {
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    int top = dup(0);
    close(top);
    load_library();
    none.rlim_cur = (rlim_t)top + 3; /* enough to read maps and a library, not for a second set */
    setrlimit(RLIMIT_NOFILE, &none);
    stays_small("could not be made larger");
    GIVES(1, stats().table_builds);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool is_perf_event(const char *name) {
    char path[300], target[64] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%s", name);
    return readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "perf_event");
}

/* A host that closes what it does not know. */
static void close_first_event(void) {
    DIR *directory = opendir("/proc/self/fd");
    int victim = -1;
    for (const struct dirent *entry; victim < 0 && (entry = readdir(directory));) {
        if (is_perf_event(entry->d_name))
            victim = atoi(entry->d_name);
    }
    closedir(directory);
    EXPECT(victim > 2);
    close(victim);
}

/* The exchange opens events for all CPUs, so that all is well again. */
static void stolen(void) {
    close_first_event();
    load_library();
    call_library(1500);
    EXPECT(complete_permille(call_library) >= 995);
    GIVES(2, stats().table_builds);
}

/* Every second page executable, so that each is a mapping of its own. */
static void segments(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, MAPPINGS * 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < MAPPINGS; i++)
        mprotect(area + i * 2 * page, page, PROT_READ | PROT_EXEC);
    EXPECT(complete_permille(burn_ms) >= 995);
    struct otelprof_stats s = stats();
    EXPECT(s.modules_known > MAPPINGS);
    EXPECT(s.modules_uncovered > MAPPINGS - 1024);
    GIVES(1, s.table_builds);
    EXPECT(otelprof_state() == OTELPROF_STATE_DEGRADED);
    expect(strstr(diagnosis(), "executable mappings") != NULL, __LINE__, "the diagnosis says: %s", notes);
    munmap(area, MAPPINGS * 2 * page);
    EXPECT(complete_permille(burn_ms) >= 995);
    GIVES(0, stats().modules_uncovered);
}

/* For all threads: bpf(2), perf_event_open(2) and process_vm_readv(2) end the process. */
static int kill_callers(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static void filtered(void) {
    GIVES(0, kill_callers());
    EXPECT(complete_permille(burn_ms) >= 995);
    stays_small("seccomp filter");
    pid_t child = fork();
    if (!child)
        _exit(otelprof_state() != OTELPROF_STATE_OFF);
    int status = 0;
    waitpid(child, &status, 0);
    GIVES(0, status);
    GIVES(0, otelprof_disable(OTELPROF_CPU));
    GIVES(0, otelprof_enable(OTELPROF_CPU));
    EXPECT(complete_permille(burn_ms) >= 995);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"grows", grows}, {"refused", refused}, {"stolen", stolen}, {"segments", segments}, {"filtered", filtered},
};

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    start(argv[1]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (!strcmp(cases[i].name, argv[2])) {
            cases[i].run();
            finish();
            return expect_failures != 0;
        }
    }
    return 2;
}

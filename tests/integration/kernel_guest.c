// SPDX-License-Identifier: Apache-2.0
/*
 * Does one BPF object unwind right on the kernel that runs this program? Loads it, lets it sample a thread that
 * recurses, sorts by callbacks, computes in libcrypto and loads libraries, and has the kernel record registers and
 * stack of the same instants beside it. libdw unwinds those; the two must agree frame by frame.
 *
 * Runs as an ordinary program, and as /init of a virtual machine (then it powers off at its end). Prints a line
 * "RESULT key=value ..." and exits 0 only if everything agrees.
 *
 *     kernel_guest [stacks]
 */
#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/sys.h"
#include "capture/capture.h"
#include "capture_room.h"
#include "kernel_guest_threads.h"
#include "record.h"
#include "unwind/modules.h"
#include "unwind/tables.h"

#define STACK_BYTES 32768u /* of each stack that the kernel records */
#define PAGES 2048u        /* of the event's buffer */
#define FRAMES 256
#define PAIR_NS 160000u /* two samples of one interrupt are nearer than this, those of two are not */

/* ---------------------------------------------------------------------------------------------- the workload */

static atomic_bool done;
static volatile unsigned long sink;

static __attribute__((noinline)) void spin(unsigned n) {
    for (unsigned i = 0; i < n; i++)
        sink += i * i;
}

static __attribute__((noinline)) unsigned recurse(unsigned depth) {
    char buffer[64];
    memset(buffer, (int)depth, sizeof(buffer));
    spin(200);
    unsigned below = depth ? recurse(depth - 1) : 0;
    spin(100);
    return below + (unsigned char)buffer[depth % sizeof(buffer)];
}

static int compare(const void *a, const void *b) {
    spin(20);
    return *(const int *)a - *(const int *)b;
}

static __attribute__((noinline)) void sort(void) {
    int values[512];
    for (size_t i = 0; i < 512; i++)
        values[i] = (int)(i * 7919 % 512);
    qsort(values, 512, sizeof(values[0]), compare);
    sink += (unsigned long)values[3];
}

static void on_signal(int number) {
    (void)number;
    spin(20000);
}

static __attribute__((noinline)) void *crypto(void *handle) {
    if (!handle)
        handle = dlopen("libcrypto.so.3", RTLD_NOW);
    if (!handle)
        return NULL;
    typedef const void *(*digest_fn)(void);
    typedef int (*compute_fn)(const void *, size_t, unsigned char *, unsigned *, const void *, void *);
    static const char *const names[] = {"EVP_sha256", "EVP_sha1", "EVP_sha512", "EVP_md5", "EVP_sha3_256"};
    compute_fn compute = (compute_fn)dlsym(handle, "EVP_Digest");
    unsigned char text[16384], hash[64];
    unsigned size;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 5 && compute; i++) {
        digest_fn digest = (digest_fn)dlsym(handle, names[i]);
        if (digest && compute(text, sizeof(text), hash, &size, digest(), NULL))
            sink += hash[0];
    }
    return handle;
}

static void *workload(void *argument) {
    void *handle = NULL;
    *(_Atomic pid_t *)argument = (pid_t)syscall(SYS_gettid);
    for (unsigned round = 0; !atomic_load(&done); round++) {
        recurse(round % 60);
        sort();
        if (round > 20)
            handle = crypto(handle); /* the library comes in the middle */
        if (round % 16 == 0)
            raise(SIGUSR1);
        syscall(SYS_getppid);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------- what the kernel records */

struct kernel_sample {
    uint64_t time;
    uint64_t regs[17]; /* in the order of perf's register numbers below */
    const uint8_t *stack;
    uint64_t stack_size;
    struct kernel_sample *next;
};

/* PERF_REG_X86_*: AX BX CX DX SI DI BP SP IP ... R8 to R15, as the mask below selects them, lowest number first. */
#define REG_MASK (0x1ffull | 0xffull << 16)
static const int dwarf_of_slot[17] = {0, 3, 2, 1, 4, 5, 6, 7, -1, 8, 9, 10, 11, 12, 13, 14, 15};
#define SLOT_IP 8
#define SLOT_SP 7

static struct {
    int fd;
    struct perf_event_mmap_page *page;
    struct kernel_sample *first, **last;
    size_t count, lost;
} events = {.fd = -1, .last = &events.first};

static int open_event(pid_t thread, int program) {
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = 1000000000u / 2999,
        .sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
        .sample_regs_user = REG_MASK,
        .sample_stack_user = STACK_BYTES,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .disabled = 1,
    };
    events.fd = (int)syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (events.fd < 0)
        return -errno;
    events.page = mmap(NULL, (PAGES + 1) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, events.fd, 0);
    if (events.page == MAP_FAILED || ioctl(events.fd, PERF_EVENT_IOC_SET_BPF, program) ||
        ioctl(events.fd, PERF_EVENT_IOC_ENABLE, 0))
        return -errno;
    return 0;
}

static void keep(const uint8_t *body) {
    struct kernel_sample *sample = calloc(1, sizeof(*sample));
    const uint64_t *at = (const uint64_t *)(const void *)body;
    sample->time = *at++;
    uint64_t abi = *at++;
    if (abi != PERF_SAMPLE_REGS_ABI_64) {
        free(sample); /* the thread has no user mode any more */
        return;
    }
    memcpy(sample->regs, at, sizeof(sample->regs));
    at += 17;
    uint64_t size = *at++;
    uint64_t valid = size ? at[size / 8] : 0; /* the true size stands behind the bytes */
    uint8_t *stack = malloc(valid ? valid : 1);
    memcpy(stack, at, valid);
    sample->stack = stack;
    sample->stack_size = valid;
    *events.last = sample;
    events.last = &sample->next;
    events.count++;
}

static void drain_events(void) {
    static uint8_t copy[65536 + 8];
    const uint8_t *data = (const uint8_t *)events.page + 4096;
    uint64_t size = (uint64_t)PAGES * 4096, tail = events.page->data_tail;
    uint64_t head = __atomic_load_n(&events.page->data_head, __ATOMIC_ACQUIRE);
    while (tail < head) {
        struct perf_event_header header;
        for (size_t i = 0; i < sizeof(header); i++)
            ((uint8_t *)&header)[i] = data[(tail + i) % size];
        for (size_t i = 0; i < header.size; i++)
            copy[i] = data[(tail + i) % size];
        if (header.type == PERF_RECORD_SAMPLE)
            keep(copy + sizeof(header));
        else if (header.type == PERF_RECORD_LOST)
            events.lost++;
        tail += header.size;
    }
    __atomic_store_n(&events.page->data_tail, tail, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------------------------------------- our records */

struct our_sample {
    struct otp_record header;
    uint64_t frames[OTP_KERNEL_FRAMES_MAX + OTP_FRAMES_MAX];
    struct our_sample *next;
};

static struct {
    struct our_sample *first, **last;
    size_t count;
} ours = {.last = &ours.first};

static void take_record(void *user, const void *record, size_t size) {
    struct our_sample *sample = calloc(1, sizeof(*sample));
    (void)user;
    memcpy(sample, record, size < sizeof(*sample) - sizeof(sample->next) ? size : sizeof(*sample) - 8);
    *ours.last = sample;
    ours.last = &sample->next;
    ours.count++;
}

/* ---------------------------------------------------------------------------------------------- libdw */

static Dwfl *dwfl;
static const struct kernel_sample *unwinding;
static bool blind; /* libdw asked for a part of the stack that the kernel did not record */

static pid_t next_thread(Dwfl *session, void *argument, void **thread_argument) {
    (void)session;
    if (*thread_argument)
        return 0;
    *thread_argument = argument;
    return getpid();
}

static bool read_memory(Dwfl *session, Dwarf_Addr address, Dwarf_Word *result, void *argument) {
    (void)session;
    (void)argument;
    uint64_t offset = address - unwinding->regs[SLOT_SP];
    if (address >= unwinding->regs[SLOT_SP] && offset + 8 <= unwinding->stack_size) {
        memcpy(result, unwinding->stack + offset, 8);
        return true;
    }
    /* The red zone, or what lies beyond the bytes recorded: memory of this moment would tell another story. */
    if (address + 128 >= unwinding->regs[SLOT_SP] && address < unwinding->regs[SLOT_SP] + (1 << 20)) {
        blind = true;
        return false;
    }
    struct iovec local = {result, 8}, remote = {(void *)(uintptr_t)address, 8};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 8;
}

static bool set_registers(Dwfl_Thread *thread, void *argument) {
    (void)argument;
    Dwarf_Word words[16];
    for (int slot = 0; slot < 17; slot++) {
        if (dwarf_of_slot[slot] >= 0)
            words[dwarf_of_slot[slot]] = unwinding->regs[slot];
    }
    dwfl_thread_state_register_pc(thread, unwinding->regs[SLOT_IP]);
    return dwfl_thread_state_registers(thread, 0, 16, words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .memory_read = read_memory,
    .set_initial_registers = set_registers,
};

struct reference {
    uint64_t frames[FRAMES];
    unsigned count;
};

static int take_frame(Dwfl_Frame *frame, void *argument) {
    struct reference *reference = argument;
    Dwarf_Addr pc;
    bool activation;
    if (!dwfl_frame_pc(frame, &pc, &activation) || reference->count == FRAMES)
        return DWARF_CB_ABORT;
    reference->frames[reference->count++] = activation ? pc : pc - 1;
    return DWARF_CB_OK;
}

static int open_libdw(void) {
    static char *debug_path;
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .debuginfo_path = &debug_path,
    };
    dwfl = dwfl_begin(&callbacks);
    if (!dwfl || dwfl_linux_proc_report(dwfl, getpid()) || dwfl_report_end(dwfl, NULL, NULL))
        return -1;
    return dwfl_attach_state(dwfl, NULL, getpid(), &thread_callbacks, NULL) ? 0 : -1;
}

/* ---------------------------------------------------------------------------------------------- comparing */

static struct {
    size_t compared, equal, differ, no_partner, blind, shorter_reference;
    size_t stops[OTP_STOP_COUNT];
} verdict;

static const char *name_of(uint64_t address) {
    Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
    const char *name = module ? dwfl_module_addrname(module, address) : NULL;
    return name ? name : "?";
}

static void show_difference(const struct our_sample *sample, const struct reference *reference) {
    const uint64_t *frames = sample->frames + sample->header.kernel_frames;
    unsigned most = sample->header.user_frames > reference->count ? sample->header.user_frames : reference->count;
    printf("differ: stop %u, %u frames, libdw %u\n", sample->header.stop, sample->header.user_frames, reference->count);
    for (unsigned i = 0; i < most && i < 12; i++) {
        uint64_t a = i < sample->header.user_frames ? frames[i] : 0,
                 b = i < reference->count ? reference->frames[i] : 0;
        printf("  %2u %16" PRIx64 " %-24.24s %16" PRIx64 " %-24.24s%s\n", i, a, a ? name_of(a) : "", b,
               b ? name_of(b) : "", a == b ? "" : " <--");
    }
}

/* Right behind the system call of the signal trampoline (rt_sigreturn) there is code of another function, or none. */
static bool after_sigreturn(uint64_t pc) {
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    return memcmp((const void *)(uintptr_t)(pc - sizeof(code)), code, sizeof(code)) == 0;
}

/* Equal frame for frame. libdw's walk ends early in PLT entries; how often it may is limited in run(). */
static bool same(const struct our_sample *sample, const struct reference *reference) {
    const uint64_t *frames = sample->frames + sample->header.kernel_frames;
    unsigned count = sample->header.user_frames < reference->count ? sample->header.user_frames : reference->count;
    for (unsigned i = 0; i < count; i++) {
        if (frames[i] != reference->frames[i])
            return false;
    }
    if (sample->header.user_frames == reference->count)
        return true;
    verdict.shorter_reference += reference->count < sample->header.user_frames;
    return reference->count < sample->header.user_frames;
}

static uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/*
 * Both are made in one interrupt, a few microseconds apart: the partner is the one nearest in time among those with
 * the same program counter. `from` moves on with time.
 */
static const struct our_sample *partner_of(const struct kernel_sample *kernel, const struct our_sample **from) {
    const struct our_sample *best = NULL;
    while (*from && (*from)->header.time_ns + PAIR_NS < kernel->time)
        *from = (*from)->next;
    for (const struct our_sample *at = *from; at && at->header.time_ns <= kernel->time + PAIR_NS; at = at->next) {
        if (at->header.user_frames && at->frames[at->header.kernel_frames] == kernel->regs[SLOT_IP] &&
            (!best || distance(at->header.time_ns, kernel->time) < distance(best->header.time_ns, kernel->time)))
            best = at;
    }
    return best;
}

static void compare_all(size_t wanted) {
    const struct our_sample *from = ours.first;
    for (const struct kernel_sample *kernel = events.first; kernel && verdict.compared < wanted;
         kernel = kernel->next) {
        const struct our_sample *partner = partner_of(kernel, &from);
        if (!partner) {
            verdict.no_partner++;
            continue;
        }
        struct reference reference = {.count = 0};
        unwinding = kernel;
        blind = false;
        dwfl_getthread_frames(dwfl, getpid(), take_frame, &reference);
        if (blind || after_sigreturn(kernel->regs[SLOT_IP])) {
            verdict.blind++;
            continue;
        }
        verdict.compared++;
        verdict.stops[partner->header.stop]++;
        if (partner->header.stop == OTP_STOP_COMPLETE && same(partner, &reference)) {
            verdict.equal++;
        } else if (partner->header.stop == OTP_STOP_COMPLETE) {
            if (verdict.differ++ < 5)
                show_difference(partner, &reference);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- running */

static struct capture_room room;

static int rescan(void) {
    bool changed = false;
    if (otp_modules_scan(room.modules, otp_tables_generation(room.tables) + 1, &changed))
        return -1;
    return changed && (otp_tables_build(room.tables, room.modules) || otp_tables_publish(room.tables, room.modules));
}

static int start(void) {
    struct otp_capture_options options = {
        .rate_hz = 1, .slots = 64, .ring_bytes = 8 << 20, .kernel_frames = true, .keep_events = true};
    if (capture_room_prepare(&room, &options))
        return -1;
    options.rows = options.rows * 2 + 300000;
    options.pages = options.pages * 2 + 8192;
    uint64_t before = otp_clock_ns(CLOCK_MONOTONIC);
    int result = otp_capture_open(&room.capture, &options);
    if (result)
        return result;
    printf("loaded in %.1f ms\n", (double)(otp_clock_ns(CLOCK_MONOTONIC) - before) / 1e6);
    return capture_room_publish(&room);
}

static void to_stderr(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    fprintf(stderr, "%d %s\n", level, message);
}

static int run(size_t stacks) {
    struct utsname kernel;
    struct otp_tables_stats stats;
    unsigned cpu_insns, identify_insns;
    _Atomic pid_t thread_id = 0;
    pthread_t thread;
    uname(&kernel);
    printf("kernel %s %s\n", kernel.release, kernel.version);
    otp_log_set(to_stderr, NULL, getenv("OTP_GUEST_DEBUG") ? OTELPROF_LOG_DEBUG : OTELPROF_LOG_INFO);
    signal(SIGUSR1, on_signal);
    if (start()) {
        printf("RESULT failed: %s\n", otp_error_text());
        return 1;
    }
    otp_capture_verified(room.capture, &cpu_insns, &identify_insns);
    otp_tables_stats(room.tables, &stats);
    printf("verified instructions: otp_cpu %u, otp_identify %u\n", cpu_insns, identify_insns);
    printf("tables: %" PRIu64 " rows, %" PRIu64 " rules, built in %.2f ms\n", stats.rows, stats.rules,
           (double)stats.build_ns / 1e6);
    pthread_create(&thread, NULL, workload, &thread_id);
    while (!thread_id)
        usleep(1000);
    int error = open_event(thread_id, otp_capture_program_fd(room.capture));
    if (error) {
        printf("RESULT failed: event: %s\n", strerror(-error));
        return 1;
    }
    for (unsigned tick = 0; events.count < 2 * stacks && tick < 60000; tick++) {
        struct pollfd wake = {otp_capture_wake_fd(room.capture), POLLIN, 0};
        poll(&wake, 1, 10);
        if (otp_capture_control(room.capture)->rescan_wanted) {
            rescan();
            otp_capture_control(room.capture)->rescan_wanted = 0;
        }
        drain_events();
        otp_capture_drain(room.capture, take_record, NULL);
    }
    ioctl(events.fd, PERF_EVENT_IOC_DISABLE, 0);
    drain_events();
    otp_capture_drain(room.capture, take_record, NULL);
    if (open_libdw()) {
        printf("RESULT failed: libdw: %s\n", dwfl_errmsg(-1));
        return 1;
    }
    compare_all(stacks);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    /* Between dlopen() and the rescan a library is unknown, for tens of ms where the machine is emulated. */
    size_t complete = verdict.stops[OTP_STOP_COMPLETE], unknown = verdict.stops[OTP_STOP_UNKNOWN_MODULE];
    printf("stacks: ours %zu, kernel %zu (lost %zu), compared %zu, without partner %zu, libdw blind %zu\n", ours.count,
           events.count, events.lost, verdict.compared, verdict.no_partner, verdict.blind);
    for (int stop = 1; stop < OTP_STOP_COUNT; stop++) {
        if (verdict.stops[stop])
            printf("incomplete: reason %d: %zu\n", stop, verdict.stops[stop]);
    }
    bool threads = guest_threads_are_seen(room.capture);
    bool good = threads && verdict.compared >= stacks && verdict.differ == 0 &&
                verdict.shorter_reference * 20 <= verdict.compared &&
                (complete + unknown) * 1000 >= verdict.compared * 995 && unknown * 20 <= verdict.compared;
    printf("RESULT kernel=%s otp_cpu=%u otp_identify=%u compared=%zu equal=%zu differ=%zu complete=%.3f%% "
           "libdw_shorter=%zu threads=%s %s\n",
           kernel.release, cpu_insns, identify_insns, verdict.compared, verdict.equal, verdict.differ,
           100.0 * (double)complete / (double)(verdict.compared ? verdict.compared : 1), verdict.shorter_reference,
           threads ? "seen" : "WRONG", good ? "GOOD" : "BAD");
    return good ? 0 : 1;
}

int main(int argc, char **argv) {
    bool init = getpid() == 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (init) {
        mkdir("/proc", 0755);
        mkdir("/sys", 0755);
        if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
            printf("mount: %s\n", strerror(errno));
    }
    const char *wanted = getenv("stacks"); /* of the kernel's command line */
    size_t stacks = argc > 1 && atoi(argv[1]) > 0 ? (size_t)atoi(argv[1]) : wanted ? (size_t)atoi(wanted) : 10000;
    int result = run(stacks);
    printf("EXIT %d\n", result);
    if (init) {
        sync();
        sleep(1);
        reboot(RB_POWER_OFF);
    }
    return result;
}

// SPDX-License-Identifier: Apache-2.0
#include "core/diagnosis.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <otelprof/otelprof.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "core/seccomp.h"

struct text {
    char *at;
    size_t left;
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    if (length < 0 || !text->left)
        return;
    size_t step = (size_t)length < text->left ? (size_t)length : text->left - 1;
    text->at += step;
    text->left -= step;
}

/* Effective capabilities of the calling thread. */
static uint64_t effective(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    if (syscall(SYS_capget, &header, data))
        return 0;
    return data[0].effective | (uint64_t)data[1].effective << 32;
}

static bool has(uint64_t capabilities, int number) { return capabilities >> number & 1; }

/* True inside a user namespace other than the first: there the kernel refuses BPF whatever the capabilities say. */
static bool in_user_namespace(void) {
    struct stat status;
    return stat("/proc/self/ns/user", &status) == 0 && status.st_ino != 0xEFFFFFFDu; /* PROC_USER_INIT_INO */
}

static void explain_privilege(struct text *text) {
    uint64_t capabilities = effective();
    bool admin = has(capabilities, CAP_SYS_ADMIN);
    bool bpf = admin || has(capabilities, CAP_BPF), perfmon = admin || has(capabilities, CAP_PERFMON);
    if (bpf && perfmon && in_user_namespace()) {
        put(text, "reason: in a user namespace the kernel refuses eBPF, whatever the capabilities say\n"
                  "remedy: run the service outside of a user namespace (no rootless container), with CAP_BPF and "
                  "CAP_PERFMON\n");
        return;
    }
    if (bpf && perfmon) {
        put(text,
            "reason: CAP_BPF and CAP_PERFMON are there; %s refuses the call\n"
            "remedy: allow bpf and perf_event_open in the seccomp profile, and check lockdown "
            "(/sys/kernel/security/lockdown must not say confidentiality)\n",
            prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0 ? "a seccomp filter" : "a security module or lockdown");
        return;
    }
    put(text, "reason: missing %s%s%s\n", bpf ? "" : "CAP_BPF", !bpf && !perfmon ? " and " : "",
        perfmon ? "" : "CAP_PERFMON");
    put(text, "remedy: give both as ambient capabilities, and no more: systemd \"AmbientCapabilities=CAP_BPF "
              "CAP_PERFMON\"; a container \"--cap-add BPF --cap-add PERFMON\"; a shell \"setpriv --inh-caps "
              "+bpf,+perfmon --ambient-caps +bpf,+perfmon PROGRAM\"\n");
    if (getauxval(AT_SECURE))
        put(text, "note: this process has raised privileges (AT_SECURE: setuid or file capabilities): environment "
                  "variables are ignored, only options set in the program count\n");
}

void otp_diagnosis_explain(int error, const char *detail, char *buffer, size_t size) {
    struct text text = {buffer, size};
    if (!size)
        return;
    buffer[0] = 0;
    if (detail && *detail)
        put(&text, "failed: %s\n", detail);
    switch (error) {
    case OTELPROF_E_PRIVILEGE:
        explain_privilege(&text);
        break;
    case OTELPROF_E_KERNEL:
        put(&text,
            "reason: the running kernel lacks something that is needed (Linux 6.1 or later with BPF, BTF "
            "(CONFIG_DEBUG_INFO_BTF) and perf events)%s\n"
            "remedy: \"otelprof doctor\" tries each feature by itself\n",
            access("/sys/kernel/btf/vmlinux", R_OK) ? "; /sys/kernel/btf/vmlinux cannot be read" : "");
        break;
    case OTELPROF_E_MEMORY:
        put(&text, "reason: out of memory, or over the memory limit of the cgroup\n"
                   "remedy: allow a few MiB more, or set OTELPROF_MAX_THREADS and OTELPROF_RATE lower\n");
        break;
    case OTELPROF_E_ALREADY:
        put(&text, "reason: another copy of otelprof profiles this process\n"
                   "remedy: link or preload one of them only\n");
        break;
    case OTELPROF_E_EXPORT:
        put(&text, "reason: profiles could not leave this process\n"
                   "remedy: see to that, or have them as files (OTELPROF_OUTPUT_DIR)\n");
        break;
    case OTELPROF_E_DISABLED:
        put(&text, "reason: OTEL_SDK_DISABLED or OTELPROF_DISABLED is set\nremedy: unset it\n");
        break;
    default:
        break;
    }
}

void otp_diagnosis_log(int error, const char *detail) {
    char text[1536];
    otp_diagnosis_explain(error, detail, text, sizeof(text));
    for (char *at = strchr(text, '\n'); at; at = strchr(at, '\n'))
        *at = at[1] ? ';' : 0;
    otp_log(OTELPROF_LOG_ERROR, "not profiling: %s", text);
}

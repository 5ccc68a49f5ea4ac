// SPDX-License-Identifier: Apache-2.0
/* What can be read about this build, this process and this machine. */
#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "symbols/dwarf_lines.h"
#include "tool/doctor.h"
#include "tool/text.h"

#define FIRST_USER_NAMESPACE 0xEFFFFFFDu /* PROC_USER_INIT_INO, include/linux/proc_ns.h */

struct capabilities {
    uint64_t effective, permitted, inheritable;
};

/* The first line of a file, without its end. False if it cannot be read. */
static bool read_line(const char *path, char *line, size_t size) {
    FILE *file = fopen(path, "re");
    bool done = file && fgets(line, (int)size, file);
    if (file)
        fclose(file);
    if (done)
        line[strcspn(line, "\n")] = '\0';
    return done;
}

static struct capabilities capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    memset(data, 0, sizeof(data));
    if (syscall(SYS_capget, &header, data) != 0)
        return (struct capabilities){0, 0, 0};
    return (struct capabilities){data[0].effective | (uint64_t)data[1].effective << 32,
                                 data[0].permitted | (uint64_t)data[1].permitted << 32,
                                 data[0].inheritable | (uint64_t)data[1].inheritable << 32};
}

static bool in_set(uint64_t set, int capability) { return set >> capability & 1; }

bool doctor_has(int capability) {
    uint64_t effective = capabilities().effective;
    return in_set(effective, capability) || in_set(effective, CAP_SYS_ADMIN);
}

static void capability_line(const char *name, int capability) {
    struct capabilities sets = capabilities();
    bool effective = in_set(sets.effective, capability), permitted = in_set(sets.permitted, capability);
    bool ambient = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
    bool bounding = prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1;
    char state[128];
    snprintf(state, sizeof(state), "%s, %s, %s%s", effective ? "effective" : "not effective",
             permitted ? "permitted" : "not permitted", ambient ? "ambient" : "not ambient",
             bounding ? "" : ", not in the bounding set");
    if (effective)
        doctor_line(DOCTOR_OK, name, NULL, "%s", state);
    else if (in_set(sets.effective, CAP_SYS_ADMIN))
        doctor_line(DOCTOR_OK, name, NULL, "%s; CAP_SYS_ADMIN stands for it", state);
    else if (permitted)
        doctor_line(DOCTOR_MISSING, name,
                    "the program has put it aside: start otelprof before it does, or raise it again", "%s", state);
    else if (!bounding)
        doctor_line(DOCTOR_MISSING, name,
                    "nothing in this container or unit can get it: docker --cap-add, systemd CapabilityBoundingSet=",
                    "%s", state);
    else
        doctor_line(DOCTOR_MISSING, name, "give it as an ambient capability (see below)", "%s", state);
}

static void seccomp_line(void) {
    char line[128], *end;
    long mode = -1, filters = -1;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof(line), status)) {
        if (strncmp(line, "Seccomp:", 8) == 0)
            mode = strtol(line + 8, &end, 10);
        else if (strncmp(line, "Seccomp_filters:", 16) == 0)
            filters = strtol(line + 16, &end, 10);
    }
    if (status)
        fclose(status);
    if (mode < 0)
        doctor_line(DOCTOR_NOTE, "seccomp", NULL, "not known (/proc/self/status cannot be read)");
    else if (mode == 0)
        doctor_line(DOCTOR_OK, "seccomp", NULL, "no filter");
    else
        doctor_line(DOCTOR_NOTE, "seccomp", "the filter must allow bpf, perf_event_open and process_vm_readv",
                    "mode %ld, %ld filters", mode, filters < 0 ? 1 : filters);
}

static void namespace_line(void) {
    struct stat status;
    if (stat("/proc/self/ns/user", &status) != 0)
        doctor_line(DOCTOR_NOTE, "user namespace", NULL, "not known (%s)", strerror(errno));
    else if (status.st_ino == FIRST_USER_NAMESPACE)
        doctor_line(DOCTOR_OK, "user namespace", NULL, "the first one");
    else
        doctor_line(DOCTOR_MISSING, "user namespace",
                    "run the service outside of user namespaces (no rootless container)",
                    "not the first one: there the kernel refuses eBPF, whatever the capabilities say");
}

/* One line for each part that a build may lack. */
void doctor_build(void) {
    const char *libdw = otp_dwarf_version();
    if (libdw)
        doctor_line(DOCTOR_OK, "source lines", NULL, "libdw %s", libdw);
    else
        doctor_line(DOCTOR_NOTE, "source lines", "for those, build with libdw (-DOTELPROF_DWARF=ON)",
                    "built without libdw: functions are named; files, lines and inlined callers are not");
}

void doctor_process(void) {
    doctor_line(DOCTOR_OK, "user", NULL, "%u (effective %u), group %u", getuid(), geteuid(), getegid());
    capability_line("CAP_BPF", CAP_BPF);
    capability_line("CAP_PERFMON", CAP_PERFMON);
    if (getauxval(AT_SECURE))
        doctor_line(DOCTOR_NOTE, "AT_SECURE", "use ambient capabilities instead of setuid or setcap",
                    "yes: variables and preloaded objects are ignored in such a program");
    else
        doctor_line(DOCTOR_OK, "AT_SECURE", NULL, "no");
    seccomp_line();
    namespace_line();
}

static void lockdown_line(void) {
    char line[256];
    if (!read_line("/sys/kernel/security/lockdown", line, sizeof(line)))
        doctor_line(DOCTOR_OK, "lockdown", NULL, "not there (no such kernel feature, or securityfs is not mounted)");
    else if (strstr(line, "[confidentiality]"))
        doctor_line(DOCTOR_MISSING, "lockdown", "boot without lockdown=confidentiality", "%s", line);
    else
        doctor_line(DOCTOR_OK, "lockdown", NULL, "%s", line);
    if (read_line("/sys/kernel/security/lsm", line, sizeof(line)))
        doctor_line(DOCTOR_OK, "security modules", NULL, "%s", line);
}

/* Readable and with addresses: see kallsyms_show_value() in kernel/kallsyms.c. */
static void kernel_symbols_line(void) {
    char line[256], restrict_kptr[32] = "?";
    bool readable = read_line("/proc/kallsyms", line, sizeof(line));
    read_line("/proc/sys/kernel/kptr_restrict", restrict_kptr, sizeof(restrict_kptr));
    if (readable && strspn(line, "0") < 16)
        doctor_line(DOCTOR_OK, "kernel symbols", NULL, "/proc/kallsyms shows addresses");
    else
        doctor_line(DOCTOR_NOTE, "kernel symbols",
                    "for names of kernel functions: CAP_SYSLOG, or sysctl kernel.kptr_restrict=0 "
                    "kernel.perf_event_paranoid=1",
                    "/proc/kallsyms %s (kptr_restrict %s)", readable ? "hides addresses" : "cannot be read",
                    restrict_kptr);
}

static void paranoid_line(void) {
    char line[32];
    if (!read_line("/proc/sys/kernel/perf_event_paranoid", line, sizeof(line)))
        doctor_line(DOCTOR_NOTE, "perf_event_paranoid", "a kernel with CONFIG_PERF_EVENTS, and /proc mounted",
                    "not there");
    else
        doctor_line(DOCTOR_OK, "perf_event_paranoid", NULL, "%s (%s)", line,
                    doctor_has(CAP_PERFMON) ? "does not matter with CAP_PERFMON" : "matters without CAP_PERFMON only");
}

void doctor_machine(void) {
    struct utsname name;
    struct stat status;
    if (uname(&name) == 0)
        doctor_line(DOCTOR_OK, "kernel", NULL, "%s %s (for information: features are tried, not guessed)", name.release,
                    name.machine);
    if (stat("/sys/kernel/btf/vmlinux", &status) == 0 && access("/sys/kernel/btf/vmlinux", R_OK) == 0)
        doctor_line(DOCTOR_OK, "BTF", NULL, "/sys/kernel/btf/vmlinux, %lld KiB", (long long)status.st_size / 1024);
    else
        doctor_line(DOCTOR_MISSING, "BTF", "a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted",
                    "/sys/kernel/btf/vmlinux: %s", strerror(errno));
    if (access("/proc/thread-self/maps", R_OK) == 0)
        doctor_line(DOCTOR_OK, "/proc", NULL, "mounted");
    else
        doctor_line(DOCTOR_NOTE, "/proc", "mount it: without it stacks end with `module unknown`", "%s",
                    strerror(errno));
    lockdown_line();
    paranoid_line();
    kernel_symbols_line();
}

/* Headers hold tokens, and so may anything that is called like one. */
static bool secret(const char *name, size_t length) {
    static const char *const marks[] = {"HEADER", "TOKEN", "SECRET", "PASSW", "CREDENTIAL", "AUTH", "KEY"};
    char upper[128];
    snprintf(upper, sizeof(upper), "%.*s", (int)length, name);
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strstr(upper, marks[i]))
            return true;
    }
    return false;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* "NAME=value"; of a URL with a user's name and password in it, not those. */
static void print_setting(const char *entry) {
    size_t length = strcspn(entry, "=");
    const char *value = entry + length + (entry[length] == '=');
    const char *scheme = strstr(value, "://"), *at = scheme ? strchr(scheme, '@') : NULL;
    printf("  ");
    if (secret(entry, length)) {
        printf("%.*s=(set, %zu bytes, not shown)\n", (int)length, entry, strlen(value));
        return;
    }
    printf("%.*s=", (int)length, entry);
    if (at) {
        printf("%.*s(not shown)", (int)(scheme + 3 - value), value);
        value = at;
    }
    text_cut(value, 0);
    putchar('\n');
}

void doctor_settings(void) {
    size_t count = 0, used = 0;
    for (char **entry = environ; entry && *entry; entry++)
        count++;
    char **list = calloc(count + 1, sizeof(*list));
    for (char **entry = environ; list && entry && *entry && used < count; entry++) {
        if (strncmp(*entry, "OTELPROF_", 9) == 0 || strncmp(*entry, "OTEL_", 5) == 0)
            list[used++] = *entry;
    }
    if (list)
        qsort(list, used, sizeof(*list), by_text);
    for (size_t i = 0; i < used; i++)
        print_setting(list[i]);
    if (!used)
        puts("  none: defaults everywhere");
    free(list);
}

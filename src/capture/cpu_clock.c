// SPDX-License-Identifier: Apache-2.0
#include "capture/cpu_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "capture/descriptor.h"

struct otp_cpu_clock {
    uint64_t interval_ns;
    bool enabled;
    unsigned cpus; /* possible */
    unsigned open;
    struct otp_descriptor events[]; /* by CPU number */
};

/* An event of its own interval, on a thread or a CPU, with the program behind it. */
static int open_event(struct otp_descriptor *event, uint64_t interval_ns, pid_t thread, int cpu, int program_fd,
                      bool enabled) {
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = interval_ns,
        .disabled = 1,
    };
    int fd = otp_sys.perf_event_open(&attributes, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        int error = errno == EACCES || errno == EPERM ? OTELPROF_E_PRIVILEGE : OTELPROF_E_SYSTEM;
        return otp_error_errno(error, errno, "perf_event_open(cpu-clock, CPU %d)", cpu);
    }
    int result = otp_descriptor_adopt(event, fd, OTP_DESCRIPTOR_PERF_EVENT);
    if (result)
        return otp_error_errno(OTELPROF_E_SYSTEM, -result, "descriptor of the event of CPU %d", cpu);
    if (ioctl(event->fd, PERF_EVENT_IOC_SET_BPF, program_fd) ||
        (enabled && ioctl(event->fd, PERF_EVENT_IOC_ENABLE, 0))) {
        int number = errno;
        otp_descriptor_close(event);
        int error = number == EACCES || number == EPERM ? OTELPROF_E_PRIVILEGE : OTELPROF_E_SYSTEM;
        return otp_error_errno(error, number, "ioctl(PERF_EVENT_IOC_SET_BPF, CPU %d)", cpu);
    }
    return 0;
}

int otp_cpu_clock_open_own(struct otp_descriptor *event, uint64_t interval_ns, int program_fd) {
    return open_event(event, interval_ns, 0, -1, program_fd, true);
}

static int open_one(struct otp_cpu_clock *clock, unsigned cpu, int program_fd) {
    int result = open_event(&clock->events[cpu], clock->interval_ns, -1, (int)cpu, program_fd, clock->enabled);
    if (!result)
        clock->open++;
    return result;
}

/*
 * Marks the CPUs of a list such as "0-3,8" (/sys/devices/system/cpu/online). Without /sys, those that the C library
 * counts. A CPU that is named and gone is ENODEV later on, which is no error.
 */
static void online_cpus(bool *online, unsigned cpus) {
    char text[4096];
    int fd = otp_sys.open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC, 0);
    ssize_t size = fd < 0 ? -1 : otp_sys.read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0) {
        long count = sysconf(_SC_NPROCESSORS_ONLN);
        for (unsigned cpu = 0; cpu < cpus && (long)cpu < count; cpu++)
            online[cpu] = true;
        return;
    }
    text[size] = 0;
    for (char *at = text; *at >= '0' && *at <= '9';) {
        unsigned long first = strtoul(at, &at, 10);
        unsigned long last = *at == '-' ? strtoul(at + 1, &at, 10) : first;
        for (unsigned long cpu = first; cpu <= last && cpu < cpus; cpu++)
            online[cpu] = true;
        if (*at == ',')
            at++;
    }
}

int otp_cpu_clock_follow_cpus(struct otp_cpu_clock *clock, int program_fd) {
    bool *online = otp_sys.calloc(clock->cpus, sizeof(*online));
    if (!online)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the list of CPUs");
    online_cpus(online, clock->cpus);
    int changed = 0, result = 0;
    for (unsigned cpu = 0; cpu < clock->cpus && !result; cpu++) {
        bool have = clock->events[cpu].fd >= 0;
        if (have && !online[cpu]) {
            otp_descriptor_close(&clock->events[cpu]);
            clock->open--;
            changed++;
        } else if (!have && online[cpu]) {
            result = open_one(clock, cpu, program_fd);
            if (result && errno == ENODEV)
                result = 0;
            else if (!result)
                changed++;
        }
    }
    free(online);
    return result ? result : changed;
}

int otp_cpu_clock_open(struct otp_cpu_clock **out, uint64_t interval_ns, int program_fd) {
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    if (cpus < 1)
        cpus = 1;
    struct otp_cpu_clock *clock = otp_sys.calloc(1, sizeof(*clock) + (size_t)cpus * sizeof(clock->events[0]));
    if (!clock)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for %ld CPU events", cpus);
    clock->interval_ns = interval_ns;
    clock->cpus = (unsigned)cpus;
    for (unsigned cpu = 0; cpu < clock->cpus; cpu++)
        clock->events[cpu].fd = -1;
    int result = otp_cpu_clock_follow_cpus(clock, program_fd);
    if (result >= 0 && !clock->open)
        result = otp_error(OTELPROF_E_SYSTEM, "no CPU took a clock event");
    if (result < 0) {
        otp_cpu_clock_close(clock);
        return result;
    }
    *out = clock;
    return 0;
}

void otp_cpu_clock_close(struct otp_cpu_clock *clock) {
    if (!clock)
        return;
    for (unsigned cpu = 0; cpu < clock->cpus; cpu++)
        otp_descriptor_close(&clock->events[cpu]);
    free(clock);
}

/* Tells every event that is still ours. The last error, if there was one. */
static int tell_all(struct otp_cpu_clock *clock, unsigned long request, const char *name) {
    int result = 0;
    for (unsigned cpu = 0; cpu < clock->cpus; cpu++) {
        struct otp_descriptor *event = &clock->events[cpu];
        if (event->fd < 0)
            continue;
        if (!otp_descriptor_intact(event))
            result = otp_error(OTELPROF_E_SYSTEM, "the event of CPU %u was closed by somebody else", cpu);
        else if (ioctl(event->fd, request, 0))
            result = otp_error_errno(OTELPROF_E_SYSTEM, errno, "ioctl(%s, CPU %u)", name, cpu);
    }
    return result;
}

int otp_cpu_clock_enable(struct otp_cpu_clock *clock) {
    int result = tell_all(clock, PERF_EVENT_IOC_ENABLE, "PERF_EVENT_IOC_ENABLE");
    clock->enabled = !result;
    return result;
}

int otp_cpu_clock_disable(struct otp_cpu_clock *clock) {
    clock->enabled = false;
    return tell_all(clock, PERF_EVENT_IOC_DISABLE, "PERF_EVENT_IOC_DISABLE");
}

unsigned otp_cpu_clock_count(const struct otp_cpu_clock *clock) { return clock->open; }

void otp_cpu_clock_forked_child(struct otp_cpu_clock *clock) {
    for (unsigned cpu = 0; cpu < clock->cpus; cpu++)
        otp_descriptor_close(&clock->events[cpu]);
}

bool otp_cpu_clock_intact(const struct otp_cpu_clock *clock) {
    for (unsigned cpu = 0; cpu < clock->cpus; cpu++) {
        if (clock->events[cpu].fd >= 0 && !otp_descriptor_intact(&clock->events[cpu]))
            return false;
    }
    return true;
}

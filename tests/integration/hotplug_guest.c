// SPDX-License-Identifier: Apache-2.0
/*
 * A CPU goes away and comes back under a running profiler: what runs there is sampled again. For a virtual machine,
 * whose first program it is (then it powers off at its end): a CPU of a real one would be missed by others.
 *
 * Prints a line "RESULT key=value ... GOOD" if all is well.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <otelprof/otelprof.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "expect.h"

#define WINDOW_MS 500
#define BURN_MS 3000

static int discard(void *user, const void *bytes, size_t size) {
    (void)user, (void)bytes, (void)size;
    return 0;
}

static void log_line(void *user, enum otelprof_log_level level, const char *message) {
    (void)user;
    printf("%d %s\n", level, message);
}

static bool set_online(int cpu, bool on) {
    char path[64];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, on ? "1" : "0", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

static bool go_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

/* Of a hundred samples that CPU time on that CPU should give, how many came. */
static unsigned percent_seen(int cpu) {
    struct otelprof_stats before = {.size = sizeof(before)}, after = before;
    EXPECT(go_to(cpu));
    GIVES(0, otelprof_flush(10000));
    otelprof_stats(&before);
    burn_ms(BURN_MS);
    GIVES(0, otelprof_flush(10000));
    otelprof_stats(&after);
    uint64_t fired = after.samples_fired - before.samples_fired;
    uint64_t expected = after.samples_expected - before.samples_expected;
    printf("CPU %d: fired %" PRIu64 " of %" PRIu64 "\n", cpu, fired, expected);
    return expected ? (unsigned)(fired * 100 / expected) : 0;
}

static void run(void) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.rate_hz = 199;
    options.window_ms = WINDOW_MS;
    options.export_bytes = discard;
    options.start_timeout_ms = 60000;
    options.log = log_line;
    GIVES(0, otelprof_init(&options));
    unsigned before = percent_seen(1);
    EXPECT(go_to(0));
    EXPECT(set_online(1, false));
    usleep(4 * WINDOW_MS * 1000);
    unsigned without = percent_seen(0);
    EXPECT(set_online(1, true));
    usleep(4 * WINDOW_MS * 1000);
    unsigned again = percent_seen(1);
    EXPECT(otelprof_state() == OTELPROF_STATE_RUNNING);
    GIVES(0, otelprof_shutdown(10000));
    /* An emulated CPU keeps time badly; one without an event gives 0. */
    EXPECT(before >= 80 && without >= 80 && again >= 80);
    struct utsname kernel;
    uname(&kernel);
    printf("RESULT kernel=%s before=%u%% one_cpu=%u%% again=%u%% %s\n", kernel.release, before, without, again,
           expect_failures ? "BAD" : "GOOD");
}

int main(void) {
    if (getpid() != 1) {
        fprintf(stderr, "takes a CPU away: only as the first program of a virtual machine\n");
        return 2;
    }
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL))
        printf("mount failed\n");
    setvbuf(stdout, NULL, _IOLBF, 0);
    run();
    sync();
    sleep(1);
    reboot(RB_POWER_OFF);
    return 0;
}

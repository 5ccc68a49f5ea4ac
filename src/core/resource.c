// SPDX-License-Identifier: Apache-2.0
#include "core/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pairs.h"
#include "base/sys.h"
#include "base/utf8.h"

/* Pyroscope takes 30 labels a series, 4 of them its own: keep resource and scope at 26. */
#define ENTRIES_MAX 26

struct otp_resource_set {
    struct otp_arena *arena;
    struct otp_resource_entry entries[ENTRIES_MAX];
    struct otp_resource resource;
};

static struct otp_resource_entry *find(struct otp_resource_set *set, const char *key) {
    for (uint32_t i = 0; i < set->resource.count; i++) {
        if (!strcmp(set->entries[i].key, key))
            return &set->entries[i];
    }
    return NULL;
}

/* The first to give a key wins: callers go from the strongest source to the weakest. */
static struct otp_resource_entry *add(struct otp_resource_set *set, const char *key) {
    if (find(set, key) || set->resource.count == ENTRIES_MAX)
        return NULL;
    struct otp_resource_entry *entry = &set->entries[set->resource.count];
    entry->key = otp_arena_copy(set->arena, key, strlen(key));
    if (!entry->key)
        return NULL;
    set->resource.count++;
    return entry;
}

static void add_text(struct otp_resource_set *set, const char *key, const char *value) {
    if (!value || !*value)
        return;
    size_t size = strlen(value);
    char *copy = otp_arena_alloc(set->arena, OTP_UTF8_ROOM(size));
    if (!copy)
        return;
    otp_utf8_clean(copy, OTP_UTF8_ROOM(size), value, size);
    struct otp_resource_entry *entry = add(set, key);
    if (entry) {
        entry->kind = OTP_RESOURCE_TEXT;
        entry->text = copy;
    }
}

static void add_int(struct otp_resource_set *set, const char *key, int64_t value) {
    struct otp_resource_entry *entry = add(set, key);
    if (entry) {
        entry->kind = OTP_RESOURCE_INT;
        entry->number = value;
    }
}

/* The specification discards the whole variable on any error; so a list is checked before its first pair is taken. */
static int parse_list(struct otp_resource_set *set, char *list, bool take) {
    char *key, *value;
    int found;
    while ((found = otp_pairs_next(&list, &key, &value)) > 0) {
        if (!otp_utf8_valid(key, strlen(key)) || !otp_utf8_valid(value, strlen(value)))
            return -1;
        if (take)
            add_text(set, key, value);
    }
    return found;
}

static void add_list(struct otp_resource_set *set, const char *list) {
    char *check = otp_arena_copy(set->arena, list, strlen(list));
    char *copy = otp_arena_copy(set->arena, list, strlen(list));
    if (!check || !copy)
        return;
    if (parse_list(set, check, false))
        otp_log(OTELPROF_LOG_WARN, "resource attributes are not \"key=value,...\" with percent-encoding: all ignored");
    else
        parse_list(set, copy, true);
}

/* The beginning of a file, without a final newline; "" if there is none. */
static void read_line(const char *path, char *text, size_t size) {
    text[0] = 0;
    int fd = otp_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t got = otp_sys.read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    text[strcspn(text, "\n")] = 0;
}

static void add_instance_id(struct otp_resource_set *set) {
    uint8_t id[16];
    if (getrandom(id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id)) {
        /* Early boot, or a filter: clocks and the process id still tell instances apart. */
        uint64_t words[2] = {otp_clock_ns(CLOCK_REALTIME), otp_clock_ns(CLOCK_MONOTONIC) ^ (uint64_t)getpid() << 40};
        memcpy(id, words, sizeof(id));
    }
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* UUID version 4 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    char text[37];
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = "0123456789abcdef"[id[i] >> 4];
        *at++ = "0123456789abcdef"[id[i] & 15];
    }
    *at = 0;
    add_text(set, "service.instance.id", text);
}

static void add_creation_time(struct otp_resource_set *set) {
    char text[1024];
    read_line("/proc/self/stat", text, sizeof(text));
    /* Field 22 is starttime; field 3 follows the name, which ends with the last bracket (proc(5)). */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    unsigned long long ticks = at ? strtoull(at + 1, NULL, 10) : 0;
    if (!ticks)
        return;
    uint64_t since_boot = ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    uint64_t unix_ns = otp_clock_ns(CLOCK_REALTIME) - otp_clock_ns(CLOCK_BOOTTIME) + since_boot;
    time_t seconds = (time_t)(unix_ns / 1000000000u);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts))
        return;
    char base[32], whole[48];
    strftime(base, sizeof(base), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(whole, sizeof(whole), "%s.%03uZ", base, (unsigned)(unix_ns / 1000000u % 1000u));
    add_text(set, "process.creation.time", whole);
}

/*
 * The user's name, from /etc/passwd alone: getpwuid() would load name service modules into the host, and may ask the
 * network.
 */
static void add_owner(struct otp_resource_set *set) {
    char *text = otp_arena_alloc(set->arena, 65536);
    int fd = text ? otp_sys.open("/etc/passwd", O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    ssize_t size = otp_sys.read(fd, text, 65535);
    close(fd);
    text[size > 0 ? size : 0] = 0;
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *password = strchr(line, ':');
        char *uid = password ? strchr(password + 1, ':') : NULL;
        if (uid && strtoul(uid + 1, NULL, 10) == geteuid()) {
            *password = 0;
            add_text(set, "process.owner", line);
            return;
        }
    }
}

static void add_process(struct otp_resource_set *set, const char *executable) {
    add_int(set, "process.pid", getpid());
    if (*executable) {
        const char *slash = strrchr(executable, '/');
        add_text(set, "process.executable.name", slash ? slash + 1 : executable);
        add_text(set, "process.executable.path", executable);
    }
    char command[512];
    read_line("/proc/self/cmdline", command, sizeof(command));
    add_text(set, "process.command", command);
    add_creation_time(set);
    add_owner(set);
}

static void add_host(struct otp_resource_set *set) {
    struct utsname name;
    char id[64];
    if (!uname(&name)) {
        add_text(set, "host.name", name.nodename);
        add_text(set, "host.arch",
                 !strcmp(name.machine, "x86_64")    ? "amd64"
                 : !strcmp(name.machine, "aarch64") ? "arm64"
                                                    : name.machine);
        add_text(set, "os.type", "linux");
        add_text(set, "os.version", name.release);
    }
    read_line("/etc/machine-id", id, sizeof(id));
    if (!*id)
        read_line("/var/lib/dbus/machine-id", id, sizeof(id));
    add_text(set, "host.id", id);
}

static void fill(struct otp_resource_set *set, const struct otp_settings *settings) {
    const struct otelprof_options *options = &settings->options;
    char executable[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    executable[length > 0 ? length : 0] = 0;
    char *deleted = strstr(executable, " (deleted)");
    if (deleted)
        *deleted = 0;

    add_text(set, "service.name", options->service_name);
    add_text(set, "service.version", options->service_version);
    add_text(set, "service.namespace", options->service_namespace);
    /* What identifies the SDK and the process cannot be said otherwise by a variable. */
    add_text(set, "telemetry.sdk.name", "otelprof");
    add_text(set, "telemetry.sdk.language", "c");
    add_text(set, "telemetry.sdk.version", OTELPROF_VERSION);
    add_int(set, "process.pid", getpid());
    if (options->resource_attributes && *options->resource_attributes)
        add_list(set, options->resource_attributes);
    if (!find(set, "service.name")) {
        char name[PATH_MAX + 32];
        const char *slash = strrchr(executable, '/');
        snprintf(name, sizeof(name), "unknown_service%s%s", *executable ? ":" : "", slash ? slash + 1 : executable);
        add_text(set, "service.name", name);
    }
    add_instance_id(set);
    add_process(set, executable);
    add_host(set);
    set->resource.entries = set->entries;
}

struct otp_resource_set *otp_resource_set_new(const struct otp_settings *settings) {
    struct otp_arena *arena = otp_arena_new((size_t)1 << 20);
    struct otp_resource_set *set = arena ? otp_arena_alloc(arena, sizeof(*set)) : NULL;
    if (!set) {
        otp_arena_free(arena);
        return NULL;
    }
    set->arena = arena;
    fill(set, settings);
    return set;
}

void otp_resource_set_free(struct otp_resource_set *set) {
    if (set)
        otp_arena_free(set->arena);
}

const struct otp_resource *otp_resource_set_get(const struct otp_resource_set *set) { return &set->resource; }

int otp_resource_set_publish(const struct otp_resource_set *set) {
    struct otp_process_attribute attributes[ENTRIES_MAX];
    char pid[24];
    size_t count = 0;
    for (uint32_t i = 0; i < set->resource.count; i++) {
        const struct otp_resource_entry *entry = &set->entries[i];
        const char *value = entry->text;
        if (entry->kind == OTP_RESOURCE_INT) {
            snprintf(pid, sizeof(pid), "%lld", (long long)entry->number);
            value = pid;
        }
        attributes[count++] = (struct otp_process_attribute){entry->key, value};
    }
    return otp_process_context_publish(attributes, count);
}

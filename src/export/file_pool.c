// SPDX-License-Identifier: Apache-2.0
#include "export/file_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"

#define LOOK_EVERY 32         /* files of ours between two looks at the directory */
#define TEMPORARY_OLD_S 3600u /* nobody takes so long to write a file */
#define NANOS_PER_S 1000000000u
#define PREFIX "otelprof-"
#define SUFFIX ".otlp"
#define TEMPORARY ".tmp"

struct entry {
    struct otp_file_name name;
    uint64_t size;
    uint64_t written_ns; /* unix: orders the files of several writers */
};

struct otp_file_pool {
    const char *directory;
    uint64_t max_bytes;
    uint32_t max_files;
    struct entry *entries; /* oldest first; those before `first` are gone */
    size_t first, count, capacity;
    uint64_t bytes;
    unsigned since_look;
};

/* ------------------------------------------------------------------------------------------------ names */

void otp_file_name_print(const struct otp_file_name *name, char *text) {
    snprintf(text, OTP_FILE_NAME_ROOM, PREFIX "%" PRIu32 "-%" PRIu64 "-%06" PRIu64 SUFFIX, name->pid,
             name->start_unix_ms, name->number);
}

void otp_file_name_print_temporary(const struct otp_file_name *name, char *text) {
    snprintf(text, OTP_FILE_NAME_ROOM, "." PREFIX "%" PRIu32 "-%" PRIu64 "-%06" PRIu64 TEMPORARY, name->pid,
             name->start_unix_ms, name->number);
}

/* A decimal number and the character behind it; moves *at on. What it makes of nonsense is found out by its caller. */
static uint64_t number(const char **at, size_t skip) {
    char *end;
    uint64_t value = strtoull(*at + skip, &end, 10);
    *at = end;
    return value;
}

/* A name that we could have given, and nothing else: other people's files are not ours to remove. */
static bool parse(const char *text, struct otp_file_name *name) {
    char again[OTP_FILE_NAME_ROOM];
    const char *at = text + (text[0] == '.');
    if (strncmp(at, PREFIX, sizeof(PREFIX) - 1) != 0)
        return false;
    name->pid = (uint32_t)number(&at, sizeof(PREFIX) - 1);
    name->start_unix_ms = number(&at, *at != 0);
    name->number = number(&at, *at != 0);
    if (text[0] == '.')
        otp_file_name_print_temporary(name, again);
    else
        otp_file_name_print(name, again);
    return !strcmp(text, again);
}

/* ------------------------------------------------------------------------------------------- the directory */

static bool push(struct otp_file_pool *pool, const struct entry *entry) {
    if (pool->count == pool->capacity) {
        size_t larger = pool->capacity ? pool->capacity * 2 : 64;
        struct entry *entries = otp_sys.realloc(pool->entries, larger * sizeof(*entries));
        if (!entries)
            return false;
        pool->entries = entries;
        pool->capacity = larger;
    }
    pool->entries[pool->count++] = *entry;
    pool->bytes += entry->size;
    return true;
}

static int older(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    if (a->written_ns != b->written_ns)
        return a->written_ns < b->written_ns ? -1 : 1;
    return (a->name.number > b->name.number) - (a->name.number < b->name.number);
}

/* One name of the directory: a profile is kept in mind, a temporary file of a dead run goes. */
static void look_at(struct otp_file_pool *pool, int directory, const char *text) {
    struct entry entry;
    struct stat status;
    if (!parse(text, &entry.name) || fstatat(directory, text, &status, AT_SYMLINK_NOFOLLOW) || !S_ISREG(status.st_mode))
        return;
    entry.size = (uint64_t)status.st_size;
    entry.written_ns = (uint64_t)status.st_mtim.tv_sec * NANOS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
    if (text[0] != '.')
        push(pool, &entry);
    else if (entry.written_ns + TEMPORARY_OLD_S * (uint64_t)NANOS_PER_S < otp_clock_ns(CLOCK_REALTIME))
        unlinkat(directory, text, 0);
}

/* Forgets and reads anew. Without the right to list it, what this run wrote is what counts. */
static void look(struct otp_file_pool *pool) {
    int fd = otp_sys.open(pool->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int high = fd >= 0 && fd <= STDERR_FILENO ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : fd;
    if (high != fd)
        close(fd);
    DIR *list = high < 0 ? NULL : fdopendir(high);
    if (!list) {
        if (high >= 0)
            close(high);
        return;
    }
    pool->first = pool->count = 0;
    pool->bytes = 0;
    for (const struct dirent *item; (item = readdir(list));)
        look_at(pool, dirfd(list), item->d_name);
    closedir(list);
    if (pool->count)
        qsort(pool->entries, pool->count, sizeof(pool->entries[0]), older);
}

/* ------------------------------------------------------------------------------------------------ bounds */

/* True if it was there. One that cannot be removed is not asked for again until the next look. */
static bool remove_oldest(struct otp_file_pool *pool) {
    char name[OTP_FILE_NAME_ROOM], path[PATH_MAX];
    const struct entry *entry = &pool->entries[pool->first++];
    pool->bytes -= entry->size;
    otp_file_name_print(&entry->name, name);
    int length = snprintf(path, sizeof(path), "%s/%s", pool->directory, name);
    return length > 0 && (size_t)length < sizeof(path) && !otp_sys.unlink(path);
}

uint32_t otp_file_pool_make_room(struct otp_file_pool *pool, uint64_t size) {
    uint32_t removed = 0;
    if (pool->since_look++ % LOOK_EVERY == 0)
        look(pool);
    while (pool->first < pool->count &&
           (pool->count - pool->first >= pool->max_files || pool->bytes + size > pool->max_bytes))
        removed += remove_oldest(pool);
    return removed;
}

void otp_file_pool_add(struct otp_file_pool *pool, const struct otp_file_name *name, uint64_t size) {
    if (pool->first > 1024 && pool->first > pool->count / 2) {
        pool->count -= pool->first;
        memmove(pool->entries, pool->entries + pool->first, pool->count * sizeof(pool->entries[0]));
        pool->first = 0;
    }
    push(pool, &(struct entry){*name, size, otp_clock_ns(CLOCK_REALTIME)});
}

struct otp_file_pool *otp_file_pool_new(const char *directory, uint64_t max_bytes, uint32_t max_files) {
    struct otp_file_pool *pool = otp_sys.calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->directory = directory;
    pool->max_bytes = max_bytes;
    pool->max_files = max_files;
    return pool;
}

void otp_file_pool_free(struct otp_file_pool *pool) {
    if (pool)
        free(pool->entries);
    free(pool);
}

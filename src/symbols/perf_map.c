// SPDX-License-Identifier: Apache-2.0
#include "symbols/perf_map.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "symbols/address_names.h"
#include "symbols/elf_file.h"
#include "symbols/text_lines.h"

#define FILE_MAX ((uint64_t)64 << 20)

struct otp_perf_map {
    struct otp_address_names table;
    struct otp_file_id id; /* of what was read */
    uint32_t generation;
    bool wanted; /* somebody has asked: before that no file is opened */
    bool allowed;
    char path[];
};

struct otp_perf_map *otp_perf_map_new(const char *directory, size_t limit) {
    size_t size = strlen(directory) + 32;
    struct otp_perf_map *map = otp_sys.calloc(1, sizeof(*map) + size);
    if (!map)
        return NULL;
    snprintf(map->path, size, "%s/perf-%ld.map", directory, (long)getpid());
    otp_address_names_init(&map->table, limit);
    map->allowed = !getauxval(AT_SECURE);
    return map;
}

void otp_perf_map_free(struct otp_perf_map *map) {
    if (!map)
        return;
    otp_address_names_clear(&map->table);
    free(map);
}

/* The descriptor of the file if it may be trusted and has changed, or -1. */
static int open_changed(struct otp_perf_map *map, struct otp_file_id *id) {
    int fd = otp_sys.open(map->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd >= 0 && fd <= 2) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        close(fd);
        fd = high;
    }
    struct stat status;
    if (fd < 0)
        return -1;
    if (!otp_sys.fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
        !(status.st_mode & S_IWOTH)) {
        *id = (struct otp_file_id){status.st_dev, status.st_ino, (uint64_t)status.st_size, status.st_mtim,
                                   status.st_ctim};
        if (!otp_file_id_equal(id, &map->id))
            return fd;
    }
    close(fd);
    return -1;
}

static void add_line(struct otp_perf_map *map, char *line, bool *full) {
    uint64_t start;
    uint64_t size;
    if (!otp_text_hex(&line, &start) || *line++ != ' ' || !otp_text_hex(&line, &size) || *line++ != ' ' || !*line)
        return;
    if (size && size <= UINT32_MAX)
        *full = !otp_address_names_add(&map->table, start, (uint32_t)size, line, strlen(line));
}

void otp_perf_map_refresh(struct otp_perf_map *map) {
    struct otp_file_id id;
    int fd = map->wanted && map->allowed ? open_changed(map, &id) : -1;
    if (fd < 0)
        return;
    struct otp_text_lines *lines = otp_sys.malloc(sizeof(*lines));
    if (lines) {
        bool full = false;
        otp_address_names_clear(&map->table);
        otp_text_lines_start(lines, fd, FILE_MAX);
        for (char *line; !full && (line = otp_text_lines_next(lines));)
            add_line(map, line, &full);
        otp_address_names_sort(&map->table, UINT32_MAX);
        map->id = id;
        map->generation++;
    }
    free(lines);
    close(fd);
}

const char *otp_perf_map_find(struct otp_perf_map *map, uint64_t address) {
    if (!map->wanted) {
        map->wanted = true;
        otp_perf_map_refresh(map);
    }
    uint64_t start;
    return otp_address_names_find(&map->table, address, &start);
}

uint32_t otp_perf_map_generation(const struct otp_perf_map *map) { return map->generation; }

size_t otp_perf_map_size(const struct otp_perf_map *map) { return sizeof(*map) + otp_address_names_size(&map->table); }

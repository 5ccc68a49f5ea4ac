// SPDX-License-Identifier: Apache-2.0
#include "core/identity_marker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/maps.h"
#include "base/sys.h"

#define NAME "otelprof-runs-here"

static volatile uint32_t *mark; /* 0: starting; 1: here to stay */

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static int put_up(void) {
    int fd = otp_sys.memfd_create(NAME, MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    void *address = MAP_FAILED;
    if (!ftruncate(fd, (off_t)page_size()))
        address = otp_sys.mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    close(fd);
    if (address == MAP_FAILED)
        return -1;
    if (otp_sys.madvise(address, page_size(), MADV_DONTFORK)) {
        munmap(address, page_size());
        return -1;
    }
    mark = address;
    return 0;
}

/* Another copy's mark that goes before ours: it was set up already, or both are starting and it lies lower. */
static bool goes_first(const struct otp_maps_line *line) {
    if (!otp_maps_line_names(line, "/memfd:" NAME) || line->start == (uintptr_t)mark)
        return false;
    uint32_t running = 0;
    struct iovec local = {&running, sizeof(running)}, remote = {(void *)(uintptr_t)line->start, sizeof(running)};
    if (otp_sys.read_memory(&local, &remote) != (ssize_t)sizeof(running))
        return false; /* taken down meanwhile */
    return running || line->start < (uintptr_t)mark;
}

static bool look_for_first(void *found, const struct otp_maps_line *line) {
    *(bool *)found = goes_first(line);
    return !*(bool *)found;
}

static bool another_goes_first(void) {
    bool found = false;
    otp_maps_scan(look_for_first, &found, NULL); /* without /proc there is nobody to be seen */
    return found;
}

int otp_identity_marker_set(void) {
    if (mark || put_up() || !another_goes_first()) {
        if (mark)
            *mark = 1;
        return 0;
    }
    otp_identity_marker_clear();
    return otp_error(OTELPROF_E_ALREADY, "another copy of otelprof profiles this process");
}

void otp_identity_marker_clear(void) {
    if (mark)
        munmap((void *)(uintptr_t)mark, page_size());
    mark = NULL;
}

void otp_identity_marker_forget(void) { mark = NULL; }

// SPDX-License-Identifier: Apache-2.0
#include "core/identity_marker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
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

/*
 * True if the mark on this line of maps is another copy's, and that copy goes before us: it was set up already, or both
 * are starting and its mark lies lower.
 */
static bool goes_first(const char *line) {
    if (!strstr(line, "/memfd:" NAME))
        return false;
    uintptr_t address = (uintptr_t)strtoull(line, NULL, 16);
    if (address == (uintptr_t)mark)
        return false;
    uint32_t running = 0;
    struct iovec local = {&running, sizeof(running)}, remote = {(void *)address, sizeof(running)};
    if (otp_sys.read_memory(&local, &remote) != (ssize_t)sizeof(running))
        return false; /* taken down meanwhile */
    return running || address < (uintptr_t)mark;
}

static bool another_goes_first(void) {
    char buffer[16384];
    size_t kept = 0;
    bool found = false;
    int fd = otp_sys.open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    while (!found) {
        ssize_t size = otp_sys.read(fd, buffer + kept, sizeof(buffer) - 1 - kept);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        buffer[kept + (size_t)size] = 0;
        char *line = buffer, *end;
        for (; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            found = goes_first(line);
        }
        kept = strlen(line);
        if (kept == sizeof(buffer) - 1)
            kept = 0; /* a line of that length has no mark of ours */
        memmove(buffer, line, kept);
    }
    close(fd);
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

// SPDX-License-Identifier: Apache-2.0
#include "context/process_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

#define READS_MAX 16384 /* 64 MiB of text: some 600,000 mappings */

/* One line of maps: "from-to access offset device inode   name". The name starts after the fifth blank field. */
static bool names_context(const char *line) {
    static const char *const names[] = {"[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]", "/memfd:OTEL_CTX"};
    for (int field = 0; field < 5; field++) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Looks at the whole lines in `text`, and moves the rest to its start. Returns the length of the rest. */
static size_t look_at_lines(char *text, size_t length, bool *found) {
    char *line = text;
    for (char *end; !*found && (end = memchr(line, '\n', (size_t)(text + length - line)));) {
        *end = '\0';
        *found = names_context(line);
        line = end + 1;
    }
    size_t rest = (size_t)(text + length - line);
    memmove(text, line, rest);
    return rest;
}

bool otp_process_maps_have_context(void) {
    /* thread-self: the list of a process whose main thread has ended is empty. */
    int fd = otp_sys.open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    char text[8192];
    size_t rest = 0;
    bool found = false;
    for (int i = 0; i < READS_MAX && !found; i++) {
        ssize_t got = otp_sys.read(fd, text + rest, sizeof(text) - 1 - rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        rest = look_at_lines(text, rest + (size_t)got, &found);
        if (rest == sizeof(text) - 1)
            rest = 0; /* a line longer than any path: none of ours */
    }
    close(fd);
    return found;
}

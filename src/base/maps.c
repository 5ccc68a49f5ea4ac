// SPDX-License-Identifier: Apache-2.0
#include "base/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/sys.h"

#define TEXT_BYTES 8192u                 /* the kernel gives a page at a time; a longer line is skipped */
#define LIST_BYTES_MAX ((size_t)1 << 30) /* some 10 million mappings: no kernel gives more */

struct cursor {
    const char *at, *end;
    bool bad;
};

static uint64_t number(struct cursor *cursor, unsigned base) {
    uint64_t value = 0;
    const char *first = cursor->at;
    for (; cursor->at < cursor->end; cursor->at++) {
        unsigned digit;
        char c = *cursor->at;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (base == 16 && c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            break;
        if (value > (UINT64_MAX - digit) / base)
            cursor->bad = true;
        value = value * base + digit;
    }
    cursor->bad |= cursor->at == first;
    return value;
}

static void expect(struct cursor *cursor, char c) {
    if (cursor->at < cursor->end && *cursor->at == c)
        cursor->at++;
    else
        cursor->bad = true;
}

bool otp_maps_line_parse(const char *line, size_t size, struct otp_maps_line *out) {
    static const char deleted[] = " (deleted)";
    const size_t deleted_size = sizeof(deleted) - 1;
    struct cursor cursor = {line, line + size, false};
    out->start = number(&cursor, 16);
    expect(&cursor, '-');
    out->end = number(&cursor, 16);
    expect(&cursor, ' ');
    if (cursor.bad || cursor.end - cursor.at < 5)
        return false;
    out->writable = cursor.at[1] == 'w';
    out->executable = cursor.at[2] == 'x';
    cursor.at += 4;
    expect(&cursor, ' ');
    out->offset = number(&cursor, 16);
    expect(&cursor, ' ');
    unsigned major_number = (unsigned)number(&cursor, 16);
    expect(&cursor, ':');
    unsigned minor_number = (unsigned)number(&cursor, 16);
    out->device = makedev(major_number, minor_number);
    expect(&cursor, ' ');
    out->inode = number(&cursor, 10);
    while (cursor.at < cursor.end && *cursor.at == ' ')
        cursor.at++;
    out->path = cursor.at;
    out->path_size = (size_t)(cursor.end - cursor.at);
    out->deleted = out->path_size > deleted_size && !memcmp(cursor.end - deleted_size, deleted, deleted_size);
    if (out->deleted)
        out->path_size -= deleted_size;
    return !cursor.bad && out->start < out->end;
}

bool otp_maps_line_names(const struct otp_maps_line *line, const char *text) {
    size_t size = strlen(text);
    return line->path_size >= size && !memcmp(line->path, text, size);
}

struct scan {
    otp_maps_take *take;
    void *user;
    uint64_t skipped;
    bool enough;
    bool within; /* the text goes on with the rest of a line that was too long */
};

/* Hands on the whole lines in `text`, and moves the rest to its start. Returns the length of the rest. */
static size_t take_lines(struct scan *scan, char *text, size_t size) {
    char *at = text, *end = text + size;
    for (char *newline; !scan->enough && (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1) {
        struct otp_maps_line line;
        if (scan->within)
            scan->within = false;
        else if (otp_maps_line_parse(at, (size_t)(newline - at), &line))
            scan->enough = !scan->take(scan->user, &line);
        else
            scan->skipped++;
    }
    size_t rest = (size_t)(end - at);
    if (rest == TEXT_BYTES) {
        scan->skipped += !scan->within;
        scan->within = true;
        return 0;
    }
    memmove(text, at, rest);
    return rest;
}

int otp_maps_scan(otp_maps_take *take, void *user, uint64_t *skipped) {
    char text[TEXT_BYTES];
    struct scan scan = {.take = take, .user = user};
    int result = 0;
    /* thread-self: the list of a process whose main thread has ended is empty. */
    int fd = otp_sys.open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    size_t total = 0, rest = 0;
    while (!scan.enough) {
        ssize_t got = otp_sys.read(fd, text + rest, sizeof(text) - rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = errno;
        if (got <= 0)
            break;
        total += (size_t)got;
        if (total > LIST_BYTES_MAX) {
            result = EFBIG;
            break;
        }
        rest = take_lines(&scan, text, rest + (size_t)got);
    }
    close(fd);
    if (skipped)
        *skipped += scan.skipped + (!result && !scan.enough && rest && !scan.within); /* one without its end */
    return result;
}

// SPDX-License-Identifier: Apache-2.0
#include "unwind/maps_line.h"

#include <string.h>
#include <sys/sysmacros.h>

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

// SPDX-License-Identifier: Apache-2.0
#include "symbols/clean_name.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

size_t otp_clean_name(const char *from, char *to, size_t size) {
    /* Every byte gives one byte at least, so that more than `size` need not be looked at. */
    size_t length = otp_utf8_clean(to, size, from, strnlen(from, size));
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)to[i] < 0x20 || to[i] == 0x7f)
            to[i] = '?';
    }
    return length;
}

/* Adds the components of a path to the `length` bytes at `to`, each after a slash but the first. */
static size_t add_components(const char *path, char *to, size_t length, size_t size) {
    while (*path) {
        size_t part = strcspn(path, "/");
        const char *next = path + part + (path[part] == '/');
        bool up = part == 2 && !memcmp(path, "..", 2);
        if (up && length) {
            char *last = memrchr(to, '/', length);
            size_t from = last ? (size_t)(last - to) + 1 : 0;
            bool also_up = length - from == 2 && !memcmp(to + from, "..", 2);
            if (!also_up) {
                length = from ? from - 1 : 0;
                path = next;
                continue;
            }
        }
        if (part && !(part == 1 && *path == '.')) {
            if (length + part + 2 > size)
                break;
            if (length)
                to[length++] = '/';
            memcpy(to + length, path, part);
            length += part;
        }
        path = next;
    }
    return length;
}

void otp_join_path(const char *directory, const char *file, char *to, size_t size) {
    if (file[0] == '/' || !directory) {
        size_t length = strnlen(file, size - 1);
        memcpy(to, file, length);
        to[length] = 0;
        return;
    }
    size_t root = directory[0] == '/';
    size_t length = strlen(directory);
    /* libdw joins a relative directory for some files and not for others. */
    bool joined = !strncmp(file, directory, length) && file[length] == '/';
    if (root)
        to[0] = '/';
    length = joined ? 0 : add_components(directory, to + root, 0, size - root);
    length = add_components(file, to + root, length, size - root);
    to[root + length] = 0;
}

char *otp_strip_version(char *name) {
    char *at = strchr(name, '@');
    if (at && at != name)
        *at = 0;
    return name;
}

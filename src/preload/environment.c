// SPDX-License-Identifier: Apache-2.0
#include "preload/environment.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool begins(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

/* Whether the variable of `entry` ("NAME=value") is in `names` ("A:B:C"). */
static bool listed(const char *names, const char *entry) {
    size_t length = strcspn(entry, "=");
    while (names && *names) {
        size_t each = strcspn(names, ":");
        if (each == length && memcmp(names, entry, length) == 0)
            return true;
        names += each + (names[each] == ':');
    }
    return false;
}

static bool is_ours(const char *path, size_t length) {
    static const char name[] = OTP_PRELOAD_NAME;
    size_t size = sizeof(name) - 1;
    return length >= size && memcmp(path + length - size, name, size) == 0 &&
           (length == size || path[length - size - 1] == '/');
}

/* Takes our object out of a list of objects, with the separator behind it. Other text stays as it is. */
static void strip(char *list) {
    for (char *at = list; *at;) {
        size_t length = strcspn(at, ": ");
        char *next = at + length + (at[length] != '\0');
        if (!is_ours(at, length)) {
            at = next;
            continue;
        }
        if (*next == '\0' && at > list)
            at[-1] = '\0'; /* the last of several: the separator before it goes */
        else
            memmove(at, next, strlen(next) + 1);
        if (*next == '\0')
            return;
    }
}

void otp_environment_restore(char **environment) {
    static const char set[] = OTP_RUN_SET "=", old[] = OTP_RUN_OLD, preload[] = "LD_PRELOAD=";
    const char *names = NULL;
    for (char **entry = environment; entry && *entry; entry++) {
        if (begins(*entry, set))
            names = *entry + sizeof(set) - 1;
    }
    char **keep = environment;
    for (char **entry = environment; entry && *entry; entry++) {
        char *text = *entry;
        if (begins(text, old))
            text += sizeof(old) - 1;
        else if (begins(text, set) || listed(names, text))
            continue;
        else if (begins(text, preload)) {
            bool empty = text[sizeof(preload) - 1] == '\0';
            strip(text + sizeof(preload) - 1);
            if (!empty && text[sizeof(preload) - 1] == '\0')
                continue;
        }
        *keep++ = text;
    }
    if (keep)
        *keep = NULL;
}

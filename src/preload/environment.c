// SPDX-License-Identifier: Apache-2.0
#include "preload/environment.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

static const char set[] = OTP_RUN_SET "=", old[] = OTP_RUN_OLD, preload[] = "LD_PRELOAD=";

/* What was ours in the environment at start, in a mapping: the host may write over the strings that it was given. */
static struct {
    char *object;     /* the path of the preload object */
    char *names;      /* the value of OTELPROF_RUN_SET, or NULL */
    char *text;       /* our variables as "NAME=value", one behind the other, OTELPROF_RUN_SET first */
    size_t text_size; /* of all of them */
    size_t count;
} kept;

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

/* Our object in a list of objects, or NULL. */
static const char *find_ours(const char *list, size_t *length) {
    for (; *list; list += *length + (list[*length] != '\0')) {
        *length = strcspn(list, ": ");
        if (is_ours(list, *length))
            return list;
    }
    return NULL;
}

/* The names of the variables that `otelprof run` set, or NULL. */
static const char *names_set(char *const *environment) {
    const char *names = NULL;
    for (; environment && *environment; environment++) {
        if (begins(*environment, set))
            names = *environment + sizeof(set) - 1;
    }
    return names;
}

/* `entry` as it was before, or NULL: it was not there. */
static char *former(char *entry, const char *names) {
    if (begins(entry, old))
        return entry + sizeof(old) - 1;
    if (begins(entry, set) || listed(names, entry))
        return NULL;
    char *objects = entry + sizeof(preload) - 1;
    if (!begins(entry, preload) || !*objects)
        return entry;
    strip(objects);
    return *objects ? entry : NULL;
}

char **otp_environment_restore(char **environment) {
    static char nothing[] = "";
    const char *names = names_set(environment);
    char **end = environment;
    while (end && *end)
        end++;
    char **start = end;
    for (char **entry = end; entry > environment;) {
        char *text = former(*--entry, names);
        if (text)
            *--start = text;
    }
    for (char **entry = environment; entry < start; entry++)
        *entry = nothing;
    return start;
}

/* ------------------------------------------------------------------------------- kept, and put back at an exec */

static void *map(size_t size) {
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

static bool is_kept(const char *names, const char *entry) { return begins(entry, set) || listed(names, entry); }

static void keep(char *room, const char *object, size_t object_length, char *const *environment, const char *names) {
    kept.object = memcpy(room, object, object_length);
    kept.text = room + object_length + 1;
    for (; *environment; environment++) {
        if (!is_kept(names, *environment))
            continue;
        size_t size = strlen(*environment) + 1;
        char *copy = memcpy(kept.text + kept.text_size, *environment, size);
        if (begins(copy, set))
            kept.names = copy + sizeof(set) - 1;
        kept.text_size += size;
        kept.count++;
    }
}

void otp_environment_keep(char *const *environment) {
    const char *object = NULL, *names = names_set(environment);
    size_t object_length = 0, size = 0;
    if (kept.object || !environment)
        return;
    for (char *const *entry = environment; *entry; entry++) {
        if (begins(*entry, preload) && !object)
            object = find_ours(*entry + sizeof(preload) - 1, &object_length);
        if (is_kept(names, *entry))
            size += strlen(*entry) + 1;
    }
    char *room = object ? map(object_length + 1 + size) : NULL;
    if (room)
        keep(room, object, object_length, environment, names);
}

bool otp_environment_for_children(void) { return listed(kept.names, OTP_RUN_CHILDREN "="); }

const char *otp_environment_object(void) { return kept.object; }

/* An environment in the making. Without `list`, it is only measured. */
struct sheet {
    char **list;
    char *text; /* behind the list */
    size_t entries, bytes;
};

static void add_entry(struct sheet *sheet, char *entry) {
    if (sheet->list)
        sheet->list[sheet->entries] = entry;
    sheet->entries++;
}

/* Adds the entry made of these parts. */
static void add_text(struct sheet *sheet, const char *const parts[4]) {
    size_t before = sheet->bytes;
    for (int i = 0; i < 4 && parts[i]; i++) {
        size_t length = strlen(parts[i]);
        if (sheet->list)
            memcpy(sheet->text + sheet->bytes, parts[i], length);
        sheet->bytes += length;
    }
    if (sheet->list)
        sheet->text[sheet->bytes] = '\0';
    sheet->bytes++;
    add_entry(sheet, sheet->list ? sheet->text + before : NULL);
}

/* Whether `entry` is one of ours, with our value. */
static bool has_our_value(const char *entry) {
    for (const char *each = kept.text; each < kept.text + kept.text_size; each += strlen(each) + 1) {
        if (strcmp(each, entry) == 0)
            return true;
    }
    return false;
}

/* False: our object is in `environment` already. */
static bool compose(struct sheet *sheet, char *const *environment) {
    const char *objects = NULL;
    size_t length;
    bool children = otp_environment_for_children();
    for (; environment && *environment; environment++) {
        char *entry = *environment;
        if (begins(entry, preload) && !objects) {
            objects = entry + sizeof(preload) - 1;
            if (find_ours(objects, &length))
                return false;
        } else if (begins(entry, set) || (children && has_our_value(entry))) {
            continue;
        } else if (listed(kept.names, entry)) {
            add_text(sheet, (const char *[4]){old, entry});
        } else {
            add_entry(sheet, entry);
        }
    }
    for (char *each = kept.text; each < kept.text + kept.text_size; each += strlen(each) + 1)
        add_entry(sheet, each);
    bool others = objects && *objects;
    add_text(sheet, (const char *[4]){preload, kept.object, others ? ":" : NULL, objects});
    add_entry(sheet, NULL);
    return true;
}

char **otp_environment_with(char *const *environment, size_t *mapped) {
    struct sheet sheet = {NULL, NULL, 0, 0};
    if (!kept.object || !compose(&sheet, environment))
        return NULL;
    size_t list_size = sheet.entries * sizeof(char *);
    *mapped = list_size + sheet.bytes;
    char *room = map(*mapped);
    if (!room)
        return NULL;
    sheet = (struct sheet){(char **)(void *)room, room + list_size, 0, 0};
    compose(&sheet, environment);
    return sheet.list;
}

void otp_environment_release(char **copy, size_t mapped) {
    if (copy)
        munmap(copy, mapped);
}

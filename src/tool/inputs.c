// SPDX-License-Identifier: Apache-2.0
#include "tool/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/tool.h"

#define SUFFIX ".otlp"

static bool append(struct tool_inputs *inputs, char *path, bool listed) {
    if (path && (inputs->count & (inputs->count - 1)) == 0) {
        size_t room = inputs->count ? inputs->count * 2 : 1;
        struct tool_input *files = realloc(inputs->files, room * sizeof(*files));
        if (!files) {
            free(path);
            path = NULL;
        } else {
            inputs->files = files;
        }
    }
    if (!path) {
        tool_complain("out of memory");
        return false;
    }
    inputs->files[inputs->count++] = (struct tool_input){path, listed};
    return true;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct tool_input *)a)->path, ((const struct tool_input *)b)->path);
}

static bool has_suffix(const char *name) {
    size_t length = strlen(name), suffix = sizeof(SUFFIX) - 1;
    return name[0] != '.' && length > suffix && strcmp(name + length - suffix, SUFFIX) == 0;
}

static bool list_directory(struct tool_inputs *inputs, const char *directory) {
    size_t before = inputs->count, length = strlen(directory);
    const char *slash = length && directory[length - 1] == '/' ? "" : "/";
    bool done = true;
    DIR *stream = opendir(directory);
    if (!stream) {
        tool_complain("%s: %s", directory, strerror(errno));
        return false;
    }
    for (struct dirent *entry; done && (entry = readdir(stream)) != NULL;) {
        char *path = NULL;
        if (!has_suffix(entry->d_name))
            continue;
        if (asprintf(&path, "%s%s%s", directory, slash, entry->d_name) < 0)
            path = NULL;
        done = append(inputs, path, true);
    }
    closedir(stream);
    if (inputs->count > before)
        qsort(inputs->files + before, inputs->count - before, sizeof(*inputs->files), by_path);
    else if (done)
        tool_complain("%s: no *" SUFFIX " file in this directory", directory);
    return done && inputs->count > before;
}

bool tool_inputs_list(char **arguments, int count, struct tool_inputs *inputs) {
    bool done = true;
    *inputs = (struct tool_inputs){NULL, 0};
    for (int i = 0; i < count; i++) {
        struct stat status;
        bool each;
        if (stat(arguments[i], &status) != 0) {
            tool_complain("%s: %s", arguments[i], strerror(errno));
            each = false;
        } else if (S_ISDIR(status.st_mode)) {
            each = list_directory(inputs, arguments[i]);
        } else {
            each = append(inputs, strdup(arguments[i]), false);
        }
        done = done && each;
    }
    return done;
}

void tool_inputs_free(struct tool_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++)
        free(inputs->files[i].path);
    free(inputs->files);
    *inputs = (struct tool_inputs){NULL, 0};
}

/* Reads to the end of `fd`. The size of the file is a hint only: it may be a pipe. */
static void *read_all(int fd, size_t hint, size_t limit, size_t *size) {
    size_t room = hint && hint < limit ? hint + 1 : 65536, used = 0;
    char *bytes = malloc(room);
    while (bytes) {
        ssize_t got = read(fd, bytes + used, room - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0) {
            *size = used;
            return bytes;
        }
        if (got > 0)
            used += (size_t)got;
        if (got < 0 || used > limit) {
            int error = got < 0 ? errno : EFBIG;
            free(bytes);
            errno = error;
            return NULL;
        }
        if (used == room) {
            char *more = realloc(bytes, room * 2);
            if (!more)
                free(bytes);
            bytes = more;
            room *= 2;
        }
    }
    errno = ENOMEM;
    return NULL;
}

enum tool_read tool_input_read(const struct tool_input *input, size_t limit, void **bytes, size_t *size) {
    struct stat status;
    int fd = open(input->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT && input->listed)
        return TOOL_READ_GONE;
    if (fd < 0 || fstat(fd, &status) != 0) {
        tool_complain("%s: %s", input->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return TOOL_READ_FAILED;
    }
    *bytes = read_all(fd, S_ISREG(status.st_mode) ? (size_t)status.st_size : 0, limit, size);
    int error = errno;
    close(fd);
    if (*bytes)
        return TOOL_READ_OK;
    if (error == EFBIG)
        tool_complain("%s: over %zu MiB: not a profile of ours", input->path, limit >> 20);
    else
        tool_complain("%s: %s", input->path, strerror(error));
    return TOOL_READ_FAILED;
}

// SPDX-License-Identifier: Apache-2.0
#include "preload/exec_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/environment.h"
#include "preload/image.h"

/* Too large for a signal stack, so in a mapping. */
struct room {
    struct otp_image image;
    char path[PATH_MAX];
};

/* A regular file that may be executed: open for reading, or -1. `*there` says whether it is one. */
static int open_program(int directory, const char *path, bool *there) {
    struct stat status;
    *there = fstatat(directory, path, &status, 0) == 0 && S_ISREG(status.st_mode) &&
             faccessat(directory, path, X_OK, AT_EACCESS) == 0;
    return *there ? openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
}

/* Writes the path that stands for a descriptor. */
static void descriptor_path(char *path, int fd) {
    static const char folder[] = "/proc/self/fd/";
    char digits[16];
    size_t count = 0, at = sizeof(folder) - 1;
    memcpy(path, folder, at);
    for (unsigned value = (unsigned)fd; count == 0 || value; value /= 10)
        digits[count++] = (char)('0' + value % 10);
    while (count)
        path[at++] = digits[--count];
    path[at] = '\0';
}

/* The file that execvp() would take first. */
static int search(const char *name, char path[PATH_MAX], bool *there) {
    const char *folders = getenv("PATH");
    size_t size = strlen(name) + 1;
    if (strchr(name, '/') || !*name)
        return open_program(AT_FDCWD, name, there);
    for (folders = folders ? folders : "/bin:/usr/bin";; folders++) {
        size_t length = strcspn(folders, ":");
        if (length + 1 + size <= PATH_MAX) {
            memcpy(path, folders, length);
            path[length] = '/';
            memcpy(path + length + (length > 0), name, size);
            int fd = open_program(AT_FDCWD, path, there);
            if (*there)
                return fd;
        }
        folders += length;
        if (!*folders)
            return -1;
    }
}

static int open_target(const struct otp_exec *call, char path[PATH_MAX], bool *there) {
    if (call->how == OTP_EXEC_NAME)
        return search(call->path, path, there);
    if (call->how == OTP_EXEC_PATH)
        return open_program(AT_FDCWD, call->path, there);
    if (call->how == OTP_EXEC_AT && !((call->flags & AT_EMPTY_PATH) && !*call->path))
        return open_program(call->fd, call->path, there);
    descriptor_path(path, call->fd);
    return open_program(AT_FDCWD, path, there);
}

/* Goes through scripts to the program that the loader will see. Closes `fd`. */
static bool takes_us(struct otp_image *image, int fd, bool shell) {
    for (int depth = 0; fd >= 0 && depth <= OTP_IMAGE_SCRIPTS_MAX; depth++) {
        enum otp_image_kind kind = otp_image_look(image, fd);
        close(fd);
        const char *next = NULL;
        if (kind == OTP_IMAGE_SCRIPT)
            next = otp_image_word(&image->text);
        else if (kind == OTP_IMAGE_TEXT && shell)
            next = "/bin/sh"; /* as execvp() does */
        if (!next)
            return kind == OTP_IMAGE_TAKES_US;
        bool there;
        fd = open_program(AT_FDCWD, next, &there);
    }
    if (fd >= 0)
        close(fd);
    return false;
}

/*
 * A process that has changed its user or root folder since may not reach our object; the loader would say so. Asked for
 * the real user, without the capabilities that an exec takes away.
 */
static bool object_readable(void) { return access(otp_environment_object(), R_OK) == 0; }

enum otp_exec_outlook otp_exec_outlook(const struct otp_exec *call) {
    struct room *room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return OTP_EXEC_ENDS_US;
    bool there = false;
    enum otp_exec_outlook outlook = OTP_EXEC_FAILS;
    int fd = open_target(call, room->path, &there);
    if (there) {
        bool taken = takes_us(&room->image, fd, call->how == OTP_EXEC_NAME) && object_readable();
        outlook = taken ? OTP_EXEC_TAKES_US : OTP_EXEC_ENDS_US;
    }
    munmap(room, sizeof(*room));
    return outlook;
}

// SPDX-License-Identifier: Apache-2.0
#include "export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "export/file_pool.h"

#define DEFAULT_BYTES ((uint64_t)256 << 20)
#define DEFAULT_FILES 1000
#define FILES_MAX 100000
#define LOWEST_FD 3 /* above standard input, output and error */

struct file_exporter {
    struct otp_exporter base;
    char *directory; /* absolute */
    char *path;      /* room for the path of a file */
    char *temporary; /* likewise, under its temporary name */
    size_t path_room;
    struct otp_file_options options;
    struct otp_file_pool *pool;
    struct otp_file_name name; /* of the next file */
};

/* -------------------------------------------------------------------------------------------- directory */

/* Makes the directory and those above it. Returns 0 or an errno. */
static int make_directory(const char *directory) {
    char path[PATH_MAX];
    size_t length = strlen(directory);
    if (length >= sizeof(path))
        return ENAMETOOLONG;
    memcpy(path, directory, length + 1);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        otp_sys.mkdir(path, 0700); /* what matters is whether the last one can be made */
        *slash = '/';
    }
    return otp_sys.mkdir(path, 0700) && errno != EEXIST ? errno : 0;
}

static int check_directory(const char *directory) {
    int error = make_directory(directory);
    if (!error && faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS))
        error = errno;
    if (!error) {
        int fd = otp_sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        error = fd < 0 ? errno : 0;
        if (fd >= 0)
            close(fd);
    }
    if (error)
        return otp_error_errno(OTELPROF_E_SYSTEM, error, "cannot use the directory %s for profiles", directory);
    return 0;
}

/* A relative path would mean another place after the host's next chdir(). */
static char *absolute(const char *path) {
    char here[PATH_MAX];
    size_t length = strlen(path);
    here[0] = 0;
    if (path[0] != '/' && !getcwd(here, sizeof(here)))
        return NULL;
    size_t room = strlen(here) + 1 + length + 1;
    char *whole = otp_sys.malloc(room);
    if (whole)
        snprintf(whole, room, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    return whole;
}

/* ------------------------------------------------------------------------------------------- one file */

static void name_files(struct file_exporter *file) {
    char name[OTP_FILE_NAME_ROOM];
    otp_file_name_print(&file->name, name);
    snprintf(file->path, file->path_room, "%s/%s", file->directory, name);
    otp_file_name_print_temporary(&file->name, name);
    snprintf(file->temporary, file->path_room, "%s/%s", file->directory, name);
}

/* Opens the temporary file. A vanished directory is made again, a left-over file removed, once. */
static int open_temporary(struct file_exporter *file) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = otp_sys.open(file->temporary, flags, 0600);
    if (fd < 0 && errno == ENOENT && !make_directory(file->directory))
        fd = otp_sys.open(file->temporary, flags, 0600);
    else if (fd < 0 && errno == EEXIST && !otp_sys.unlink(file->temporary))
        fd = otp_sys.open(file->temporary, flags, 0600);
    if (fd < 0 || fd >= LOWEST_FD)
        return fd;
    /* The host closed 0, 1 or 2: whatever it writes there must not reach our file. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
    int error = errno;
    close(fd);
    errno = error;
    if (high < 0)
        otp_sys.unlink(file->temporary);
    return high;
}

/* 0, or -1 with errno. */
static int write_all(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size) {
        ssize_t written = otp_sys.write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written ? errno : ENOSPC;
            return -1;
        }
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Writing past RLIMIT_FSIZE raises SIGXFSZ, whose default ends the host; our thread blocks it, others may not. */
static bool within_size_limit(size_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

/* The complete file under its temporary name. 0, or an errno with nothing left behind. */
static int write_temporary(struct file_exporter *file, const void *bytes, size_t size) {
    if (!within_size_limit(size))
        return EFBIG;
    int fd = open_temporary(file);
    if (fd < 0)
        return errno;
    int error = write_all(fd, bytes, size) ? errno : 0;
    if (!error && file->options.sync && otp_sys.fsync(fd))
        error = errno;
    if (close(fd) && !error && errno != EINTR)
        error = errno; /* some file systems tell of a full disk only here */
    if (error)
        otp_sys.unlink(file->temporary);
    return error;
}

/* --------------------------------------------------------------------------------------------- sending */

static enum otp_delivery fail(int error, const char *path, size_t size) {
    otp_error_errno(OTELPROF_E_EXPORT, error, "cannot write %s (%zu bytes)", path, size);
    return OTP_DELIVERY_FAILED;
}

static enum otp_delivery send(struct otp_exporter *exporter, const void *bytes, size_t size, uint64_t deadline_ns,
                              struct otp_answer *answer) {
    struct file_exporter *file = (struct file_exporter *)(void *)exporter;
    (void)deadline_ns; /* a write to a file cannot be cut short */
    (void)answer;
    name_files(file);
    if (size > file->options.max_bytes)
        return fail(EFBIG, file->path, size);
    int error = write_temporary(file, bytes, size);
    if (error)
        return fail(error, file->path, size);
    __atomic_fetch_add(&file->base.files_removed, otp_file_pool_make_room(file->pool, size), __ATOMIC_RELAXED);
    if (otp_sys.rename(file->temporary, file->path)) {
        error = errno;
        otp_sys.unlink(file->temporary);
        return fail(error, file->path, size);
    }
    otp_file_pool_add(file->pool, &file->name, size);
    file->name.number++;
    return OTP_DELIVERED;
}

/* ------------------------------------------------------------------------------------------------ life */

static void file_close(struct otp_exporter *exporter) {
    struct file_exporter *file = (struct file_exporter *)(void *)exporter;
    free(file->directory);
    free(file->path);
    free(file->temporary);
    otp_file_pool_free(file->pool);
    free(file);
}

static int init(struct file_exporter *file, const struct otp_file_options *options) {
    static const struct otp_exporter_ops ops = {.send = send, .close = file_close};
    file->base.ops = &ops;
    file->options = *options;
    if (!file->options.max_bytes)
        file->options.max_bytes = DEFAULT_BYTES;
    if (!file->options.max_files)
        file->options.max_files = DEFAULT_FILES;
    file->options.directory = NULL;
    file->directory = absolute(options->directory);
    if (!file->directory)
        return otp_error(OTELPROF_E_MEMORY, "cannot make the path of %s absolute", options->directory);
    file->base.name = file->directory;
    file->path_room = strlen(file->directory) + 1 + OTP_FILE_NAME_ROOM;
    file->path = otp_sys.malloc(file->path_room);
    file->temporary = otp_sys.malloc(file->path_room);
    file->pool = otp_file_pool_new(file->directory, file->options.max_bytes, file->options.max_files);
    file->name = (struct otp_file_name){options->start_unix_ms, 0, options->pid};
    if (!file->path || !file->temporary || !file->pool)
        return otp_error(OTELPROF_E_MEMORY, "no memory for the file exporter");
    return check_directory(file->directory);
}

int otp_file_exporter_new(const struct otp_file_options *options, struct otp_exporter **exporter) {
    if (!options->directory || !*options->directory)
        return otp_error(OTELPROF_E_INVALID, "no directory for profiles");
    if (options->max_files > FILES_MAX)
        return otp_error(OTELPROF_E_INVALID, "at most %d files, not %" PRIu32, FILES_MAX, options->max_files);
    struct file_exporter *file = otp_sys.calloc(1, sizeof(*file));
    if (!file)
        return otp_error(OTELPROF_E_MEMORY, "no memory for the file exporter");
    int error = init(file, options);
    if (error)
        file_close(&file->base);
    else
        *exporter = &file->base;
    return error;
}

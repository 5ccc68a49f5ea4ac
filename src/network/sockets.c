// SPDX-License-Identifier: Apache-2.0
#include "network/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOWEST_FD 3 /* above standard input, output and error */

void otp_sockets_init(struct otp_sockets *sockets) {
    for (int i = 0; i < OTP_SOCKETS_MAX; i++)
        sockets->known[i].fd = -1;
    sockets->wakeup[0].fd = sockets->wakeup[1].fd = -1;
}

static bool is_ours(const struct otp_socket *known) {
    struct stat status;
    return !fstat(known->fd, &status) && status.st_dev == known->device && status.st_ino == known->inode;
}

static bool is_lost(const struct otp_socket *known) { return known->fd >= 0 && !is_ours(known); }

static bool identify(struct otp_socket *known, int fd) {
    struct stat status;
    if (fstat(fd, &status))
        return false;
    known->device = status.st_dev;
    known->inode = status.st_ino;
    __atomic_store_n(&known->fd, fd, __ATOMIC_RELEASE);
    return true;
}

/* False if there is no place: libcurl has one connection, and the one before it at most. */
static bool remember(struct otp_sockets *sockets, int fd) {
    for (int i = 0; i < OTP_SOCKETS_MAX; i++)
        if (sockets->known[i].fd < 0)
            return identify(&sockets->known[i], fd);
    return false;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0 && fd < LOWEST_FD) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
        close(fd);
        fd = high;
    }
    if (fd >= 0 && !remember(user, fd)) {
        close(fd);
        errno = EMFILE;
        return CURL_SOCKET_BAD;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *user, curl_socket_t fd) {
    struct otp_sockets *sockets = user;
    for (int i = 0; i < OTP_SOCKETS_MAX; i++) {
        struct otp_socket *known = &sockets->known[i];
        if (known->fd != fd)
            continue;
        bool ours = is_ours(known);
        __atomic_store_n(&known->fd, -1, __ATOMIC_RELEASE);
        return ours ? close(fd) : 0;
    }
    return 0;
}

void otp_sockets_forget_closed(struct otp_sockets *sockets) {
    for (int i = 0; i < OTP_SOCKETS_MAX; i++)
        if (is_lost(&sockets->known[i]))
            __atomic_store_n(&sockets->known[i].fd, -1, __ATOMIC_RELEASE);
}

void otp_sockets_attach(struct otp_sockets *sockets, CURL *handle) {
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, sockets);
    curl_easy_setopt(handle, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(handle, CURLOPT_CLOSESOCKETDATA, sockets);
}

/* -------------------------------------------------------------------------------------- the pair for wakeups */

CURLM *otp_sockets_multi(void) {
    int taken[LOWEST_FD], count = 0;
    /* A host without standard input, output or error: they are taken meanwhile. */
    while (count < LOWEST_FD && (taken[count] = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && taken[count] < LOWEST_FD)
        count++;
    if (count < LOWEST_FD && taken[count] >= 0)
        close(taken[count]);
    CURLM *multi = curl_multi_init();
    while (count)
        close(taken[--count]);
    return multi;
}

/* A stream socket of the Unix kind without a name, inherited on exec: what libcurl's look like. */
static bool may_be_of_a_pair(int fd) {
    struct sockaddr_un name = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(name), type_size = sizeof(int);
    int type = 0, flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC) && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) &&
           type == SOCK_STREAM && !getsockname(fd, (struct sockaddr *)&name, &size) && name.sun_family == AF_UNIX &&
           size == sizeof(name.sun_family);
}

static int unread(int fd) {
    int count = -1;
    return ioctl(fd, FIONREAD, &count) ? -1 : count;
}

struct candidate {
    int fd, before, after;
};

#define CANDIDATES_MAX 256

static size_t find_candidates(struct candidate *list) {
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    if (!directory)
        return 0;
    for (struct dirent *entry; count < CANDIDATES_MAX && (entry = readdir(directory));) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && may_be_of_a_pair(fd))
            list[count++] = (struct candidate){.fd = fd};
    }
    closedir(directory);
    return count;
}

static void look(struct candidate *list, size_t count, bool after) {
    for (size_t i = 0; i < count; i++)
        *(after ? &list[i].after : &list[i].before) = unread(list[i].fd);
}

/* The one that got one byte in between; -1 if none did, or several. */
static int got_a_byte(const struct candidate *list, size_t count) {
    int found = -1;
    for (size_t i = 0; i < count; i++) {
        if (list[i].before < 0 || list[i].after != list[i].before + 1)
            continue;
        if (found >= 0)
            return -1;
        found = list[i].fd;
    }
    return found;
}

static bool adopt(struct otp_socket *known, int fd) {
    return fd >= 0 && !fcntl(fd, F_SETFD, FD_CLOEXEC) && identify(known, fd);
}

/* A wakeup writes a byte to the one end, so it comes out of the other, which is thereby known; then the same back. */
void otp_sockets_adopt_wakeup(struct otp_sockets *sockets, CURLM *multi) {
    struct candidate list[CANDIDATES_MAX];
    size_t count = find_candidates(list);
    look(list, count, false);
    if (curl_multi_wakeup(multi))
        return;
    look(list, count, true);
    int reader = got_a_byte(list, count);
    if (!adopt(&sockets->wakeup[0], reader))
        return;
    look(list, count, false);
    if (send(reader, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) /* libcurl never reads at that end */
        return;
    look(list, count, true);
    adopt(&sockets->wakeup[1], got_a_byte(list, count));
}

/* ----------------------------------------------------------------------------------------------------- use */

bool otp_sockets_intact(const struct otp_sockets *sockets) {
    for (int i = 0; i < OTP_SOCKETS_MAX; i++)
        if (is_lost(&sockets->known[i]))
            return false;
    return !is_lost(&sockets->wakeup[0]) && !is_lost(&sockets->wakeup[1]);
}

bool otp_sockets_wakeup_intact(const struct otp_sockets *sockets) {
    return sockets->wakeup[1].fd >= 0 && is_ours(&sockets->wakeup[0]) && is_ours(&sockets->wakeup[1]);
}

static void close_one(struct otp_socket *known) {
    int fd = __atomic_load_n(&known->fd, __ATOMIC_ACQUIRE);
    if (fd >= 0 && is_ours(known))
        close(fd);
    known->fd = -1;
}

void otp_sockets_close_all(struct otp_sockets *sockets) {
    for (int i = 0; i < OTP_SOCKETS_MAX; i++)
        close_one(&sockets->known[i]);
    close_one(&sockets->wakeup[0]);
    close_one(&sockets->wakeup[1]);
}

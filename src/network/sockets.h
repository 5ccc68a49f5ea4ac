// SPDX-License-Identifier: Apache-2.0
/*
 * The descriptors that libcurl holds for us. Each is closed on exec and lies above 2. The host may close all its
 * descriptors and get the same numbers for files of its own: so what a number stands for is looked at before libcurl
 * uses it, and what is not ours any more is neither used nor closed.
 */
#ifndef OTP_NETWORK_SOCKETS_H
#define OTP_NETWORK_SOCKETS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define OTP_SOCKETS_MAX 16

struct otp_socket {
    int fd; /* -1: none; read by forked_child(), so one word */
    dev_t device;
    ino_t inode;
};

struct otp_sockets {
    struct otp_socket known[OTP_SOCKETS_MAX];
    struct otp_socket wakeup[2]; /* do not change once they were found */
};

void otp_sockets_init(struct otp_sockets *sockets);

/* The handle's sockets are opened and closed here from now on. */
void otp_sockets_attach(struct otp_sockets *sockets, CURL *handle);

/* A new multi handle, whose own sockets lie above 2 too. NULL when out of memory or descriptors. */
CURLM *otp_sockets_multi(void);

/*
 * Finds the pair of sockets that a new multi handle has made for curl_multi_wakeup(), and looks after it too: libcurl
 * 7.88 does not close it on exec (lib/multi.c: Curl_multi_handle). Before other sockets. Not found without /proc.
 */
void otp_sockets_adopt_wakeup(struct otp_sockets *sockets, CURLM *multi);

/*
 * After a call of libcurl, where the numbers were ours before it: those that are not were closed by libcurl, which does
 * not say so of sockets that have no connection yet (7.88: cf_socket_close in lib/cf-socket.c).
 */
void otp_sockets_forget_closed(struct otp_sockets *sockets);

/* True if every number still stands for what we opened. */
bool otp_sockets_intact(const struct otp_sockets *sockets);

/* True if the pair was found and is still ours. Any thread. */
bool otp_sockets_wakeup_intact(const struct otp_sockets *sockets);

/* In a forked child, async-signal-safe: closes what is ours. */
void otp_sockets_close_all(struct otp_sockets *sockets);

#endif

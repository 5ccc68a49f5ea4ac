// SPDX-License-Identifier: Apache-2.0
/*
 * libcurl and OpenSSL have locks that no fork handler of theirs looks after: a child of a single-threaded server that
 * is made while our thread is in a TLS handshake would find them held for ever. So a fork waits until our thread is out
 * of them, and our thread stays out until the fork is over. It is in them for moments only, never while it waits for
 * the network; the wait is bounded all the same.
 */
#ifndef OTP_NETWORK_FORK_GATE_H
#define OTP_NETWORK_FORK_GATE_H

/* Once a process. 0 or an errno. */
int otp_fork_gate_init(void);

/* Around each call into libcurl that may do more than look at memory. */
void otp_fork_gate_enter(void);
void otp_fork_gate_leave(void);

#endif

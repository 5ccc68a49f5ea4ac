// SPDX-License-Identifier: Apache-2.0
#include "network/fork_gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define STEP_NS 50000
#define WAIT_STEPS 1000 /* 50 ms and more: a fork waits no longer */

static atomic_int inside;  /* threads */
static atomic_int forking; /* forks under way */

static void step(void) { nanosleep(&(struct timespec){0, STEP_NS}, NULL); }

static void before_fork(void) {
    atomic_fetch_add(&forking, 1);
    for (int i = 0; atomic_load(&inside) && i < WAIT_STEPS; i++)
        step();
}

static void in_parent(void) { atomic_fetch_sub(&forking, 1); }

static void in_child(void) {
    atomic_store(&forking, 0);
    atomic_store(&inside, 0);
}

int otp_fork_gate_init(void) { return pthread_atfork(before_fork, in_parent, in_child); }

void otp_fork_gate_enter(void) {
    for (;;) {
        atomic_fetch_add(&inside, 1);
        if (!atomic_load(&forking))
            return;
        atomic_fetch_sub(&inside, 1);
        step();
    }
}

void otp_fork_gate_leave(void) { atomic_fetch_sub(&inside, 1); }

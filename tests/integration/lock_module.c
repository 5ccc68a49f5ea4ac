// SPDX-License-Identifier: Apache-2.0
/* Waits for a mutex and lets go of one, from a library that a program loads while it is profiled. */
#include <pthread.h>

static volatile unsigned sink; /* keeps calls from becoming jumps */

__attribute__((visibility("default"))) int wait_module(void *lock);
__attribute__((visibility("default"))) void release_module(void *lock);

int wait_module(void *lock) {
    int result = pthread_mutex_lock(lock);
    sink = 1;
    return result;
}

void release_module(void *lock) {
    pthread_mutex_unlock(lock);
    sink = 2;
}

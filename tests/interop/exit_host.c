// SPDX-License-Identifier: Apache-2.0
/*
 * A service that ends without shutdown while its profiles are on their way: exit_host MS HOW. Works for so long, then
 * ends by return from main, exit() on another thread, or quick_exit(), each with a status of its own.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <otelprof/otelprof.h>

static void work(long ms) {
    struct timespec start, now;
    volatile unsigned long sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 10000; i++)
            sum = sum * 3 + 1;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static void *leave(void *argument) {
    (void)argument;
    exit(8);
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 3 || otelprof_init(NULL))
        return 2;
    work(strtol(argv[1], NULL, 10));
    if (strcmp(argv[2], "thread") == 0 && pthread_create(&thread, NULL, leave, NULL) == 0)
        pthread_join(thread, NULL);
    if (strcmp(argv[2], "quick_exit") == 0)
        quick_exit(9);
    return 7;
}

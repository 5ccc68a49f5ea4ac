// SPDX-License-Identifier: Apache-2.0
/*
 * A server that forks, for fork_bench.py: fork_price FORKS. Knows nothing of otelprof. Prints, in microseconds, a line
 * a fork: what fork() took in the parent, until the child ran its own code, and until a child that ends at once was
 * gone.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    int forks = argc > 1 ? atoi(argv[1]) : 100;
    double *ran = mmap(NULL, sizeof(*ran), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ran == MAP_FAILED)
        return 2;
    for (int i = 0; i < forks; i++) {
        double start = now_us();
        pid_t pid = fork();
        if (pid == 0) {
            *ran = now_us();
            _exit(0);
        }
        double forked = now_us();
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            return 1;
        printf("%.1f %.1f %.1f\n", forked - start, *ran - start, now_us() - start);
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * A program that knows of no profiler and does pairs of malloc() and free() for heap_peers.py, with whatever allocator
 * and profiler it was started: heap_load SLICES MS. Prints a line a slice: "pair THREADS KIND CPU_NS WALL_NS", KIND by
 * its number, or what it names by "heap_load names".
 */
#include "heap_work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool measure(unsigned threads, int slices, unsigned ms) {
    static struct heap_team team;
    if (!heap_team_start(&team, threads))
        return false;
    for (int kind = 0; kind < HEAP_KINDS; kind++) {
        struct heap_slice slice = {&heap_kinds[kind], ms};
        for (int i = 0; i < slices; i++) {
            heap_team_run(&team, heap_slice_job, &slice);
            printf("pair %u %d %.4f %.4f\n", threads, kind, heap_cpu_ns(&team), heap_wall_ns(&team));
        }
    }
    heap_team_stop(&team);
    return true;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "names")) {
        for (int kind = 0; kind < HEAP_KINDS; kind++)
            puts(heap_kinds[kind].name);
        return EXIT_SUCCESS;
    }
    int slices = argc > 1 ? atoi(argv[1]) : 3;
    unsigned ms = argc > 2 ? (unsigned)atoi(argv[2]) : 20;
    for (unsigned threads = 1; threads <= HEAP_THREADS_MAX; threads++)
        if (!measure(threads, slices, ms))
            return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

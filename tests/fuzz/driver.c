// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a fuzz target without libFuzzer: driver FOLDER ROUNDS gives it each file of the folder, then that many damaged
 * copies of them, the same ones every time. For builds with gcc, and as a short test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 64
#define SIZE_MAX_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *bytes;
    size_t size;
};

static uint64_t random_state = 88172645463325252u;

static size_t pick(size_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % below);
}

static size_t read_inputs(const char *folder, struct input *inputs) {
    size_t count = 0;
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && count < FILES_MAX && (entry = readdir(list));) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!file)
            continue;
        inputs[count].bytes = malloc(SIZE_MAX_BYTES);
        inputs[count].size = inputs[count].bytes ? fread(inputs[count].bytes, 1, SIZE_MAX_BYTES, file) : 0;
        count += inputs[count].size > 0;
        fclose(file);
    }
    if (list)
        closedir(list);
    return count;
}

/* A few bytes changed, a piece cut out, or the end cut off; in memory of its exact size, so that overruns show. */
static void run_damaged(const struct input *input) {
    size_t size = pick(8) ? input->size : pick(input->size) + 1;
    uint8_t *copy = malloc(size);
    if (!copy)
        return;
    memcpy(copy, input->bytes, size);
    for (size_t i = pick(6) + 1; i; i--)
        copy[pick(size)] = (uint8_t)(pick(2) ? pick(256) : 0xff);
    if (!pick(4)) {
        size_t from = pick(size), length = pick(size - from);
        memmove(copy + from, copy + from + length, size - from - length);
    }
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv) {
    static struct input inputs[FILES_MAX];
    size_t count = argc == 3 ? read_inputs(argv[1], inputs) : 0;
    if (!count) {
        fprintf(stderr, "usage: %s FOLDER ROUNDS (a folder with files)\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < count; i++)
        LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].size);
    for (long round = 0; round < strtol(argv[2], NULL, 10); round++)
        run_damaged(&inputs[pick(count)]);
    for (size_t i = 0; i < count; i++)
        free(inputs[i].bytes);
    return 0;
}

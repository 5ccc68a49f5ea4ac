// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses named a second and memory held, for each file given (default: this program and the C library): with the
 * symbol table alone, with debug information, and from the cache. symbols_bench [FILE...]
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "symbols/elf_file.h"
#include "symbols/symbols.h"

#define ADDRESSES 5000
#define BASE 0x7f1200000000u

struct target {
    struct otp_symbol_module module;
    uint64_t first, size;
    uint8_t build_id[OTP_BUILD_ID_MAX];
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t heap(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* The section .text, as if the file were mapped at BASE. */
static int open_target(struct target *target, const char *path) {
    struct otp_elf_file elf;
    *target = (struct target){.module = {.number = 1, .path = path}};
    if (otp_elf_open(&elf, path) != OTP_ELF_OK)
        return -1;
    const Elf64_Shdr *text = otp_elf_section(&elf, SHT_NULL, ".text");
    if (text) {
        target->module.start = BASE + (text->sh_offset & ~(uint64_t)4095);
        target->module.file_offset = text->sh_offset & ~(uint64_t)4095;
        target->module.end = BASE + text->sh_offset + text->sh_size;
        target->first = BASE + text->sh_offset;
        target->size = text->sh_size;
        memcpy(target->build_id, elf.build_id, sizeof(target->build_id));
        target->module.build_id = target->build_id;
        target->module.build_id_size = elf.build_id_size;
    }
    otp_elf_close(&elf);
    return text ? 0 : -1;
}

/* Names ADDRESSES places in random order. Returns how many got a name. */
static unsigned pass(struct otp_symbols *symbols, const struct target *target, double *taken) {
    uint64_t state = 88172645463325252u;
    unsigned named = 0;
    double start = seconds();
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t address = target->first + state % target->size;
        named += otp_symbols_resolve(symbols, &target->module, address, lines, OTP_SYMBOL_LINES_MAX) > 0;
    }
    *taken = seconds() - start;
    return named;
}

static void measure(const struct target *target, bool no_dwarf) {
    struct otp_symbols_options options = {.no_dwarf = no_dwarf, .dwarf_cpu_permille = 1000};
    size_t before = heap();
    struct otp_symbols *symbols = otp_symbols_new(&options);
    if (!symbols)
        return;
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    double misses;
    double hits;
    otp_symbols_begin_window(symbols);
    double start = seconds();
    otp_symbols_resolve(symbols, &target->module, target->first, lines, OTP_SYMBOL_LINES_MAX);
    double first = seconds() - start;
    unsigned named = pass(symbols, target, &misses);
    size_t during = heap();
    otp_symbols_end_window(symbols);
    otp_symbols_begin_window(symbols);
    pass(symbols, target, &hits);
    struct otp_symbols_stats stats;
    otp_symbols_stats(symbols, &stats);
    printf("  %-14s first %7.2f ms, new %8.2f us, again %5.0f ns an address; %4.1f %% named, %4.1f %% with line; "
           "heap %6zu KiB in a window, %6zu after (own count %zu)\n",
           no_dwarf ? "symbols only" : "with lines", first * 1e3, misses / ADDRESSES * 1e6, hits / ADDRESSES * 1e9,
           100.0 * named / ADDRESSES, 100.0 * (double)stats.with_line / (double)(stats.resolved + stats.unnamed),
           (during - before) >> 10, (heap() - before) >> 10, otp_symbols_memory(symbols) >> 10);
    otp_symbols_free(symbols);
}

static void measure_file(const char *path) {
    struct target target;
    printf("%s\n", path);
    if (open_target(&target, path)) {
        printf("  cannot be read\n");
        return;
    }
    measure(&target, true);
    measure(&target, false);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        measure_file(argv[i]);
    if (argc < 2) {
        measure_file("/proc/self/exe");
        measure_file("/lib/x86_64-linux-gnu/libc.so.6");
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * What unwind rows cost to make: ns a row for the large objects of this process and for those named as arguments
 * (loaded by dlopen), beside libdw, asked for the CFA at every row.
 */
#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "unwind/eh_rows.h"
#include "unwind/elf_source.h"
#include "unwind/modules.h"
#include "unwind/rule_pool.h"

#define ROUNDS 9
#define ROWS_MIN 2000

/* Best of some rounds, ns. The rows of the last round stay in *rows. */
static uint64_t build(const struct otp_module *module, const struct otp_eh_bytes *section, struct otp_eh_rows *rows,
                      uint32_t *rules) {
    uint64_t best = UINT64_MAX;
    const struct otp_eh_input input = {.section = section->bytes,
                                       .size = section->size,
                                       .address = section->address,
                                       .absolute = section->relocated ? module->bias : 0,
                                       .text_start = module->start - module->bias,
                                       .text_end = module->end - module->bias,
                                       .machine = section->machine};
    for (int round = 0; round < ROUNDS; round++) {
        struct otp_rule_pool *pool = otp_rule_pool_new();
        otp_eh_rows_free(rows);
        uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
        int result = pool ? otp_eh_rows_build(&input, pool, rows) : -1;
        uint64_t ns = otp_clock_ns(CLOCK_MONOTONIC) - start;
        if (pool)
            otp_rule_pool_rules(pool, rules);
        otp_rule_pool_free(pool);
        if (result)
            return 0;
        best = ns < best ? ns : best;
    }
    return best;
}

/* libdw's way through the same rows: best of three, ns; 0 if it cannot. */
static uint64_t enumerate(const struct otp_module *module, const struct otp_eh_rows *rows) {
    uint64_t best = UINT64_MAX;
    int fd = open(module->path, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
    for (int round = 0; elf && round < 3; round++) {
        Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
        uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
        for (size_t page = 0; cfi && page + 1 < rows->page_count; page++) {
            for (uint32_t row = rows->pages[page]; row < rows->pages[page + 1]; row++) {
                uint64_t address = module->start - module->bias + (page << 12) + (rows->rows[row] & 0xfff);
                Dwarf_Frame *frame;
                Dwarf_Op *ops;
                size_t count;
                if (dwarf_cfi_addrframe(cfi, address, &frame))
                    continue;
                dwarf_frame_cfa(frame, &ops, &count);
                free(frame);
            }
        }
        uint64_t ns = otp_clock_ns(CLOCK_MONOTONIC) - start;
        best = cfi && ns < best ? ns : best;
        dwarf_cfi_end(cfi);
    }
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    return best == UINT64_MAX ? 0 : best;
}

static void measure(const struct otp_module *module) {
    struct otp_eh_bytes section;
    struct otp_eh_rows rows = {0};
    uint32_t rules;
    if (module->anonymous || module->vdso || otp_module_eh_frame(module, &section))
        return;
    uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
    free(section.bytes);
    if (otp_module_eh_frame(module, &section))
        return;
    uint64_t read_ns = otp_clock_ns(CLOCK_MONOTONIC) - start;
    uint64_t ns = build(module, &section, &rows, &rules);
    if (ns && rows.row_count >= ROWS_MIN) {
        uint64_t libdw = enumerate(module, &rows);
        double count = (double)rows.row_count;
        printf("%-24s %8zu rows %5u rules %8.1f KB  %6.2f ms  %5.1f ns a row, reading %4.1f  libdw %6.1f  ratio %.1f\n",
               strrchr(module->path, '/') ? strrchr(module->path, '/') + 1 : module->path, rows.row_count, rules,
               (count + (double)rows.page_count) * 4 / 1024, (double)ns / 1e6, (double)ns / count,
               (double)read_ns / count, (double)libdw / count, (double)libdw / (double)ns);
    }
    otp_eh_rows_free(&rows);
    free(section.bytes);
}

int main(int argc, char **argv) {
    static const char *const usual[] = {"libcrypto.so.3", "libstdc++.so.6", "libsqlite3.so.0"};
    bool changed;
    elf_version(EV_CURRENT);
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        dlopen(usual[i], RTLD_NOW | RTLD_LOCAL);
    for (int i = 1; i < argc; i++)
        if (!dlopen(argv[i], RTLD_LAZY | RTLD_LOCAL))
            fprintf(stderr, "%s\n", dlerror());
    struct otp_modules *modules = otp_modules_new();
    if (!modules || otp_modules_scan(modules, 1, &changed))
        return EXIT_FAILURE;
    for (size_t i = 0; i < otp_modules_count(modules); i++)
        measure(otp_modules_at(modules, i));
    otp_modules_free(modules);
    return EXIT_SUCCESS;
}

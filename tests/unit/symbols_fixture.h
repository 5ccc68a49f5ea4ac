// SPDX-License-Identifier: Apache-2.0
/* What the tests of the symbols room share: a folder, programs compiled into it, and modules made from files. */
#ifndef OTP_TEST_SYMBOLS_FIXTURE_H
#define OTP_TEST_SYMBOLS_FIXTURE_H

#include <check.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols/dwarf_lines.h"
#include "symbols/elf_file.h"
#include "symbols/symbols.h"

#define BASE 0x7f1200000000u

static char folder[64];

__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...) {
    char command[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    /* The sanitizers' libraries are of this program, not of the compiler's. */
    ck_assert_msg(system(command) == 0, "failed: %s", command);
}

static inline void folder_make(void) {
    snprintf(folder, sizeof(folder), "/tmp/otp-symbols-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static inline void folder_remove(void) { run("rm -rf '%s'", folder); }

static inline const char *in_folder(const char *name) {
    static char paths[8][160];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* A module as the sampler would describe it: one of the file's executable segments, mapped at BASE + its address. */
struct fixture_module {
    struct otp_symbol_module module;
    uint8_t build_id[OTP_BUILD_ID_MAX];
    char path[160];
    uint64_t text; /* first address of the segment in the file's numbering */
    uint64_t size;
};

static inline void module_of(struct fixture_module *fixture, const char *path, unsigned which) {
    static uint32_t number;
    struct otp_elf_file elf;
    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->path, sizeof(fixture->path), "%s", path);
    ck_assert_int_eq(otp_elf_open(&elf, path), OTP_ELF_OK);
    for (uint32_t i = 0; i < elf.segment_count; i++) {
        const Elf64_Phdr *segment = &elf.segments[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || which--)
            continue;
        uint64_t slack = segment->p_offset & 4095;
        fixture->text = segment->p_vaddr;
        fixture->size = segment->p_filesz;
        fixture->module.start = BASE + segment->p_vaddr - slack;
        fixture->module.end = (BASE + segment->p_vaddr + segment->p_filesz + 4095) & ~(uint64_t)4095;
        fixture->module.file_offset = segment->p_offset - slack;
        break;
    }
    ck_assert_uint_ne(fixture->size, 0);
    memcpy(fixture->build_id, elf.build_id, sizeof(fixture->build_id));
    fixture->module.build_id = fixture->build_id;
    fixture->module.build_id_size = elf.build_id_size;
    fixture->module.bias = BASE;
    fixture->module.number = ++number;
    fixture->module.path = fixture->path;
    otp_elf_close(&elf);
}

static inline struct otp_symbols *symbols_with(const struct otp_symbols_options *options) {
    struct otp_symbols_options all = options ? *options : (struct otp_symbols_options){0};
    if (!all.dwarf_cpu_permille)
        all.dwarf_cpu_permille = 1000; /* no postponement */
    if (!all.debug_directory)
        all.debug_directory = "/nonexistent";
    struct otp_symbols *symbols = otp_symbols_new(&all);
    ck_assert_ptr_nonnull(symbols);
    otp_symbols_begin_window(symbols);
    return symbols;
}

/* Whether source lines are found at all: not in a build without libdw. */
static inline bool lines_are_known(void) { return otp_dwarf_version() != NULL; }

static inline struct otp_symbols_stats stats_of(struct otp_symbols *symbols) {
    struct otp_symbols_stats stats;
    otp_symbols_stats(symbols, &stats);
    return stats;
}

/* Address of a symbol in a file, by nm; UINT64_MAX if there is none. */
static inline uint64_t address_of(const char *path, const char *symbol) {
    char command[512];
    snprintf(command, sizeof(command), "nm '%s' | awk '$3 == \"%s\" { print $1 }'", path, symbol);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    unsigned long long address;
    bool found = fscanf(pipe, "%llx", &address) == 1;
    pclose(pipe);
    return found ? address : UINT64_MAX;
}

/* The name given to the outermost function at an address in the file's numbering, or "". */
static inline const char *name_at(struct otp_symbols *symbols, const struct fixture_module *fixture, uint64_t address) {
    static struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    size_t count = otp_symbols_resolve(symbols, &fixture->module, BASE + address, lines, OTP_SYMBOL_LINES_MAX);
    return count ? lines[count - 1].system_name : "";
}

/* A program with inlined functions of several depths, in more than one file. */
static const char fixture_header[] = "#include <stdint.h>\n"
                                     "static inline uint32_t mix(uint32_t v) {\n"
                                     "    v ^= v >> 15;\n"
                                     "    v *= 0x2c1b3c6du;\n"
                                     "    return v ^ v >> 12;\n"
                                     "}\n"
                                     "static inline uint32_t twice(uint32_t v) {\n"
                                     "    return mix(v) +\n"
                                     "           mix(v + 1);\n"
                                     "}\n"
                                     "uint32_t far_away(uint32_t v, uint32_t n);\n";

static const char fixture_main[] = "#include <stdio.h>\n"
                                   "#include <stdlib.h>\n"
                                   "#include <string.h>\n"
                                   "#include \"fixture.h\"\n"
                                   "static uint32_t table[256];\n"
                                   "static inline __attribute__((always_inline)) void fill(uint32_t seed) {\n"
                                   "    for (unsigned i = 0; i < 256; i++) {\n"
                                   "        if (i & 1)\n"
                                   "            table[i] = twice(seed + i);\n"
                                   "        else\n"
                                   "            table[i] = mix(seed - i) + far_away(i, 3);\n"
                                   "    }\n"
                                   "}\n"
                                   "static int order(const void *a, const void *b) {\n"
                                   "    const uint32_t *x = a, *y = b;\n"
                                   "    return *x < *y ? -1 : *x > *y;\n"
                                   "}\n"
                                   "__attribute__((noinline)) static uint32_t sum(void) {\n"
                                   "    uint32_t all = 0;\n"
                                   "    for (unsigned i = 0; i < 256; i++)\n"
                                   "        all += table[i];\n"
                                   "    return twice(all);\n"
                                   "}\n"
                                   "int main(int argc, char **argv) {\n"
                                   "    fill((uint32_t)argc);\n"
                                   "    qsort(table, 256, sizeof(table[0]), order);\n"
                                   "    if (argc > 100)\n"
                                   "        abort();\n"
                                   "    printf(\"%u %zu\\n\", sum(), strlen(argv[0]));\n"
                                   "    return 0;\n"
                                   "}\n";

static const char fixture_other[] = "#include \"fixture.h\"\n"
                                    "uint32_t far_away(uint32_t v, uint32_t n) {\n"
                                    "    while (n--)\n"
                                    "        v = twice(v) ^ mix(v);\n"
                                    "    return v;\n"
                                    "}\n"
                                    "__attribute__((weak)) uint32_t weak_one(uint32_t v) { return mix(v * 3); }\n"
                                    "uint32_t global_one(uint32_t) __attribute__((alias(\"weak_one\")));\n";

static inline void write_sources(void) {
    write_file(in_folder("fixture.h"), fixture_header);
    write_file(in_folder("main.c"), fixture_main);
    write_file(in_folder("other.c"), fixture_other);
}

static inline void compile(const char *compiler, const char *flags, const char *output) {
    run("cd '%s' && %s %s -o '%s' main.c other.c", folder, compiler, flags, output);
}

/* One of those programs, and where its main is. */
struct plain {
    struct fixture_module fixture;
    uint64_t main;
};

static inline void plain_program(struct plain *plain) {
    write_sources();
    compile("gcc", "-g -O2", "plain");
    module_of(&plain->fixture, in_folder("plain"), 0);
    plain->main = address_of(in_folder("plain"), "main");
}

static inline uint32_t line_at(struct otp_symbols *symbols, const struct plain *plain, uint64_t address) {
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    size_t count = otp_symbols_resolve(symbols, &plain->fixture.module, BASE + address, lines, OTP_SYMBOL_LINES_MAX);
    ck_assert_uint_ge(count, 1);
    ck_assert_str_eq(lines[count - 1].function, "main");
    return lines[0].line;
}

#endif

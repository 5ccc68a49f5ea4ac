// SPDX-License-Identifier: Apache-2.0
/* Names in this very process: the C library, the vDSO, the kernel, code made at run time; and how names are cleaned. */
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "symbols/address_names.h"
#include "symbols/clean_name.h"
#include "symbols/kernel.h"
#include "symbols/perf_map.h"
#include "symbols_fixture.h"
#include "test_main.h"

struct mapping {
    unsigned long long start, end, offset;
    char path[256];
};

static struct mapping mapping_at(uintptr_t address) {
    struct mapping mapping = {0, 0, 0, ""};
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        mapping.path[0] = 0;
        if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %255s", &mapping.start, &mapping.end, &mapping.offset,
                   mapping.path) >= 3 &&
            address >= mapping.start && address < mapping.end)
            break;
    }
    fclose(maps);
    ck_assert(address >= mapping.start && address < mapping.end);
    return mapping;
}

struct name_table {
    size_t count;
    struct {
        unsigned long long address;
        char name[64];
    } entries[8000];
};

static void read_names(struct name_table *table, const char *path) {
    char command[512];
    snprintf(command, sizeof(command), "nm -D '%s' | awk 'NF == 3 { sub(/@.*/, \"\", $3); print $1, $3 }'", path);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    while (table->count < 8000 &&
           fscanf(pipe, "%llx %63s", &table->entries[table->count].address, table->entries[table->count].name) == 2)
        table->count++;
    pclose(pipe);
    ck_assert_uint_gt(table->count, 1000);
}

static bool names_address(const struct name_table *table, const char *name, uint64_t address) {
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i].address == address && !strcmp(table->entries[i].name, name))
            return true;
    }
    return false;
}

/* Each function of the C library gets the name that dladdr() says, or another one that nm knows for its address. */
START_TEST(test_c_library) {
    static struct name_table table;
    Dl_info info;
    struct fixture_module fixture;
    void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD); /* not a sanitizer's own qsort() */
    ck_assert_ptr_nonnull(library);
    struct mapping mapping = mapping_at((uintptr_t)dlsym(library, "qsort"));
    ck_assert_ptr_nonnull(strstr(mapping.path, "libc"));
    module_of(&fixture, mapping.path, 0);
    fixture.module.start = mapping.start;
    fixture.module.end = mapping.end;
    fixture.module.file_offset = mapping.offset;
    struct otp_symbols *symbols = symbols_with(NULL);
    uint64_t bias = mapping.start - (fixture.text - (fixture.text & 4095));
    unsigned compared = 0;
    unsigned different = 0;
    read_names(&table, mapping.path);
    for (uint64_t at = mapping.start; at < mapping.end; at += 149) {
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        ElfW(Sym) *symbol = NULL;
        if (!dladdr1((void *)(uintptr_t)at, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol || !info.dli_sname ||
            at - (uintptr_t)info.dli_saddr >= symbol->st_size)
            continue;
        size_t count = otp_symbols_resolve(symbols, &fixture.module, at, lines, OTP_SYMBOL_LINES_MAX);
        compared++;
        /* Of several names at one address each is right. */
        if (!count || (strcmp(lines[count - 1].system_name, info.dli_sname) &&
                       !names_address(&table, lines[count - 1].system_name, (uintptr_t)info.dli_saddr - bias)))
            different++;
        if (compared == 3000)
            break;
    }
    printf("%u addresses of the C library, %u different\n", compared, different);
    ck_assert_uint_gt(compared, 1000);
    ck_assert_uint_eq(different, 0);
    dlclose(library);
    otp_symbols_free(symbols);
}
END_TEST

START_TEST(test_vdso) {
    uintptr_t image = getauxval(AT_SYSINFO_EHDR);
    ck_assert_uint_ne(image, 0);
    struct mapping mapping = mapping_at(image);
    struct otp_elf_file elf;
    ck_assert_int_eq(otp_elf_from_memory(&elf, (void *)image, mapping.end - mapping.start), OTP_ELF_OK);
    const Elf64_Shdr *table = otp_elf_section(&elf, SHT_DYNSYM, NULL);
    ck_assert_ptr_nonnull(table);
    struct otp_symbol_module module = {.number = 77,
                                       .path = "[vdso]",
                                       .start = mapping.start,
                                       .end = mapping.end,
                                       .bias = mapping.start,
                                       .build_id = elf.build_id,
                                       .build_id_size = elf.build_id_size,
                                       .vdso = true};
    struct otp_symbols *symbols = symbols_with(NULL);
    unsigned named = 0;
    bool clock = false;
    for (uint64_t i = 0; i < table->sh_size / sizeof(Elf64_Sym); i++) {
        const Elf64_Sym *symbol = (const Elf64_Sym *)(image + table->sh_offset) + i;
        struct otp_symbol_line lines[4];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || !symbol->st_size)
            continue;
        ck_assert_uint_eq(
            otp_symbols_resolve(symbols, &module, image + symbol->st_value + symbol->st_size - 1, lines, 4), 1);
        named++;
        clock = clock || strstr(lines[0].function, "clock_gettime");
    }
    ck_assert_uint_ge(named, 3);
    ck_assert(clock);
    otp_elf_close(&elf);
    otp_symbols_free(symbols);
}
END_TEST

static const char kallsyms[] = "0000000000000000 A fixed_percpu_data\n"
                               "ffffffff81000000 T _stext\n"
                               "ffffffff81000100 T do_work\n"
                               "ffffffff81000180 d some_data\n"
                               "ffffffff81000200 t helper\n"
                               "bad line\n"
                               "ffffffffc0000000 t ext4_readdir\t[ext4]\n"
                               "ffffffff81000300 W weak_one\n";

START_TEST(test_kernel) {
    folder_make();
    write_file(in_folder("kallsyms"), kallsyms);
    struct otp_symbols_options options = {.kallsyms_path = in_folder("kallsyms")};
    struct otp_symbols *symbols = symbols_with(&options);
    struct otp_symbol_module kernel = {.kernel = true};
    struct otp_symbol_line line;
    static const struct {
        uint64_t address;
        const char *name;
    } cases[] = {{0xffffffff81000100, "do_work"},
                 {0xffffffff810001ff, "do_work"},
                 {0xffffffff81000210, "helper"},
                 {0xffffffff81000300, "weak_one"},
                 {0xffffffffc0000010, "ext4_readdir [ext4]"},
                 {0xffffffff80000000, NULL},
                 {0xffffffffd0000000, NULL}}; /* far behind the last symbol */
    for (unsigned repeat = 0; repeat < 2; repeat++) {
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            size_t count = otp_symbols_resolve(symbols, &kernel, cases[i].address, &line, 1);
            ck_assert_uint_eq(count, cases[i].name != NULL);
            if (count)
                ck_assert_str_eq(line.function, cases[i].name);
        }
    }
    otp_symbols_free(symbols);

    /* Addresses hidden from us: nothing is known, and nothing is made up. */
    write_file(in_folder("kallsyms"), "0000000000000000 T _stext\n0000000000000000 T do_work\n");
    symbols = symbols_with(&options);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &kernel, 0x10, &line, 1), 0);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &kernel, 0xffffffff81000100, &line, 1), 0);
    struct otp_symbols_stats stats;
    otp_symbols_stats(symbols, &stats);
    ck_assert_uint_eq(stats.unnamed_no_module, 2);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* The running kernel's own file, where it shows addresses: all functions asked for get a name, and few stay. */
START_TEST(test_real_kernel) {
    struct otp_kernel_symbols *kernel = otp_kernel_symbols_new("/proc/kallsyms", (size_t)1 << 20);
    ck_assert_ptr_nonnull(kernel);
    FILE *file = fopen("/proc/kallsyms", "r");
    char line[1024];
    unsigned long long address;
    char type;
    unsigned asked = 0;
    unsigned named = 0;
    while (file && asked < 2000 && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%llx %c", &address, &type) != 2 || type != 'T' || !address)
            continue;
        asked++;
        named += otp_kernel_symbols_find(kernel, address) != NULL;
    }
    if (file)
        fclose(file);
    size_t during = otp_kernel_symbols_size(kernel);
    otp_kernel_symbols_end_window(kernel);
    size_t after = otp_kernel_symbols_size(kernel);
    printf("%u of %u kernel functions; %zu KiB, then %zu KiB\n", named, asked, during >> 10, after >> 10);
    ck_assert_uint_eq(named, asked);
    ck_assert_uint_le(after, ((size_t)1 << 20) + 4096);
    ck_assert(!asked || during > after);
    otp_kernel_symbols_free(kernel);
}
END_TEST

START_TEST(test_perf_map) {
    folder_make();
    char path[200];
    snprintf(path, sizeof(path), "%s/perf-%ld.map", folder, (long)getpid());
    struct otp_symbols_options options = {.perf_map_directory = folder};
    struct otp_symbol_module module = {.number = 5, .anonymous = true, .start = 0x1000, .end = 0x9000};
    struct otp_symbol_line line;

    write_file(path, "2000 100 Script:~loop app.js:3\nnonsense\n0x2100 0x10 tiny\n");
    struct otp_symbols *symbols = symbols_with(&options);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x20ff, &line, 1), 1);
    ck_assert_str_eq(line.function, "Script:~loop app.js:3");
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x210f, &line, 1), 1);
    ck_assert_str_eq(line.function, "tiny");
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x2110, &line, 1), 0);

    /* Compiled again: the later line counts, from the next window on. */
    write_file(path, "2000 100 Script:~loop app.js:3\n2000 80 Script:*loop app.js:3\n");
    otp_symbols_begin_window(symbols);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x2010, &line, 1), 1);
    ck_assert_str_eq(line.function, "Script:*loop app.js:3");
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x20ff, &line, 1), 0);
    otp_symbols_free(symbols);

    /* Written by anybody, or a link to somewhere: not believed. */
    ck_assert_int_eq(chmod(path, 0666), 0);
    symbols = symbols_with(&options);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x2010, &line, 1), 0);
    otp_symbols_free(symbols);
    run("cd '%s' && chmod 600 perf-*.map && mv perf-*.map real && ln -s real '%s'", folder, path);
    symbols = symbols_with(&options);
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x2010, &line, 1), 0);
    otp_symbols_free(symbols);
    if (geteuid() == 0) {
        run("cd '%s' && rm '%s' && mv real '%s' && chown nobody '%s'", folder, path, path, path);
        symbols = symbols_with(&options);
        ck_assert_uint_eq(otp_symbols_resolve(symbols, &module, 0x2010, &line, 1), 0);
        otp_symbols_free(symbols);
    }
    folder_remove();
}
END_TEST

START_TEST(test_clean_name) {
    char to[16];
    ck_assert_uint_eq(otp_clean_name("plain", to, sizeof(to)), 5);
    ck_assert_str_eq(to, "plain");
    otp_clean_name("a\nb\x7f", to, sizeof(to));
    ck_assert_str_eq(to, "a?b?");
    otp_clean_name("x\xffy", to, sizeof(to));
    ck_assert_str_eq(to, "x\xef\xbf\xbdy");
    ck_assert_uint_eq(otp_clean_name("12345678901234\xc3\xa9", to, sizeof(to)), 14); /* no half character */
    ck_assert_str_eq(to, "12345678901234");
    char version[] = "memcpy@@GLIBC_2.14";
    ck_assert_str_eq(otp_strip_version(version), "memcpy");
    char bare[] = "@odd";
    ck_assert_str_eq(otp_strip_version(bare), "@odd");
}
END_TEST

START_TEST(test_join_path) {
    static const struct {
        const char *directory, *file, *joined;
    } cases[] = {{"/src/math", "../include/a.h", "/src/include/a.h"},
                 {"./math", "./a.c", "math/a.c"},
                 {"./math", "../include/a.h", "include/a.h"},
                 {"./ctype", "./ctype/b.c", "ctype/b.c"},
                 {".", "../../a.h", "../../a.h"},
                 {"a", "../../../b.c", "../../b.c"},
                 {"/", "../x.c", "/../x.c"},
                 {"/a//b/", "c.c", "/a/b/c.c"},
                 {"/any", "/abs/../x.c", "/abs/../x.c"},
                 {NULL, "x.c", "x.c"},
                 {"", "x.c", "x.c"}};
    char to[64];
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        otp_join_path(cases[i].directory, cases[i].file, to, sizeof(to));
        ck_assert_str_eq(to, cases[i].joined);
    }
    for (size_t size = 2; size < 24; size++) {
        char *small = malloc(size); /* a sanitizer sees each byte too many */
        ck_assert_ptr_nonnull(small);
        otp_join_path("/long/directory", "with/a/file.c", small, size);
        ck_assert_uint_lt(strlen(small), size);
        otp_join_path(NULL, "with/a/file.c", small, size);
        ck_assert_uint_lt(strlen(small), size);
        free(small);
    }
}
END_TEST

START_TEST(test_long_name) {
    folder_make();
    char *text = malloc(200000);
    ck_assert_ptr_nonnull(text);
    char *at = text + sprintf(text, "int ");
    memset(at, 'x', 9000);
    sprintf(at + 9000, "(int a) { return a * 3; }\nint z(int a) { return a; }\n");
    write_file(in_folder("long.c"), text);
    run("cd '%s' && gcc -O2 -shared -fPIC -o long.so long.c", folder);
    struct fixture_module fixture;
    module_of(&fixture, in_folder("long.so"), 0);
    struct otp_symbols *symbols = symbols_with(NULL);
    struct otp_symbol_line line;
    uint64_t address = address_of(in_folder("long.so"), "z");
    size_t count = 0;
    for (unsigned back = 0; back < 16 && !count; back++) {
        count = otp_symbols_resolve(symbols, &fixture.module, BASE + address - back, &line, 1);
        if (count && line.function[0] == 'z')
            count = 0;
    }
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(strlen(line.function), 4096);
    otp_symbols_free(symbols);
    free(text);
    folder_remove();
}
END_TEST

START_TEST(test_address_names) {
    struct otp_address_names table;
    uint64_t start;
    otp_address_names_init(&table, 4096);
    ck_assert_ptr_null(otp_address_names_find(&table, 1, &start));
    otp_address_names_sort(&table, 10);
    unsigned added = 0;
    char name[16];
    for (; added < 10000; added++) {
        int length = snprintf(name, sizeof(name), "n%u", added);
        if (!otp_address_names_add(&table, 1000 - added, 0, name, (size_t)length))
            break;
    }
    ck_assert_uint_gt(added, 100);
    ck_assert_uint_lt(added, 300);
    ck_assert_uint_le(otp_address_names_size(&table), 4096);
    otp_address_names_sort(&table, 10);
    ck_assert_str_eq(otp_address_names_find(&table, 1000, &start), "n0");
    ck_assert_str_eq(otp_address_names_find(&table, 1009, &start), "n0");
    ck_assert_ptr_null(otp_address_names_find(&table, 1010, &start));
    ck_assert_str_eq(otp_address_names_find(&table, 990, &start), "n10");
    otp_address_names_clear(&table);
}
END_TEST

/* Of two names at one address the global one is taken, whatever the order. */
START_TEST(test_aliases) {
    folder_make();
    write_sources();
    compile("gcc", "-O2", "plain");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("plain"), 0);
    struct otp_symbols *symbols = symbols_with(NULL);
    uint64_t address = address_of(in_folder("plain"), "weak_one");
    ck_assert_str_eq(name_at(symbols, &fixture, address), "global_one");
    ck_assert_str_eq(name_at(symbols, &fixture, address + 1), "global_one");
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

OTP_TEST_MAIN("symbols: names", 120, test_c_library, test_vdso, test_kernel, test_real_kernel, test_perf_map,
              test_clean_name, test_join_path, test_long_name, test_address_names, test_aliases)

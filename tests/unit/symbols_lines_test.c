// SPDX-License-Identifier: Apache-2.0
/* Functions, lines and inlined callers, compared with those that addr2line finds, address by address. */
#include "symbols_fixture.h"
#include "test_main.h"

struct frame {
    char function[128];
    char file[128]; /* last part of the path */
    uint32_t line;
};

struct reference {
    FILE *pipe;
    char line[1024];
};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool next_line(struct reference *reference) {
    if (!fgets(reference->line, sizeof(reference->line), reference->pipe))
        return false;
    reference->line[strcspn(reference->line, "\n")] = 0;
    return true;
}

/* Reads what addr2line says about one address. The line at hand is the address; afterwards it is the next one. */
static size_t next_answer(struct reference *reference, struct frame *frames, size_t max) {
    size_t count = 0;
    while (next_line(reference) && strncmp(reference->line, "0x", 2)) {
        struct frame frame = {.line = 0};
        snprintf(frame.function, sizeof(frame.function), "%.127s", reference->line);
        if (!next_line(reference))
            break;
        char *colon = strrchr(reference->line, ':');
        ck_assert_ptr_nonnull(colon);
        frame.line = (uint32_t)strtoul(colon + 1, NULL, 10);
        *colon = 0;
        snprintf(frame.file, sizeof(frame.file), "%.127s", base_name(reference->line));
        if (count < max)
            frames[count++] = frame;
    }
    return count;
}

/* addr2line calls a file of a link-time optimised program "<artificial>". */
static bool same_file(const char *expected, const char *file) {
    return !strcmp(expected, "<artificial>") || !strcmp(expected, file ? base_name(file) : "??");
}

static bool equal(const struct frame *frames, const struct otp_symbol_line *lines, size_t count) {
    for (size_t i = 0; i < count; i++) {
        /* LLVM has the name of the symbol table, with suffixes such as .part.0: our system_name. */
        bool same = !strcmp(frames[i].function, lines[i].function) || !strcmp(frames[i].function, lines[i].system_name);
        if (!same || frames[i].line != lines[i].line || !same_file(frames[i].file, lines[i].file))
            return false;
    }
    return true;
}

static void print(uint64_t address, const struct frame *frames, size_t frame_count, const struct otp_symbol_line *lines,
                  size_t count) {
    printf("%llx: expected", (unsigned long long)address);
    for (size_t i = 0; i < frame_count; i++)
        printf(" %s@%s:%u", frames[i].function, frames[i].file, frames[i].line);
    printf("; got");
    for (size_t i = 0; i < count; i++)
        printf(" %s@%s:%u", lines[i].function, lines[i].file ? lines[i].file : "??", lines[i].line);
    printf("\n");
}

/* Marks the bytes of `covered`, which stands for [text, text + size), that lie in a function, by nm. */
static void mark_functions(const char *path, uint64_t text, uint64_t size, bool *covered) {
    char command[512];
    snprintf(command, sizeof(command), "nm -S '%s' | awk 'NF == 4 && $3 ~ /[tTwWi]/ { print $1, $2 }'", path);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    unsigned long long start;
    unsigned long long length;
    while (fscanf(pipe, "%llx %llx", &start, &length) == 2) {
        for (uint64_t at = start; at < start + length; at++) {
            if (at >= text && at < text + size)
                covered[at - text] = true;
        }
    }
    pclose(pipe);
}

struct comparison {
    size_t asked, inlined, padding, different;
};

/* Every `step`-th byte of the section .text. */
static struct comparison compare(const char *reader, const char *path, unsigned step) {
    struct comparison sum = {0, 0, 0, 0};
    struct fixture_module fixture;
    module_of(&fixture, path, 0);
    struct otp_elf_file elf;
    ck_assert_int_eq(otp_elf_open(&elf, path), OTP_ELF_OK);
    const Elf64_Shdr *text = otp_elf_section(&elf, SHT_NULL, ".text");
    ck_assert_ptr_nonnull(text);
    char command[512];
    snprintf(command, sizeof(command), "seq %llu %u %llu | awk '{ printf \"0x%%x\\n\", $1 }' | %s -a -f -i -e '%s'",
             (unsigned long long)text->sh_addr, step, (unsigned long long)(text->sh_addr + text->sh_size - 1), reader,
             path);
    struct reference reference = {.pipe = popen(command, "r")};
    ck_assert_ptr_nonnull(reference.pipe);
    struct otp_symbols *symbols = symbols_with(NULL);
    bool *covered = calloc(text->sh_size, sizeof(*covered));
    ck_assert_ptr_nonnull(covered);
    mark_functions(path, text->sh_addr, text->sh_size, covered);
    ck_assert(next_line(&reference));
    for (uint64_t at = text->sh_addr; at < text->sh_addr + text->sh_size; at += step) {
        struct frame frames[16];
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        size_t expected = next_answer(&reference, frames, 16);
        size_t count = otp_symbols_resolve(symbols, &fixture.module, BASE + at, lines, OTP_SYMBOL_LINES_MAX);
        /* What addr2line does not know (start-up code, padding) is none of this comparison. */
        if (!expected || !frames[0].line)
            continue;
        if (!covered[at - text->sh_addr]) {
            /* addr2line names padding after the function before it; we do not. */
            sum.padding++;
            sum.different += count != 0;
            continue;
        }
        sum.asked++;
        sum.inlined += expected > 1;
        if (expected != count || !equal(frames, lines, count)) {
            if (sum.different++ < 5)
                print(at, frames, expected, lines, count);
        }
    }
    pclose(reference.pipe);
    free(covered);
    otp_elf_close(&elf);
    otp_symbols_end_window(symbols);
    otp_symbols_free(symbols);
    return sum;
}

static void check_all_equal(const char *compiler, const char *flags, const char *name) {
    compile(compiler, flags, name);
    struct comparison sum = compare("addr2line", in_folder(name), 1);
    printf("%s %s: %zu addresses, %zu with inlined functions, %zu of padding, %zu different\n", compiler, flags,
           sum.asked, sum.inlined, sum.padding, sum.different);
    ck_assert_uint_gt(sum.asked, 150);
    ck_assert_uint_gt(sum.inlined, 50);
    ck_assert_uint_eq(sum.different, 0);
}

START_TEST(test_compilers) {
    folder_make();
    write_sources();
    check_all_equal("gcc", "-g -O2", "gcc5");
    check_all_equal("gcc", "-gdwarf-4 -O2", "gcc4");
    check_all_equal("gcc", "-g -O3 -ffunction-sections -no-pie", "gcc-nopie");
    check_all_equal("gcc", "-g -O2 -flto", "gcc-lto");
    check_all_equal("clang-14", "-g -O2", "clang5");
    check_all_equal("clang-14", "-gdwarf-4 -O2", "clang4");
    folder_remove();
}
END_TEST

/* This program, of many files. LLVM reads it: binutils 2.40 gives lines of headers to the file that includes them. */
START_TEST(test_own_program) {
    char path[256];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    ck_assert_int_gt(length, 0);
    path[length] = 0;
    struct comparison sum = compare("llvm-addr2line-14", path, 17);
    printf("own program: %zu addresses, %zu with inlined functions, %zu of padding, %zu different\n", sum.asked,
           sum.inlined, sum.padding, sum.different);
    ck_assert_uint_gt(sum.asked, 2000);
    ck_assert_uint_eq(sum.different, 0);
}
END_TEST

START_TEST(test_packed) {
    folder_make();
    write_sources();
    check_all_equal("gcc", "-g -O2 -gz=zlib", "zlib");
    check_all_equal("gcc", "-gdwarf-4 -O2 -gz=zlib-gnu", "zlib-gnu");
    folder_remove();
}
END_TEST

/* Split debug information is not followed: names from the symbol table, and no line. */
START_TEST(test_split) {
    folder_make();
    write_sources();
    compile("gcc", "-g -O2 -gsplit-dwarf", "split");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("split"), 0);
    struct otp_symbols *symbols = symbols_with(NULL);
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    uint64_t address = address_of(in_folder("split"), "far_away");
    ck_assert_uint_eq(otp_symbols_resolve(symbols, &fixture.module, BASE + address, lines, OTP_SYMBOL_LINES_MAX), 1);
    ck_assert_str_eq(lines[0].function, "far_away");
    ck_assert_ptr_null(lines[0].file);
    struct otp_symbols_stats stats;
    otp_symbols_stats(symbols, &stats);
    ck_assert_uint_eq(stats.dwarf_refused, 1);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

START_TEST(test_start_line) {
    folder_make();
    write_sources();
    compile("gcc", "-g -O2", "plain");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("plain"), 0);
    struct otp_symbols *symbols = symbols_with(NULL);
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    uint64_t address = address_of(in_folder("plain"), "main");
    size_t count = otp_symbols_resolve(symbols, &fixture.module, BASE + address, lines, OTP_SYMBOL_LINES_MAX);
    ck_assert_uint_ge(count, 1);
    ck_assert_str_eq(lines[count - 1].function, "main");
    ck_assert_uint_eq(lines[count - 1].start_line, 24);
    ck_assert_ptr_nonnull(strstr(lines[count - 1].file, "main.c"));
    ck_assert_int_eq(lines[count - 1].file[0], '/');
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* C++: linkage names, and demangled ones where there is a demangler. */
static char *upper_demangle(const char *mangled, char *buffer, size_t *size, int *status) {
    (void)buffer, (void)size;
    char *name = malloc(strlen(mangled) + 10);
    if (name)
        sprintf(name, "plain(%s)", mangled);
    *status = name ? 0 : -1;
    return name;
}

START_TEST(test_cplusplus) {
    folder_make();
    write_file(in_folder("a.cpp"), "namespace outer { struct Box { int value; int grow(int by) const; };\n"
                                   "inline int helper(int a) { return a * 7 ^ a; }\n"
                                   "__attribute__((noinline)) int Box::grow(int by) const {\n"
                                   "    return helper(value + by);\n"
                                   "} }\n"
                                   "int main(int argc, char **) { return outer::Box{argc}.grow(3); }\n");
    run("cd '%s' && g++ -g -O2 -o a a.cpp", folder);
    struct fixture_module fixture;
    module_of(&fixture, in_folder("a"), 0);
    uint64_t address = address_of(in_folder("a"), "_ZNK5outer3Box4growEi");
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    struct otp_symbols_options options = {.demangle = upper_demangle};
    for (int demangled = 0; demangled < 2; demangled++) {
        struct otp_symbols *symbols = symbols_with(demangled ? &options : NULL);
        size_t most = 0;
        for (uint64_t at = address; at < address + 12; at++) {
            size_t count = otp_symbols_resolve(symbols, &fixture.module, BASE + at, lines, OTP_SYMBOL_LINES_MAX);
            if (count < 2 || most)
                continue;
            most = count;
            ck_assert_str_eq(lines[count - 1].system_name, "_ZNK5outer3Box4growEi");
            ck_assert_str_eq(lines[count - 1].function,
                             demangled ? "plain(_ZNK5outer3Box4growEi)" : "_ZNK5outer3Box4growEi");
            ck_assert_ptr_nonnull(strstr(lines[0].function, "helper"));
            ck_assert_uint_eq(lines[0].line, 2);
            ck_assert_uint_eq(lines[1].line, 4);
        }
        ck_assert_uint_eq(most, 2);
        otp_symbols_free(symbols);
    }
    folder_remove();
}
END_TEST

OTP_TEST_MAIN("symbols: lines", 280, test_compilers, test_own_program, test_packed, test_split, test_start_line,
              test_cplusplus)

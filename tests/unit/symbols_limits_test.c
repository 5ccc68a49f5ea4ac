// SPDX-License-Identifier: Apache-2.0
/* Limits on memory, answers from the cache, and every allocation and file call failing once. */
#include <errno.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "symbols_fixture.h"
#include "test_main.h"

#define MANY 20000

/* A program with MANY functions of 16 bytes, whose names say their numbers. */
static uint64_t many_functions(struct fixture_module *fixture) {
    write_file(in_folder("many.s"), ".text\n"
                                    ".altmacro\n"
                                    ".macro one n\n"
                                    ".globl a_function_with_a_rather_long_name_\\n\n"
                                    ".type a_function_with_a_rather_long_name_\\n, @function\n"
                                    "a_function_with_a_rather_long_name_\\n: .fill 16, 1, 0x90\n"
                                    ".size a_function_with_a_rather_long_name_\\n, 16\n"
                                    ".endm\n"
                                    ".set i, 0\n"
                                    ".rept 20000\n"
                                    "one %i\n"
                                    ".set i, i + 1\n"
                                    ".endr\n");
    run("cd '%s' && gcc -nostdlib -static -Wl,-e,a_function_with_a_rather_long_name_0 -o many many.s", folder);
    module_of(fixture, in_folder("many"), 0);
    return address_of(in_folder("many"), "a_function_with_a_rather_long_name_0");
}

static bool right(struct otp_symbols *symbols, const struct fixture_module *fixture, uint64_t first, unsigned number) {
    char name[80];
    snprintf(name, sizeof(name), "a_function_with_a_rather_long_name_%u", number);
    return !strcmp(name_at(symbols, fixture, first + 16 * (uint64_t)number + number % 16), name);
}

START_TEST(test_symbol_table_over_limit) {
    folder_make();
    struct fixture_module fixture;
    uint64_t first = many_functions(&fixture);
    struct otp_symbols_options options = {.memory_limit_bytes = 512 << 10};
    struct otp_symbols *symbols = symbols_with(&options);
    ck_assert_str_eq(name_at(symbols, &fixture, first), "");
    ck_assert_uint_eq(stats_of(symbols).unnamed_too_large, 1);
    ck_assert_uint_le(otp_symbols_memory(symbols), 512 << 10);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* Names that do not fit stay in the file; once that is another one they are not read any more. */
START_TEST(test_names_in_file) {
    folder_make();
    struct fixture_module fixture;
    uint64_t first = many_functions(&fixture);
    struct otp_symbols_options options = {.memory_limit_bytes = 1 << 20};
    struct otp_symbols *symbols = symbols_with(&options);
    for (unsigned i = 0; i < MANY; i += 100)
        ck_assert(right(symbols, &fixture, first, i));
    ck_assert_uint_lt(otp_symbols_memory(symbols), 1 << 20);
    otp_symbols_end_window(symbols);
    run("cd '%s' && cp many other && mv other many", folder);
    otp_symbols_begin_window(symbols);
    ck_assert(right(symbols, &fixture, first, 100)); /* remembered */
    ck_assert_str_eq(name_at(symbols, &fixture, first + 16 * 101), "");
    ck_assert_uint_eq(stats_of(symbols).unnamed_no_file, 1);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

START_TEST(test_cache_is_bounded) {
    folder_make();
    struct fixture_module fixture;
    uint64_t first = many_functions(&fixture);
    struct otp_symbols_options options = {.memory_limit_bytes = 4 << 20};
    struct otp_symbols *symbols = symbols_with(&options);
    size_t most = 0;
    for (unsigned window = 0; window < 40; window++) {
        otp_symbols_begin_window(symbols);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert(right(symbols, &fixture, first, (window * 500 + i) % MANY));
        ck_assert(right(symbols, &fixture, first, 7)); /* asked for in each window */
        size_t held = otp_symbols_memory(symbols);
        most = held > most ? held : most;
        otp_symbols_end_window(symbols);
    }
    struct otp_symbols_stats stats = stats_of(symbols);
    printf("%zu KiB at most, %llu hits\n", most >> 10, (unsigned long long)stats.cache_hits);
    ck_assert_uint_le(most, 4 << 20);
    ck_assert_uint_ge(stats.cache_hits, 39u * 500);
    ck_assert_uint_eq(stats.unnamed, 0);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* More answers in one window than there is room for: the rest is unnamed, the next window works again. */
START_TEST(test_cache_full_within_window) {
    folder_make();
    struct fixture_module fixture;
    uint64_t first = many_functions(&fixture);
    struct otp_symbols_options options = {.memory_limit_bytes = 1 << 20};
    struct otp_symbols *symbols = symbols_with(&options);
    unsigned named = 0;
    for (unsigned i = 0; i < MANY; i++)
        named += right(symbols, &fixture, first, i);
    struct otp_symbols_stats stats = stats_of(symbols);
    ck_assert_uint_gt(named, 100);
    ck_assert_uint_eq(stats.unnamed_memory, MANY - named);
    ck_assert_uint_gt(stats.unnamed_memory, 1000);
    ck_assert_uint_le(otp_symbols_memory(symbols), 1 << 20);
    otp_symbols_begin_window(symbols);
    ck_assert(right(symbols, &fixture, first, MANY - 1));
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* Many modules: those not used go, and come back when they are asked for again. */
START_TEST(test_indexes_are_evicted) {
    enum { MODULES = 12 };
    folder_make();
    struct fixture_module fixtures[MODULES];
    uint64_t first = many_functions(&fixtures[0]);
    for (unsigned i = 0; i < MODULES; i++) {
        fixtures[i] = fixtures[0];
        fixtures[i].build_id[0] = (uint8_t)i;
        run("cd '%s' && objcopy --dump-section .note.gnu.build-id=id many && printf '\\%03o' | "
            "dd of=id bs=1 seek=16 conv=notrunc status=none && objcopy --update-section .note.gnu.build-id=id many m%u",
            folder, i, i);
        snprintf(fixtures[i].path, sizeof(fixtures[i].path), "%s/m%u", folder, i);
    }
    for (unsigned i = 0; i < MODULES; i++) {
        fixtures[i].module.number = 100 + i;
        fixtures[i].module.path = fixtures[i].path;
        fixtures[i].module.build_id = fixtures[i].build_id;
    }
    struct otp_symbols_options options = {.memory_limit_bytes = 3 << 20};
    struct otp_symbols *symbols = symbols_with(&options);
    for (unsigned window = 0; window < 3 * MODULES; window++) {
        otp_symbols_begin_window(symbols);
        ck_assert(right(symbols, &fixtures[window % MODULES], first, window));
        ck_assert_uint_le(otp_symbols_memory(symbols), 3 << 20);
        otp_symbols_end_window(symbols);
    }
    ck_assert_uint_gt(stats_of(symbols).modules_evicted, MODULES);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE

static unsigned opened;

static int counting_open(const char *path, int flags, mode_t mode) {
    opened++;
    return otp_sys_real.open(path, flags, mode);
}

START_TEST(test_hits_touch_no_file) {
    folder_make();
    struct plain plain;
    plain_program(&plain);
    struct otp_symbols *symbols = symbols_with(NULL);
    uint32_t line = line_at(symbols, &plain, plain.main);
    otp_symbols_end_window(symbols);
    otp_sys.open = counting_open;
    for (unsigned i = 0; i < 100; i++) {
        otp_symbols_begin_window(symbols);
        ck_assert_uint_eq(line_at(symbols, &plain, plain.main), line);
        otp_symbols_end_window(symbols);
    }
    otp_sys = otp_sys_real;
    ck_assert_uint_eq(opened, 0);
    ck_assert_uint_eq(stats_of(symbols).cache_hits, 100);
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

static unsigned calls_left;

static bool fails(void) { return calls_left && !--calls_left; }

static void *failing_malloc(size_t size) { return fails() ? NULL : malloc(size); }

static void *failing_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }

static void *failing_realloc(void *block, size_t size) { return fails() ? NULL : realloc(block, size); }

static int failing_open(const char *path, int flags, mode_t mode) {
    return fails() ? (errno = EMFILE, -1) : otp_sys_real.open(path, flags, mode);
}

static ssize_t failing_pread(int fd, void *buffer, size_t size, off_t offset) {
    return fails() ? (errno = EIO, -1) : otp_sys_real.pread(fd, buffer, size, offset);
}

static int failing_fstat(int fd, struct stat *status) {
    return fails() ? (errno = EIO, -1) : otp_sys_real.fstat(fd, status);
}

/* Whatever fails, the answer is right, less, or nothing; and nothing leaks (under a sanitizer). */
START_TEST(test_every_call_fails_once) {
    folder_make();
    struct plain plain;
    plain_program(&plain);
    struct otp_symbols_options options = {.dwarf_cpu_permille = 1000, .debug_directory = "/nonexistent"};
    unsigned number = 0;
    unsigned named = 0;
    for (bool done = false; !done; number++) {
        ck_assert_uint_lt(number, 5000);
        otp_sys.malloc = failing_malloc;
        otp_sys.calloc = failing_calloc;
        otp_sys.realloc = failing_realloc;
        otp_sys.open = failing_open;
        otp_sys.pread = failing_pread;
        otp_sys.fstat = failing_fstat;
        calls_left = number + 1;
        struct otp_symbols *symbols = otp_symbols_new(&options);
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        for (unsigned i = 0; symbols && i < 4; i++) {
            if (i == 2) {
                otp_symbols_end_window(symbols);
                otp_symbols_begin_window(symbols);
            }
            size_t count =
                otp_symbols_resolve(symbols, &plain.fixture.module, BASE + plain.main + i, lines, OTP_SYMBOL_LINES_MAX);
            named += count != 0;
            if (count)
                ck_assert_str_eq(lines[count - 1].function, "main");
        }
        otp_symbols_free(symbols);
        done = calls_left != 0;
        otp_sys = otp_sys_real;
    }
    printf("%u calls failed, one after the other; %u names\n", number, named);
    ck_assert_uint_gt(number, 30);
    ck_assert_uint_gt(named, number);
    folder_remove();
}
END_TEST

OTP_TEST_MAIN("symbols: limits", 280, test_symbol_table_over_limit, test_names_in_file, test_cache_is_bounded,
              test_cache_full_within_window, test_indexes_are_evicted, test_hits_touch_no_file,
              test_every_call_fails_once)
#else
OTP_TEST_MAIN("symbols: limits", 280, test_symbol_table_over_limit, test_names_in_file, test_cache_is_bounded,
              test_cache_full_within_window, test_indexes_are_evicted)
#endif

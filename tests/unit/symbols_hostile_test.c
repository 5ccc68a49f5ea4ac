// SPDX-License-Identifier: Apache-2.0
/* Damaged ELF and DWARF: thousands of small changes to a real program, each read to the end, none for long. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "symbols/line_cost.h"
#include "symbols/symbol_index.h"
#include "symbols_fixture.h"
#include "test_main.h"

#define SECONDS_MAX 0.5 /* for one file, under a sanitizer */

static uint8_t *original;
static uint8_t *image;
static size_t image_size;
static uint64_t state = 88172645463325252ull;

static uint64_t random_number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void read_original(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    image_size = (size_t)status.st_size;
    original = malloc(image_size);
    image = malloc(image_size);
    ck_assert(original && image);
    ck_assert_int_eq(read(fd, original, image_size), status.st_size);
    close(fd);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Where damage goes: the headers, the section headers, or the bytes of one section. */
static void range(const struct otp_elf_file *elf, uint64_t *from, uint64_t *size) {
    Elf64_Ehdr header;
    memcpy(&header, original, sizeof(header));
    unsigned kind = (unsigned)(random_number() % 8);
    *from = 0;
    *size = sizeof(header) + header.e_phnum * sizeof(Elf64_Phdr);
    if (kind == 1) {
        *from = header.e_shoff;
        *size = header.e_shnum * sizeof(Elf64_Shdr);
    }
    while (kind > 1) {
        const Elf64_Shdr *section = &elf->sections[random_number() % elf->section_count];
        const char *name = otp_elf_section_name(elf, section);
        if (section->sh_type == SHT_NOBITS || !section->sh_size || !strcmp(name, ".note.gnu.build-id") ||
            !(strstr(name, "debug") || strstr(name, "tab") || strstr(name, "sym")))
            continue;
        *from = section->sh_offset;
        *size = section->sh_size;
        break;
    }
}

static void damage(const struct otp_elf_file *elf) {
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    memcpy(image, original, image_size);
    unsigned changes = 1 + (unsigned)(random_number() % 4);
    for (unsigned i = 0; i < changes; i++) {
        uint64_t from, size;
        range(elf, &from, &size);
        uint64_t at = from + random_number() % size;
        unsigned kind = (unsigned)(random_number() % 3);
        if (kind == 0)
            image[at] ^= (uint8_t)(1u << random_number() % 8);
        else if (kind == 1)
            image[at] = (uint8_t)random_number();
        else
            for (unsigned k = 0; k < 8 && at + k < from + size; k++)
                image[at + k] = odd[random_number() % sizeof(odd)];
    }
}

static void read_damaged(const struct fixture_module *fixture, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image, image_size), (ssize_t)image_size);
    close(fd);
    struct otp_symbols *symbols = symbols_with(NULL);
    double start = seconds();
    for (uint64_t at = fixture->text; at < fixture->text + fixture->size; at += 29) {
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        size_t count = otp_symbols_resolve(symbols, &fixture->module, BASE + at, lines, OTP_SYMBOL_LINES_MAX);
        for (size_t i = 0; i < count; i++)
            ck_assert(strlen(lines[i].function) <= 4096 && strlen(lines[i].system_name) <= 4096);
    }
    double passed = seconds() - start;
    otp_symbols_free(symbols);
    ck_assert_msg(passed < SECONDS_MAX, "%.3f s", passed);
}

static void damage_many(const char *compiler, const char *flags, unsigned times) {
    write_sources();
    compile(compiler, flags, "good");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("good"), 0);
    read_original(in_folder("good"));
    struct otp_elf_file elf;
    ck_assert_int_eq(otp_elf_from_memory(&elf, original, image_size), OTP_ELF_OK);
    char path[160];
    snprintf(path, sizeof(path), "%s", in_folder("bad"));
    fixture.module.path = path;
    for (unsigned i = 0; i < times; i++) {
        damage(&elf);
        read_damaged(&fixture, path);
    }
    otp_elf_close(&elf);
    free(original);
    free(image);
}

static unsigned times(unsigned normally) {
    const char *seeds = getenv("OTP_SEEDS");
    return seeds ? (unsigned)atoi(seeds) * normally : normally;
}

START_TEST(test_damaged_gcc) {
    folder_make();
    damage_many("gcc", "-g -O2", times(3000));
    folder_remove();
}
END_TEST

START_TEST(test_damaged_clang) {
    folder_make();
    damage_many("clang-14", "-gdwarf-4 -O2", times(3000));
    folder_remove();
}
END_TEST

START_TEST(test_damaged_packed) {
    folder_make();
    damage_many("gcc", "-g -O2 -gz=zlib", times(3000));
    folder_remove();
}
END_TEST

/* A section that says it unpacks to a terabyte is never unpacked. */
START_TEST(test_bomb) {
    folder_make();
    write_sources();
    compile("gcc", "-g -O2 -gz=zlib", "good");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("good"), 0);
    read_original(in_folder("good"));
    struct otp_elf_file elf;
    ck_assert_int_eq(otp_elf_from_memory(&elf, original, image_size), OTP_ELF_OK);
    const Elf64_Shdr *section = otp_elf_section(&elf, SHT_NULL, ".debug_info");
    ck_assert_ptr_nonnull(section);
    ck_assert_uint_ne(section->sh_flags & SHF_COMPRESSED, 0);
    memcpy(image, original, image_size);
    Elf64_Chdr *header = (Elf64_Chdr *)(image + section->sh_offset);
    header->ch_size = (uint64_t)1 << 40;
    int fd = open(in_folder("good"), O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(write(fd, image, image_size), (ssize_t)image_size);
    close(fd);
    struct otp_symbols *symbols = symbols_with(NULL);
    ck_assert_str_eq(name_at(symbols, &fixture, address_of(in_folder("good"), "far_away")), "far_away");
    struct otp_symbols_stats stats;
    otp_symbols_stats(symbols, &stats);
    ck_assert_uint_eq(stats.dwarf_too_large, 1);
    otp_symbols_free(symbols);
    otp_elf_close(&elf);
    free(original);
    free(image);
    folder_remove();
}
END_TEST

/* A line table of a few bytes with a file for each of them, all in a directory with a name of a megabyte. */
START_TEST(test_costly_line_table) {
    enum { FILES = 50000, NAME = 1000000 };
    size_t size = 64 + NAME + 5 * FILES;
    uint8_t *table = calloc(1, size);
    ck_assert_ptr_nonnull(table);
    uint8_t *at = table + 4;
    *at = 4; /* version */
    uint8_t *header_length = at += 2;
    at += 4;
    *at++ = 1; /* instruction length */
    *at++ = 1; /* operations */
    at += 3;   /* is_stmt, line base, line range */
    *at++ = 1; /* opcode base: no standard opcode */
    memset(at, 'd', NAME);
    at += NAME + 2;
    for (unsigned i = 0; i < FILES; i++, at += 5)
        at[0] = 'f';
    at++;
    uint32_t length = (uint32_t)(at - header_length - 4);
    memcpy(header_length, &length, 4);
    *at++ = 200; /* two special opcodes: two rows */
    *at++ = 201;
    length = (uint32_t)(at - table - 4);
    memcpy(table, &length, 4);
    uint64_t cost = 0;
    ck_assert(otp_line_cost(table, (size_t)(at - table), 0, 10, &cost));
    ck_assert_uint_gt(cost, (uint64_t)FILES * NAME);
    ck_assert(!otp_line_cost(table, (size_t)(at - table) - 1, 0, 10, &cost));
    ck_assert(!otp_line_cost(table, (size_t)(at - table), size, 10, &cost));
    ck_assert_uint_eq(otp_longest_string("ab\0abcd\0a", 10), 4);
    ck_assert_uint_eq(otp_longest_string("abc", 3), 3);
    free(table);
}
END_TEST

OTP_TEST_MAIN("symbols: hostile", 280, test_damaged_gcc, test_damaged_clang, test_damaged_packed, test_bomb,
              test_costly_line_table)

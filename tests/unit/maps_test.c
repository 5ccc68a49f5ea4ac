// SPDX-License-Identifier: Apache-2.0
/* The reader of the list of mappings: single lines, lists in pieces of any size, and calls that fail. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/maps.h"
#include "base/sys.h"
#include "test_main.h"

static bool parse(const char *text, struct otp_maps_line *line) {
    char *exact = malloc(strlen(text) + 1); /* so that AddressSanitizer sees a byte more */
    memcpy(exact, text, strlen(text));
    bool good = otp_maps_line_parse(exact, strlen(text), line);
    line->path = good ? text + (line->path - exact) : NULL;
    free(exact);
    return good;
}

START_TEST(lines_of_maps) {
    struct otp_maps_line line;
    ck_assert(parse("7f00-7fff r-xp 00026000 fe:01 1234567                    /usr/lib/a b.so (deleted)", &line));
    ck_assert_uint_eq(line.start, 0x7f00);
    ck_assert_uint_eq(line.end, 0x7fff);
    ck_assert_uint_eq(line.offset, 0x26000);
    ck_assert_uint_eq(line.inode, 1234567);
    ck_assert(line.executable && !line.writable && line.deleted);
    ck_assert_uint_eq(line.path_size, strlen("/usr/lib/a b.so"));
    ck_assert(!memcmp(line.path, "/usr/lib/a b.so", line.path_size));
    ck_assert(parse("7f00-7fff rw-p 00000000 00:00 0", &line));
    ck_assert(!line.executable && line.writable && !line.deleted && !line.path_size);
    ck_assert(parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", &line));
    static const char *const bad[] = {"",
                                      "7f00",
                                      "7f00-",
                                      "-7fff r-xp 0 0:0 0",
                                      "7fff-7f00 r-xp 00000000 00:00 0",
                                      "7f00-7f00 r-xp 00000000 00:00 0",
                                      "7f00-7fff r-x",
                                      "7f00-7fff r-xp zz 00:00 0",
                                      "7f00-7fff r-xp 0 00.00 0",
                                      "7f00-7fff r-xp 0 00:00 ",
                                      "10000000000000000-20000000000000000 r-xp 0 00:00 0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!parse(bad[i], &line), "%s", bad[i]);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- whole lists */

#define PAGES 20000

struct seen {
    uint64_t lines, last_end, inside; /* inside: pages of `from` to `to` that the lines cover */
    uint64_t from, to, stop_after;
};

static bool see(void *user, const struct otp_maps_line *line) {
    struct seen *seen = user;
    ck_assert_uint_ge(line->start, seen->last_end);
    seen->last_end = line->end;
    if (line->start >= seen->from && line->end <= seen->to)
        seen->inside += (line->end - line->start) / 4096;
    return ++seen->lines != seen->stop_after;
}

START_TEST(a_long_list_is_whole) {
    char *pages = mmap(NULL, PAGES * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(pages, MAP_FAILED);
    for (size_t i = 0; i < PAGES; i += 2)
        ck_assert_int_eq(mprotect(pages + i * 4096, 4096, PROT_READ), 0);
    struct seen seen = {.from = (uint64_t)(uintptr_t)pages, .to = (uint64_t)(uintptr_t)pages + PAGES * 4096};
    uint64_t skipped = 0;
    ck_assert_int_eq(otp_maps_scan(see, &seen, &skipped), 0);
    ck_assert_uint_ge(seen.lines, PAGES);
    ck_assert_uint_ge(seen.inside, PAGES - 2); /* the kernel may have joined the ends with neighbours */
    ck_assert_uint_eq(skipped, 0);
    seen = (struct seen){.stop_after = 3};
    ck_assert_int_eq(otp_maps_scan(see, &seen, NULL), 0);
    ck_assert_uint_eq(seen.lines, 3);
    munmap(pages, PAGES * 4096);
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE

static const char *list;
static size_t list_size, given, piece;
static int interruptions, read_error;

static ssize_t list_read(int fd, void *buffer, size_t size) {
    (void)fd;
    ck_assert_uint_gt(size, 0);
    if (interruptions && interruptions--) {
        errno = EINTR;
        return -1;
    }
    size_t part = list_size - given;
    part = part < piece ? part : piece;
    part = part < size ? part : size;
    if (!part && read_error) {
        errno = read_error;
        return -1;
    }
    memcpy(buffer, list + given, part);
    given += part;
    return (ssize_t)part;
}

static int no_open(const char *path, int flags, mode_t mode) {
    (void)path, (void)flags, (void)mode;
    errno = ENOENT;
    return -1;
}

static int scan_list(const char *text, size_t size, size_t in_pieces_of, struct seen *seen, uint64_t *skipped) {
    list = text;
    list_size = size;
    given = 0;
    piece = in_pieces_of;
    *seen = (struct seen){0};
    *skipped = 0;
    otp_sys.read = list_read;
    int result = otp_maps_scan(see, seen, skipped);
    otp_sys = otp_sys_real;
    return result;
}

START_TEST(pieces_of_any_size) {
    char text[20000];
    struct seen seen;
    uint64_t skipped;
    int size = snprintf(text, sizeof(text),
                        "1000-2000 r-xp 0 00:00 0 /a\n\n3000-4000 r-xp 0 00:00 0 %09000d\n"
                        "5000-6000 r-xp 0 00:00 0 %08000d\nnonsense\n7000-8000 r-xp 0 00:00 0\nffff",
                        0, 0);
    for (size_t in_pieces_of = 1; in_pieces_of < 300; in_pieces_of++) {
        interruptions = in_pieces_of % 4 == 0 ? 3 : 0;
        ck_assert_int_eq(scan_list(text, (size_t)size, in_pieces_of, &seen, &skipped), 0);
        ck_assert_uint_eq(seen.lines, 3);
        ck_assert_uint_eq(skipped, 4); /* the empty one, the long one, nonsense, and the one without an end */
    }
    ck_assert_int_eq(scan_list(text, (size_t)size, 100000, &seen, &skipped), 0);
    ck_assert_uint_eq(seen.lines, 3);
    ck_assert_int_eq(scan_list(text, 9000, 4096, &seen, &skipped), 0); /* ends within the long line */
    ck_assert_uint_eq(seen.lines, 1);
    ck_assert_uint_eq(skipped, 2);
}
END_TEST

START_TEST(failures_are_told) {
    static const char one[] = "1000-2000 r-xp 0 00:00 0 /a\n";
    struct seen seen = {0};
    uint64_t skipped;
    otp_sys.open = no_open;
    ck_assert_int_eq(otp_maps_scan(see, &seen, NULL), ENOENT);
    otp_sys = otp_sys_real;
    ck_assert_uint_eq(seen.lines, 0);
    read_error = EIO;
    ck_assert_int_eq(scan_list(one, strlen(one), 7, &seen, &skipped), EIO);
    ck_assert_uint_eq(seen.lines, 1);
    read_error = 0;
}
END_TEST

#define SWAPPED , pieces_of_any_size, failures_are_told
#else
#define SWAPPED
#endif

OTP_TEST_MAIN("maps", 120, lines_of_maps, a_long_list_is_whole SWAPPED)

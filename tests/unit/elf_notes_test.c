// SPDX-License-Identifier: Apache-2.0
/* Notes as linkers write them, and as nobody should. */
#include <check.h>
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/elf_notes.h"
#include "test_main.h"

static uint8_t notes[4096];
static size_t size;

/* The last one has no padding behind it, as the end of a section may be. */
static void add(const char *name, uint32_t type, const void *body, uint32_t body_size, size_t padding) {
    Elf64_Nhdr header = {(uint32_t)strlen(name) + 1, body_size, type};
    size = (size + padding - 1) & ~(padding - 1);
    memcpy(notes + size, &header, sizeof(header));
    size += sizeof(header);
    strcpy((char *)notes + size, name);
    size = (size + header.n_namesz + padding - 1) & ~(padding - 1);
    memcpy(notes + size, body, body_size);
    size += body_size;
}

static size_t find(uint8_t *id, size_t room) {
    uint8_t *exact = malloc(size ? size : 1); /* so that AddressSanitizer sees a byte more */
    memcpy(exact, notes, size);
    size_t found = otp_elf_notes_build_id(exact, size, id, room);
    free(exact);
    memset(notes, 0, sizeof(notes));
    size = 0;
    return found;
}

static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-0123456789";

START_TEST(both_paddings) {
    uint8_t id[OTP_BUILD_ID_MAX];
    for (size_t padding = 4; padding <= 8; padding += 4) {
        for (uint32_t before = 0; before < 24; before++) {
            add("stapsdt", 3, text, before, padding);
            add("GNU", 1, text, 16, padding);
            add("GNU", NT_GNU_BUILD_ID, text, 20, padding);
            ck_assert_uint_eq(find(id, sizeof(id)), 20);
            ck_assert_mem_eq(id, text, 20);
        }
    }
}
END_TEST

START_TEST(sizes_of_the_id) {
    uint8_t id[OTP_BUILD_ID_MAX];
    for (uint32_t length = 0; length < 74; length++) {
        add("GNU", NT_GNU_BUILD_ID, text, length, 4);
        ck_assert_uint_eq(find(id, sizeof(id)), length <= sizeof(id) ? length : 0);
    }
    add("GNU", NT_GNU_BUILD_ID, text, 20, 4);
    ck_assert_uint_eq(find(id, 19), 0);
    add("GNU", NT_GNU_BUILD_ID, text, 0, 4); /* an empty one does not end the search */
    add("GNU", NT_GNU_BUILD_ID, text, 8, 4);
    ck_assert_uint_eq(find(id, sizeof(id)), 8);
}
END_TEST

START_TEST(none_or_damaged) {
    uint8_t id[OTP_BUILD_ID_MAX];
    ck_assert_uint_eq(find(id, sizeof(id)), 0);
    add("GNU", 5, text, 16, 8);
    add("Go", 4, text, 60, 4);
    add("XEN", NT_GNU_BUILD_ID, text, 20, 4);
    ck_assert_uint_eq(find(id, sizeof(id)), 0);
    for (size_t cut = 1; cut < 36; cut++) {
        add("GNU", NT_GNU_BUILD_ID, text, 20, 4);
        size -= cut;
        ck_assert_uint_eq(find(id, sizeof(id)), 0);
    }
    for (unsigned field = 0; field < 8; field++) { /* sizes of 4 GiB */
        add("GNU", NT_GNU_BUILD_ID, text, 20, 4);
        notes[field] = 0xff;
        notes[field | 3] = 0xff;
        find(id, sizeof(id));
    }
}
END_TEST

OTP_TEST_MAIN("notes", 60, both_paddings, sizes_of_the_id, none_or_damaged)

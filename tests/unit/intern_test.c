// SPDX-License-Identifier: Apache-2.0
/* Sets of byte strings and the arena below them: numbers, growth, and that outgrown arrays go back. */
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "test_main.h"

/* Equal keys get equal numbers, also after the tables have grown many times. */
START_TEST(numbers_stay) {
    enum { KEYS = 50000 };
    struct otp_arena *arena = otp_arena_new(0);
    struct otp_intern *set = otp_intern_new(arena);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < KEYS; i++)
            ck_assert_uint_eq(otp_intern(set, &i, sizeof(i)), i);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        size_t size;
        ck_assert_uint_eq(otp_intern_find(set, &i, sizeof(i)), i);
        ck_assert_int_eq(memcmp(otp_intern_key(set, i, &size), &i, sizeof(i)), 0);
        ck_assert_uint_eq(size, sizeof(i));
    }
    ck_assert_uint_eq(otp_intern_count(set), KEYS);
    otp_arena_free(arena);
}
END_TEST

/* 8 bytes a key, 16 an entry, 8 of the table, the last two up to twice: nothing is kept of what was outgrown. */
START_TEST(outgrown_arrays_go) {
    enum { KEYS = 1 << 16 };
    struct otp_arena *arena = otp_arena_new(0);
    struct otp_intern *set = otp_intern_new(arena);
    for (uint32_t i = 0; i < KEYS; i++)
        ck_assert_uint_eq(otp_intern(set, &i, sizeof(i)), i);
    ck_assert_uint_lt(otp_arena_size(arena), KEYS * (8 + 16 + 8) + (256 << 10));
    otp_arena_free(arena);
}
END_TEST

/* At the limit nothing changes, and what is there stays readable. */
START_TEST(limit) {
    struct otp_arena *arena = otp_arena_new(256 << 10);
    struct otp_intern *set = otp_intern_new(arena);
    uint32_t count = 0;
    while (otp_intern(set, &count, sizeof(count)) != OTP_INTERN_NONE)
        count++;
    ck_assert_uint_gt(count, 1000);
    ck_assert_uint_le(otp_arena_size(arena), 256 << 10);
    ck_assert_uint_eq(otp_intern_count(set), count);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_uint_eq(otp_intern(set, &i, sizeof(i)), i);
    otp_arena_free(arena);
}
END_TEST

static bool all(const char *bytes, size_t size, char wanted) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != wanted)
            return false;
    return true;
}

START_TEST(grow_keeps_contents) {
    struct otp_arena *arena = otp_arena_new(0);
    char *block = NULL;
    size_t size = 0;
    for (size_t next = 16; next <= 4 << 20; next *= 2) {
        block = otp_arena_grow(arena, block, size, next);
        ck_assert_ptr_nonnull(block);
        ck_assert(all(block, size, 'x'));
        ck_assert(all(block + size, next - size, 0));
        memset(block + size, 'x', next - size);
        size = next;
    }
    ck_assert_uint_lt(otp_arena_size(arena), (4 << 20) + (256 << 10));
    otp_arena_release(arena, block, size);
    otp_arena_release(arena, NULL, 0);
    ck_assert_uint_lt(otp_arena_size(arena), 256 << 10);
    otp_arena_free(arena);
}
END_TEST

OTP_TEST_MAIN("intern", 60, numbers_stay, outgrown_arrays_go, limit, grow_keeps_contents)

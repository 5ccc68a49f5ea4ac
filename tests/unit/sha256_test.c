// SPDX-License-Identifier: Apache-2.0
/* SHA-256 against the examples of FIPS 180-4 and NIST's long message. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

static void expect(struct otp_sha256 *hash, const char *hex) {
    uint8_t digest[OTP_SHA256_SIZE];
    char text[2 * OTP_SHA256_SIZE + 1];
    otp_sha256_final(hash, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    ck_assert_str_eq(text, hex);
}

START_TEST(known_messages) {
    struct otp_sha256 hash;
    otp_sha256_init(&hash);
    expect(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    otp_sha256_init(&hash);
    otp_sha256_add(&hash, "abc", 3);
    expect(&hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    otp_sha256_init(&hash);
    otp_sha256_add(&hash, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
    expect(&hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
END_TEST

START_TEST(a_million_letters_in_odd_pieces) {
    char piece[997];
    memset(piece, 'a', sizeof(piece));
    struct otp_sha256 hash;
    otp_sha256_init(&hash);
    for (size_t left = 1000000; left;) {
        size_t part = left < sizeof(piece) ? left : sizeof(piece);
        otp_sha256_add(&hash, piece, part);
        left -= part;
    }
    expect(&hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sha256");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, known_messages);
    tcase_add_test(tests, a_million_letters_in_odd_pieces);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

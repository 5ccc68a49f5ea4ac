#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, as C11 and as C++17, with gcc and clang, without a warning.
# Needs OTP_BUILD and OTP_SOURCE.
set -uo pipefail
flags=(-Wall -Wextra -Wshadow -pedantic -Werror -fsyntax-only -I "$OTP_SOURCE/include" -I "$OTP_BUILD/include")
failures=0 count=0

compile() {
    count=$((count + 1))
    "$@" || {
        echo "failed: $*"
        failures=$((failures + 1))
    }
}

for header in "$OTP_SOURCE"/include/otelprof/*.h "$OTP_BUILD"/include/otelprof/*.h; do
    for compiler in gcc clang-14; do
        compile "$compiler" -std=c11 "${flags[@]}" -x c - <<<"#include <otelprof/$(basename "$header")>"$'\nint nothing;'
        compile "$compiler" -std=c++17 "${flags[@]}" -x c++ - <<<"#include <otelprof/$(basename "$header")>"$'\nint nothing;'
    done
done
for header in "$OTP_SOURCE"/include/otelprof/*.hpp; do
    for compiler in g++ clang++-14; do
        for standard in c++17 c++20; do
            compile "$compiler" -std=$standard "${flags[@]}" -x c++ - <<<"#include <otelprof/$(basename "$header")>"$'\nint nothing;'
        done
    done
done
# The macro and every public type, used the way a C and a C++ program use them.
compile gcc -std=c11 "${flags[@]}" "$OTP_SOURCE/tests/packaging/user/main.c"
compile g++ -std=c++17 "${flags[@]}" -x c++ "$OTP_SOURCE/tests/packaging/user/main.c"
echo "$count compilations, $failures failed"
exit $((failures > 0 || count < 8))

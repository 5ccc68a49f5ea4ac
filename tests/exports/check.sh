#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the built libraries show to the outside, against checked-in lists; and one version everywhere.
# Needs OTP_BUILD (a release build) and OTP_SOURCE. `check.sh --update` writes the lists anew.
set -uo pipefail
here=$OTP_SOURCE/tests/exports
library=$OTP_BUILD/src/libotelprof.so
archive=$OTP_BUILD/dist/libotelprof.a
preload=$OTP_BUILD/src/preload/libotelprof-preload.so
network=$OTP_BUILD/src/network/libotelprof-network.so
nm=${OTP_CROSS:-}nm readelf=${OTP_CROSS:-}readelf
failures=0

fail() {
    echo "exports: $*"
    failures=$((failures + 1))
}

# Dynamic symbols that a shared object defines, with their version.
shared_symbols() { "$nm" -D --defined-only --with-symbol-versions "$1" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort; }
archive_symbols() { "$nm" -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort; }

compare() { # list, symbols
    if [[ ${update:-} ]]; then
        printf '%s\n' "$2" >"$here/$1"
    elif ! diff -u --label "checked in: $1" --label built "$here/$1" <(printf '%s\n' "$2"); then
        fail "$1 differs"
    fi
}

check_shared_object() { # file, SONAME or nothing
    local dynamic segments
    dynamic=$("$readelf" -dW "$1")
    segments=$("$readelf" -lW "$1")
    grep -q TEXTREL <<<"$dynamic" && fail "$1 has text relocations"
    grep -q 'FLAGS_1.*NODELETE' <<<"$dynamic" || fail "$1 is not nodelete"
    grep -q 'FLAGS_1.*NOW' <<<"$dynamic" || fail "$1 is not bound at load (now)"
    grep -q GNU_RELRO <<<"$segments" || fail "$1 has no relro"
    grep 'GNU_STACK' <<<"$segments" | grep -q 'RWE' && fail "$1 has an executable stack"
    grep -q 'RPATH' <<<"$dynamic" && fail "$1 has an RPATH"
    if [[ -n ${2:-} ]] && ! grep -q "SONAME.*\[$2\]" <<<"$dynamic"; then
        fail "$1 has not the SONAME $2"
    fi
    grep NEEDED <<<"$dynamic" | grep -q libbpf && fail "$1 needs libbpf"
    return 0
}

check_version() {
    local header cmake pc soname
    header=$(sed -n 's/^#define OTELPROF_VERSION "\(.*\)"$/\1/p' "$OTP_BUILD/include/otelprof/version.h")
    cmake=$(sed -n 's/^project(otelprof VERSION \([0-9.]*\).*/\1/p' "$OTP_SOURCE/CMakeLists.txt")
    pc=$(sed -n 's/^Version: //p' "$OTP_BUILD/otelprof.pc")
    soname=$("$readelf" -d "$library" | sed -n 's/.*SONAME.*libotelprof\.so\.\([0-9]*\).*/\1/p')
    [[ -n $header && $header = "$cmake" && $header = "$pc" && ${header%%.*} = "$soname" ]] ||
        fail "versions differ: header $header, CMake $cmake, .pc $pc, SONAME $soname"
    [[ -e $library.$header ]] || fail "$library.$header is missing"
    grep -q "^## ${header//./\\.}" "$OTP_SOURCE/CHANGELOG.md" || fail "CHANGELOG.md does not speak of $header"
    grep -q "OTELPROF_${header%.*}" "$OTP_SOURCE/src/otelprof.map" || fail "otelprof.map has no node for $header"
}

[[ ${1:-} = --update ]] && update=1
compare otelprof.symbols "$(shared_symbols "$library")"
compare archive.symbols "$(archive_symbols "$archive")"
compare preload.symbols "$(shared_symbols "$preload")"
compare network.symbols "$(shared_symbols "$network")"
check_shared_object "$library" libotelprof.so.0
check_shared_object "$preload"
check_shared_object "$network"
"$readelf" -dW "$library" "$preload" | grep -q 'NEEDED.*libcurl' && fail "libcurl is loaded where the network is not wanted"
[[ ${OTP_CROSS:-} ]] || check_version
for name in $(shared_symbols "$library"); do
    grep -q "${name%%@*}" "$OTP_SOURCE/src/otelprof.map" || fail "$name is not in otelprof.map"
done
while read -r name; do
    shared_symbols "$library" | grep -q "^$name@" || fail "$name is in otelprof.map and not defined"
done < <(sed -n 's/^ *\([a-z_0-9]*\);$/\1/p' "$OTP_SOURCE/src/otelprof.map")
echo "$(shared_symbols "$library" | wc -l) exported symbols, $failures failures"
exit $((failures > 0))

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A build without an optional part: works, needs nothing of it, and says what it lacks. without.sh network|dwarf
# Needs OTP_BUILD (its parent gets without-PART) and OTP_SOURCE.
set -euo pipefail
part=$1
build=$(dirname "$OTP_BUILD")/without-$part

fail() {
    echo "without $part: $*"
    exit 1
}

needs() { readelf -d "$build"/src/libotelprof.so "$build"/src/tool/otelprof | grep -q "NEEDED.*$1"; }

cmake -S "$OTP_SOURCE" -B "$build" -G Ninja "-DOTELPROF_${part^^}=OFF" -DOTELPROF_EXAMPLES=OFF >/dev/null
cmake --build "$build" -j "$(nproc)"
ctest --test-dir "$build" -j "$(nproc)" --output-on-failure -R 'export|settings|otlp|symbols' | tail -n 3
"$build/src/tool/otelprof" doctor >"$build/doctor.txt" || true
rm -rf "$build/profiles"

without_network() {
    [[ -z $(find "$build" -name 'libotelprof-network*') ]] || fail "the network exporter was built"
    grep -q libotelprof-network "$build/cmake_install.cmake" && fail "the network exporter would be installed"
    grep -q 'note  *network exporter  *profiles go to files' "$build/doctor.txt" || fail "doctor does not say so"
}

without_dwarf() {
    needs libdw && fail "libdw is needed"
    grep -q -e -ldw "$build/otelprof.pc" && fail "otelprof.pc asks for libdw"
    grep -q 'note  *source lines  *built without libdw' "$build/doctor.txt" || fail "doctor does not say so"
}

"without_$part"
[[ $(id -u) = 0 ]] && grep -q 'works here' "$build/doctor.txt" || exit 0
OTELPROF_OUTPUT_DIR=$build/profiles "$build/tests/interop/sender" 1 1000 1000 >"$build/files.txt"
grep -q '"flush": 0, .*"shutdown": 0, ' "$build/files.txt" || fail "to files: $(cat "$build/files.txt")"
"$build/src/tool/otelprof" top "$build/profiles" | grep -q ' work ' || fail "the profile lacks its function"
if [[ $part = network ]]; then
    "$build/tests/interop/sender" 0.1 0 0 >"$build/network.txt"
    grep -q '"init": -13, .*libotelprof-network.so' "$build/network.txt" || fail "to the network: $(cat "$build/network.txt")"
fi

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A build without libcurl: works, needs nothing of it, and says what it lacks. Needs OTP_BUILD (its parent gets
# without-network) and OTP_SOURCE.
set -euo pipefail
build=$(dirname "$OTP_BUILD")/without-network

fail() {
    echo "without network: $*"
    exit 1
}

cmake -S "$OTP_SOURCE" -B "$build" -G Ninja -DOTELPROF_NETWORK=OFF -DOTELPROF_EXAMPLES=OFF >/dev/null
cmake --build "$build" -j "$(nproc)"
ctest --test-dir "$build" -j "$(nproc)" --output-on-failure -R 'export|settings|otlp' | tail -n 3
[[ -z $(find "$build" -name 'libotelprof-network*') ]] || fail "the network exporter was built"
grep -q libotelprof-network "$build/cmake_install.cmake" && fail "the network exporter would be installed"
"$build/src/tool/otelprof" doctor >"$build/doctor.txt" || true
grep -q 'note  *network exporter  *profiles go to files' "$build/doctor.txt" || fail "doctor does not say what is missing"
[[ $(id -u) = 0 ]] && grep -q 'works here' "$build/doctor.txt" || exit 0
rm -rf "$build/profiles"
OTELPROF_OUTPUT_DIR=$build/profiles "$build/tests/interop/sender" 1 1000 1000 >"$build/files.txt"
grep -q '"flush": 0, .*"shutdown": 0, ' "$build/files.txt" || fail "to files: $(cat "$build/files.txt")"
"$build/src/tool/otelprof" top "$build/profiles" | grep -q ' work ' || fail "the profile lacks its function"
"$build/tests/interop/sender" 0.1 0 0 >"$build/network.txt"
grep -q '"init": -13, .*libotelprof-network.so' "$build/network.txt" || fail "to the network: $(cat "$build/network.txt")"

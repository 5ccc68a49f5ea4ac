#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The library's whole life under ThreadSanitizer, eBPF included: calls from many threads at once, in and out of season.
# lifecycle_tsan.sh BUILD WORK      BUILD: of the tsan preset
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
need_root "to profile"
build=$1 work=$2
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
unset "${!OTEL@}"
export TSAN_OPTIONS="exitcode=66 suppressions=$OTP_SOURCE/tests/lib/tsan_suppressions.txt"
for name in storm threads twice switch callback timeout; do
    mkdir "$name"
    timeout 120 "$build/tests/integration/lifecycle" "$name" "$name" >"$name.txt" 2>&1
    status=$?
    [[ $status = 0 ]] || fail "$name: status $status: $(head -n 40 "$name.txt")"
done
verdict

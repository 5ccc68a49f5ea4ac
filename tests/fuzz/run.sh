#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes each parser of foreign bytes by libFuzzer, with the library instrumented, under ASan and UBSan. One command on a
# fresh Debian: installs what it needs.
#
#   tests/fuzz/run.sh [SECONDS [PATTERN]]      for each target whose name matches; default 120 s, all of them
#   OTP_BUILD_ROOT=FOLDER                      where to build (default build)
#
# New inputs are kept in BUILD/fuzz/found/TARGET; what crashes, hangs or leaks lies beside them as crash-*, and the exit
# status is 1. A finding that is mended goes into corpus/ with the change.
set -uo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 2
build=${OTP_BUILD_ROOT:-$source_dir/build}/fuzz
seconds=${1:-120} pattern=${2:-*}
# shellcheck source=tests/lib/packages.sh
. "$source_dir/tests/lib/packages.sh"
install_packages "${build_packages[@]}" check libclang-rt-14-dev || exit 2
cd "$source_dir" || exit 2
if ! { cmake --preset fuzz -B "$build" && ninja -C "$build" all_fuzz_targets; } >"$build.log" 2>&1; then
    tail -n 30 "$build.log"
    exit 2
fi
failed=0
for target in "$build"/tests/fuzz/*_fuzz; do
    name=$(basename "$target" _fuzz)
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $name == $pattern ]] || continue
    found=$build/found/$name
    mkdir -p "$found"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$name" >"$found.log" 2>&1
    status=$?
    printf '%-20s status %d, %s executions, %s inputs\n' "$name" "$status" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")" "$(find "$found" -type f | wc -l)"
    if ((status != 0)); then
        failed=1
        tail -n 20 "$found.log"
    fi
done
exit "$failed"

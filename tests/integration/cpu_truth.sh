#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CPU truth at 999 Hz over six windows with a library loaded in the middle: functions, routes, stacks, accounting. The
# long form: many seeds, and one run of OTP_SECONDS.
# timeout: 600
set -u
export OTELPROF_PROFILES=cpu
seconds=18
folders=()
run() { # seed, seconds
    local folder=$OTP_WORK/seed-$1
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/cpu_truth" "$folder/out" 999 "$2" $(($2 * 1000 / 6)) "$1" >"$folder/facts.json" || exit 1
    folders+=("$folder")
}
for ((seed = 1; seed <= ${OTP_SEEDS:-1}; seed++)); do
    run "$seed" "$seconds"
done
[[ -z ${OTP_LONG:-} ]] || run 0 "${OTP_SECONDS:-600}"
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/cpu_truth.py" "${folders[@]}"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 22 known sites in 20 runs: what is allocated and what is live, bytes and objects, against exact counts; chains frame for
# frame; routes, traces and ages; a leak that is left when all else is freed, and nothing at the end. Before that, the
# judge itself: right for a simulated sampler, red for wrong ones. The long form: many seeds, and in one run a leak that
# lives for more than a minute.
# timeout: 600
set -u
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/heap_truth_self_test.py" || exit 1
folders=()
run() { # seed, seconds that the leak lives on
    local folder=$OTP_WORK/seed-$1
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/heap_truth" "$folder/out" "$1" "$OTP_BUILD/tests/integration/heap_module.so" "$2" \
        >"$folder/facts.json" || exit 1
    folders+=("$folder")
}
for ((seed = 1; seed <= ${OTP_SEEDS:-20}; seed++)); do
    run "$seed" 0
done
[[ -z ${OTP_LONG:-} ]] || run 0 62
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/heap_truth.py" "${folders[@]}"

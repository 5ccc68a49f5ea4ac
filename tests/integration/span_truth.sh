#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CPU by span: spans of 50 us to 5 ms, nested, and requests that move between threads. The long form: many seeds.
# timeout: 300
set -u
export OTELPROF_PROFILES=cpu
seconds=24
folders=()
for ((seed = 1; seed <= ${OTP_SEEDS:-1}; seed++)); do
    folder=$OTP_WORK/seed-$seed
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/span_truth" "$folder/out" 999 "$seconds" $((seconds * 1000 / 6)) "$seed" \
        >"$folder/facts.json" || exit 1
    folders+=("$folder")
done
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/span_truth.py" "${folders[@]}"

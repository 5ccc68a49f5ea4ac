#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 15 known sites, 20 runs: what is allocated and what is live, bytes and objects, against exact counts; chains frame for
# frame; routes and traces; nothing left when all is freed. Before that, the judge itself: right for a simulated sampler,
# red for wrong ones.
# timeout: 600
set -u
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/heap_truth.py" --self-test || exit 1
folders=()
for ((seed = 1; seed <= ${OTP_SEEDS:-20}; seed++)); do
    folder=$OTP_WORK/seed-$seed
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/heap_truth" "$folder/out" "$seed" "$OTP_BUILD/tests/integration/heap_module.so" \
        >"$folder/facts.json" || exit 1
    folders+=("$folder")
done
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/heap_truth.py" "${folders[@]}"

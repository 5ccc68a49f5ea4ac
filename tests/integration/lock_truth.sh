#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Known waits at 21 sites, for every kind of lock and for work, in 10 runs: contentions and delay, waiters and holders,
# against what the program measures itself; names, kinds, routes and traces of both sides; eight threads that fight for
# one mutex. Then the judge itself: a run that is spoilt must fail.
# timeout: 600
set -u
folders=()
for ((seed = 1; seed <= ${OTP_SEEDS:-10}; seed++)); do
    folder=$OTP_WORK/seed-$seed
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/lock_truth" "$folder/out" "$seed" "$OTP_BUILD/tests/integration/lock_module.so" 700 \
        >"$folder/facts.json" || exit 1
    folders+=("$folder")
done
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/lock_truth.py" "${folders[@]}" || exit 1
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/lock_truth_spoilt.py" "${folders[0]}"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Circles of two and three mutexes, of a mutex and a write lock, and a mutex taken twice: each is named within two
# windows, with stacks, spans, locks and holders. And 10,000 snapshots of threads that only seem to be in one.
# timeout: 900
set -u
folders=()
for kind in two three write writers itself; do
    for lock in "" lock; do
        folder=$OTP_WORK/$kind$lock
        mkdir -p "$folder"
        "$OTP_BUILD/tests/integration/deadlocks" "$folder/out" "$kind" ${lock:+lock} >"$folder/facts.txt" || exit 1
        folders+=("$folder")
    done
done
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/deadlocks.py" "${folders[@]}" || exit 1
"$OTP_BUILD/tests/integration/deadlock_storm" "${OTP_SNAPSHOTS:-10000}" 1000

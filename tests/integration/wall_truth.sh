#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Threads that wait known times in read, poll, futex, nanosleep, pread, accept and a condition, in step with the ticks
# and out of it, on an idle machine and beside three that burn: wall time by thread, state, place and system call
# against what they measure themselves. Then the judge itself: facts that are wrong must fail.
# timeout: 300
set -u
folders=()
for burners in 0 3; do
    folder=$OTP_WORK/burners-$burners
    mkdir -p "$folder"
    "$OTP_BUILD/tests/integration/wall_truth" "$folder/out" "${OTP_SECONDS:-24}" "$burners" \
        "$OTP_BUILD/tests/integration/lock_module.so" >"$folder/facts.json" || exit 1
    folders+=("$folder")
done
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/wall_truth.py" "${folders[@]}" || exit 1
if "$OTP_PYTHON" "$OTP_SOURCE/tests/integration/wall_truth.py" --spoil "${folders[0]}" >"$OTP_WORK/spoilt.txt"; then
    echo "FAILED: the judge takes facts that are wrong"
    exit 1
fi
echo "wrong facts: $(grep -c '^FAIL' "$OTP_WORK/spoilt.txt") findings"

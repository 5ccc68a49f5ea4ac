#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each loss forced alone moves its own counter only, and fired = exported + losses; where files are written the
# exported samples are recounted by the independent decoder.
# timeout: 300
set -u
export OTELPROF_PROFILES=cpu
failed=0
for loss in none ring_full memory window_dropped export_failed shutdown crowded; do
    out=$OTP_WORK/$loss
    "$OTP_BUILD/tests/integration/accounting" "$loss" "$out" > "$OTP_WORK/$loss.txt" || failed=1
    cat "$OTP_WORK/$loss.txt"
    [ -d "$out" ] || continue
    exported=$(awk '/^exported/ { print $2 }' "$OTP_WORK/$loss.txt")
    counted=$("$OTP_PYTHON" - "$OTP_SOURCE/tests/decoder" "$out" << 'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
import decode
print(sum(sample.count for _, _, request in decode.load([sys.argv[2]]) for sample in decode.samples(request)))
PYTHON
    )
    echo "$loss: recounted $counted"
    [ "$exported" = "$counted" ] || { echo "$loss: the files hold $counted samples, not $exported" && failed=1; }
done
exit "$failed"

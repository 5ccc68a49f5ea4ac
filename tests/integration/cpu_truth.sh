#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CPU truth at 999 Hz over six windows with a library loaded in the middle: functions, routes, stacks, accounting.
# timeout: 600
set -u
seconds=${OTP_SECONDS:-18}
"$OTP_BUILD/tests/integration/cpu_truth" "$OTP_WORK/out" 999 "$seconds" $((seconds * 1000 / 6)) \
    > "$OTP_WORK/facts.json" || exit 1
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/cpu_truth.py" "$OTP_WORK/out" "$OTP_WORK/facts.json" || exit 1
"$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/check.py" "$OTP_WORK/out"

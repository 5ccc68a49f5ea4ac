#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 2,000 threads of 1 to 3 ms each are seen in their right share, with their spans. The long form: many more.
# timeout: 240
set -u
export OTELPROF_PROFILES=cpu
"$OTP_BUILD/tests/integration/short_threads" "$OTP_WORK/out" 999 $((2000 * (${OTP_LONG:-0} ? 20 : 1))) 1000 \
    >"$OTP_WORK/facts.json" || exit 1
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/short_threads.py" "$OTP_WORK/out" "$OTP_WORK/facts.json"

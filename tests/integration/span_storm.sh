#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Spans switched in a tight loop inside an outer span, sampled at 999 Hz.
set -u
export OTELPROF_PROFILES=cpu
"$OTP_BUILD/tests/integration/span_storm" "$OTP_WORK/out" "${OTP_SECONDS:-6}" || exit 1
"$OTP_PYTHON" "$OTP_SOURCE/tests/integration/span_storm.py" "$OTP_WORK/out"

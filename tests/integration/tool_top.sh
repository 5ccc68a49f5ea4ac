#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `otelprof top` against files made by another encoder, whose sums are known.
set -uo pipefail
# Not a profile of the library: kept out of the conformance check, which skips folders of this name.
mkdir -p "$OTP_WORK/broken" || exit 1
exec "$OTP_PYTHON" "$OTP_SOURCE/tests/integration/tool_top.py" "$OTP_BUILD/src/tool/otelprof" "$OTP_WORK/broken"

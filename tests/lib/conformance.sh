#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every profile that a test wrote must pass the conformance checker: conformance.sh FOLDER
set -uo pipefail
find "$1" -name broken -prune -o -name '*.otlp' -print0 | sort -z |
    xargs -0 "$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/check.py"

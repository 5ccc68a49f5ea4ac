#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Forks while profiles are sent over TLS and to receivers that fail: no child hangs, and each that lives on is profiled.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
[[ -x $OTP_COLLECTOR ]] || { echo "the Collector was not built: $OTP_COLLECTOR" && exit 1; }
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"
"$OTP_SOURCE/tests/lib/certificates.sh" certificates || exit 1
exec "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/fork_delivery.py" "$OTP_COLLECTOR" "$OTP_BUILD/tests/interop/fork_storm" \
    certificates "$OTP_WORK" "${OTP_FORKS:-200}"

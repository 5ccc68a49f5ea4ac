#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every way to a real Collector: gRPC, HTTP, compressed and not, TLS, client certificates, tokens, limits on size, and
# what it says when it has no memory or nobody to pass profiles on to. What was sent comes out of its file unchanged.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
[[ -x $OTP_COLLECTOR ]] || { echo "the Collector was not built: $OTP_COLLECTOR" && exit 1; }
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"
"$OTP_SOURCE/tests/lib/certificates.sh" certificates || exit 1
exec "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/collector_scenarios.py" "$OTP_COLLECTOR" \
    "$OTP_BUILD/tests/interop/sender" certificates "$OTP_WORK"

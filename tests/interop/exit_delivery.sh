#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Services that end without shutdown in the middle of TLS and of requests end as without us.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"
"$OTP_SOURCE/tests/lib/certificates.sh" certificates || exit 1
exec "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/exit_delivery.py" "$OTP_BUILD/tests/interop/exit_host" certificates \
    "${OTP_RUNS:-40}"

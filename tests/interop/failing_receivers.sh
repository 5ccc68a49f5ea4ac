#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Receivers that refuse, hang, break off, and say odd things: accounts exact, deadlines kept, memory bounded, no secret.
# timeout: 420
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
export OTELPROF_PROFILES=cpu # samples are counted
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"
"$OTP_SOURCE/tests/lib/certificates.sh" certificates || exit 1
exec "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/failing_servers.py" "$OTP_BUILD/tests/interop/sender" certificates

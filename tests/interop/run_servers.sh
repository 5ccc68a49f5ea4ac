#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `otelprof run` on programs that nobody changed: redis, nginx, PostgreSQL, Python, a program in Rust, one in Go. Their
# answers are right, and their profiles reach a Collector, each process under its own name.
# timeout: 600
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
clean_environment
need_root "to start servers as they are started"
[[ -x $OTP_COLLECTOR ]] || { echo "the Collector was not built: $OTP_COLLECTOR" && exit 1; }
"$OTP_BUILD/src/tool/otelprof" doctor >"$OTP_WORK/doctor.txt" 2>&1 || skip "eBPF profiling is not possible here"
# In a place that any user can reach.
place=$(mktemp -d) && chmod 755 "$place" || exit 1
trap 'rm -rf "$place"' EXIT
cmake --install "$OTP_BUILD" --prefix "$place/otelprof" >"$OTP_WORK/install.txt" || exit 1
"$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/run_servers.py" "$OTP_COLLECTOR" "$place" "$@"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The heap profile of programs that nobody changed, beside what they say of their memory themselves: redis (its allocator),
# Python (tracemalloc), nginx (its answers), clang-format (C++; its output).
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
clean_environment
need_root "to profile"
for program in redis-server redis-cli nginx clang-format-14 wrk curl; do
    [[ -x $(PATH=$PATH:/usr/sbin type -P "$program") ]] || skip "$program is missing"
done
"$OTP_PYTHON" -u "$OTP_SOURCE/tests/integration/heap_programs.py" "$OTP_BUILD/src/tool/otelprof" "$OTP_WORK" "$@"

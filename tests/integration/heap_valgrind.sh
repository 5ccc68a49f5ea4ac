#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The hooks' own tests under valgrind: they read no memory that is not theirs, and use nothing that was not set.
# Threads take turns there: fairly, and with more patience than a test has otherwise.
# timeout: 600
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
command -v valgrind >/dev/null || skip "valgrind is missing"
export OTP_TEST_VALGRIND=1 CK_TIMEOUT_MULTIPLIER=4
for name in hooks live_blocks lock_hooks; do
    valgrind -q --fair-sched=yes --error-exitcode=9 "$OTP_BUILD/tests/unit/${name}_test" >"$OTP_WORK/$name.txt" 2>&1 ||
        fail "$name: $(cat "$OTP_WORK/$name.txt")"
done
verdict

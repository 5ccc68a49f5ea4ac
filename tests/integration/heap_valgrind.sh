#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The hooks' own tests under valgrind: they read no memory that is not theirs, and use nothing that was not set.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
command -v valgrind >/dev/null || skip "valgrind is missing"
export OTP_TEST_VALGRIND=1
for name in hooks live_blocks; do
    expect "$name" valgrind -q --error-exitcode=9 "$OTP_BUILD/tests/unit/${name}_test"
done
verdict

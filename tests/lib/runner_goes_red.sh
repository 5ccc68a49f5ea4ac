#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The runner must see what is wrong: its self-test has one case that passes, one that skips, and the rest must fail.
set -uo pipefail
here=$(dirname "$0")
. "$here/self_test.sh"
output=$("$here/../run.sh" --self-test)
status=$?
printf '%s\n' "$output"
expected="1 passed, $(self_test_expected) failed, 1 skipped"
[[ $status = 1 && $(tail -n 1 <<<"$output") = "$expected" ]] && exit 0
echo "expected status 1 and \"$expected\", got status $status"
exit 1

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Unwind tables that run out of room: a second set of kernel tables; refused, stolen, filtered: no harm to the host.
# timeout: 300
set -u
failed=0
for name in grows refused stolen segments filtered; do
    echo "-- $name"
    "$OTP_BUILD/tests/integration/growth" "$OTP_WORK/$name" "$name"
    status=$?
    [[ $status = 0 ]] || { echo "$name: exit status $status"; failed=1; }
done
exit "$failed"

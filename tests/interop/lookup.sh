#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A receiver whose name is not looked up by anybody: nothing piles up, and nothing shows among the host's descriptors.
# timeout: 90
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"
unshare -m -n true || skip "no network namespace can be made"
echo "nameserver 127.0.0.1" >resolv.conf
echo "hosts: files dns" >nsswitch.conf
# shellcheck disable=SC2016 # expanded inside
unshare -m -n bash -c 'mount --bind resolv.conf /etc/resolv.conf && mount --bind nsswitch.conf /etc/nsswitch.conf &&
    ip link set lo up && exec "$@"' - \
    "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/lookup.py" "$OTP_BUILD/tests/interop/lookup_host" 12

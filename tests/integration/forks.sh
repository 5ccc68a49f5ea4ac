#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Forks of every kind, short threads: the profile is the parent's alone; a child is off, or has a profile of its own.
# timeout: 240
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
program=$OTP_BUILD/tests/integration/forks
cd "$OTP_WORK" || exit 1
clean_environment

take() { # how
    local status
    timeout 100 "$program" "$1" "$1" >"$1.json" 2>"$1.txt"
    status=$?
    [[ $status = 0 && ! -s $1.txt ]] || fail "$1: status $status: $(head -n 20 "$1.txt")"
}

judge() { # how, arguments
    local how=$1
    shift
    "$OTP_PYTHON" "$OTP_SOURCE/tests/integration/forks.py" "$@" "$how.json" "$how" || fail "$how: see above"
}

for how in kinds threads many-threads; do
    take $how
    judge $how parent
done
take own
judge own processes 2
OTELPROF_FORK=follow take follow
judge follow processes 4

# The parent ends inside daemon(); the child says how it went when it has.
take daemon
for _ in {1..100}; do
    [[ -s daemon.json ]] && break
    sleep 0.1
done
pid=$(sed -n 's/^{"pid": \([0-9]*\), "failures": 0}$/\1/p' daemon.json)
[[ -n $pid ]] || fail "daemon: $(cat daemon.json daemon.txt)"
[[ -n $(find daemon -name "*-$pid-*.otlp") ]] || fail "daemon: no profile of $pid: $(ls daemon)"

"$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/check.py" . >check.txt || fail "$(tail -n 20 check.txt)"
verdict

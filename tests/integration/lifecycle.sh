#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The life cycle of the library: what every call answers, in and out of season, and what the host sees of it: nothing.
# timeout: 240
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
program=$OTP_BUILD/tests/integration/lifecycle
host=$OTP_BUILD/tests/integration/lifecycle_host
cd "$OTP_WORK" || exit 1
clean_environment
ulimit -c 0

# Runs a program that must succeed and be silent: on stdout and stderr there is only what went wrong.
silent() { # name, command
    local name=$1 status
    shift
    mkdir -p "$name"
    timeout 100 "$@" >"$name.txt" 2>&1
    status=$?
    [[ $status = 0 ]] || fail "$name: status $status"
    [[ ! -s $name.txt ]] || fail "$name: $(head -n 20 "$name.txt")"
}

# A host that ends without shutdown keeps its exit status.
ends() { # how, status
    mkdir -p "end-$1"
    { "$host" "$1" "end-$1" >"end-$1.txt" 2>&1; } 2>/dev/null
    local status=$?
    [[ $status = "$2" ]] || fail "$1: exit status $status, not $2"
    [[ ! -s end-$1.txt ]] || fail "$1: $(head -n 20 "end-$1.txt")"
}

for name in off options threads; do
    silent "$name" "$program" "$name" "$name"
done
silent nowhere env OTELPROF_NETWORK_OBJECT=/nowhere/at/all.so "$program" nowhere nowhere
for name in twice storm cycles constructor timeout switch callback; do
    silent "$name" "$program" "$name" "$name"
    [[ -n $(find "$name" -name '*.otlp') ]] || fail "$name: no profile was written"
done
silent disabled env OTEL_SDK_DISABLED=true "$program" disabled disabled
silent disabled-ours env OTELPROF_DISABLED=1 "$program" disabled disabled-ours
[[ -z $(find disabled disabled-ours -name '*.otlp') ]] || fail "disabled, and wrote a profile"

for size in 300 500 700 1000 3000; do
    silent "tls-$size" "$OTP_BUILD/tests/integration/big_tls_$size" "tls-$size"
done
for name in unchanged own-threads descriptors; do
    silent "$name" "$host" "$name" "$name"
done
mkdir -p closed
"$host" descriptors closed <&- >&- 2>&-
status=$?
[[ $status = 0 ]] || fail "descriptors 0 to 2 closed by the host: status $status (3: one of ours is among them)"
ends return 7
ends exit 8
ends quick_exit 9
ends _exit 10
ends abort 134
ends signal 143

"$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/check.py" . >check.txt || fail "$(tail -n 20 check.txt)"
verdict

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# examples/demo.sh as a newcomer runs it: all its sections are there and full; with spans off the route table is empty;
# where eBPF is refused it says what is missing, and ends with 1.
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"

seconds=${OTP_SECONDS:-8}
((seconds <= 600)) || seconds=600 # as long as the demo runs
demo() { "$OTP_SOURCE/examples/demo.sh" --no-install --seconds "$seconds" --out "$OTP_WORK/$1" "${@:2}"; }

# The lines of a section, from its heading to the next.
section() { awk -v wanted="$1" '/^[^ ]/ { on = index($0, wanted) == 1; next } on && NF' "$2"; }
routes() { section 'CPU by route' "$1" | grep -c '^  /'; }

need_root "to profile"
"$OTP_BUILD/src/tool/otelprof" doctor >"$OTP_WORK/doctor.out" 2>&1 || {
    cat "$OTP_WORK/doctor.out"
    skip "eBPF is not possible here"
}
export OTELPROF_BUILD=$OTP_BUILD

demo full >"$OTP_WORK/full.txt" 2>&1
status=$?
cat "$OTP_WORK/full.txt"
expect 'the demo ends with 0' test "$status" = 0
expect 'four routes' test "$(routes "$OTP_WORK/full.txt")" = 4
expect 'functions with file and line' grep -Eq 'run_report +routes\.c:[0-9]+' "$OTP_WORK/full.txt"
expect 'requests of one trace' test "$(section 'One trace' "$OTP_WORK/full.txt" | grep -c ' /report ')" -gt 3
expect 'memory of four routes' test "$(section 'Memory by route' "$OTP_WORK/full.txt" | grep -c '^  /')" = 4
checkout=$(section 'Memory by route' "$OTP_WORK/full.txt" | awk '$1 == "/checkout" { print int($6) } $1 != "/checkout" && /^  \// { other += $6 }
    END { print int(other) }' | xargs)
read -r held others <<<"$checkout"
expect "the receipts are held by /checkout: $held MiB, by others $others MiB" test "$held" -gt $((others * 2))
expect 'the archive is what holds them' grep -Eq 'archive_keep +shop/archive\.c:[0-9]+' "$OTP_WORK/full.txt"
section 'Who waits' "$OTP_WORK/full.txt" >"$OTP_WORK/waits.txt"
expect 'the archive is waited for, by its name' grep -Eq '^  mutex +archive: [0-9]+ waits' "$OTP_WORK/waits.txt"
expect '/checkout waits for it' grep -Eq ' /checkout +archive_keep +archive\.c:[0-9]+' "$OTP_WORK/waits.txt"
expect 'and /report holds it' grep -Eq ' /report +archive_checksum +archive\.c:[0-9]+' "$OTP_WORK/waits.txt"
expect 'they wait in system calls by name' grep -Eq '^  (recvfrom|read|poll|epoll_wait|futex|clock_nanosleep|accept4?) +[0-9.]+ ' "$OTP_WORK/full.txt"
section 'Each route by all' "$OTP_WORK/full.txt" | grep '^  /' >"$OTP_WORK/all.txt"
expect 'four routes by all profiles' test "$(wc -l <"$OTP_WORK/all.txt")" = 4
odd=$(awk '$4 <= 0 || $4 < $2 * 0.9' "$OTP_WORK/all.txt" | wc -l) # ROUTE CPU s WALL s BLOCKED s ALLOCATED MiB LIVE MiB LOCKS s
expect 'none without wall time, and all of it more than their CPU time' test "$odd" = 0
waits=$(awk '$1 == "/checkout" && $12 > 0' "$OTP_WORK/all.txt" | wc -l)
expect '/checkout waits for a lock' test "$waits" = 1
expect 'what it cost' grep -Eq 'profiles +[0-9]+ files, [0-9.]+ KB: [0-9.]+ KB a second' "$OTP_WORK/full.txt"
expect 'profiles are where it says' compgen -G "$OTP_WORK/full/profiles/*.otlp"

demo none --no-spans >"$OTP_WORK/none.txt" 2>&1
expect 'without spans: ends with 0' test $? = 0
expect 'without spans: no route' test "$(routes "$OTP_WORK/none.txt")" = 0
expect 'without spans: the table says so' grep -q 'no sample carries a route' "$OTP_WORK/none.txt"
expect 'without spans: functions all the same' grep -q 'sip_round' "$OTP_WORK/none.txt"

setpriv --bounding-set -bpf,-perfmon,-sys_admin --inh-caps -bpf,-perfmon,-sys_admin \
    "$OTP_SOURCE/examples/demo.sh" --no-install --seconds 5 --out "$OTP_WORK/refused" >"$OTP_WORK/refused.txt" 2>&1
expect 'refused: ends with 1' test $? = 1
expect 'refused: names the capability' grep -q CAP_BPF "$OTP_WORK/refused.txt"
verdict

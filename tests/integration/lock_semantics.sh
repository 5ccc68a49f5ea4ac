#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the functions of locks return and do is the same with hooks and without: every kind of lock, alone, contended,
# by its owner again, with odd times, with owners that die, between processes, with memory that is gone once released;
# C++ too. With every wait a sample, by preload, and in a program that switches the profile on and off meanwhile.
# timeout: 300
set -u
tests=$OTP_BUILD/tests/integration
tool=$OTP_BUILD/src/tool/otelprof
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# name, what the plain program said, and the command whose output must be the same
same() {
    local name=$1 plain=$2
    shift 2
    timeout 40 "$@" >"$OTP_WORK/$name.txt" 2>"$OTP_WORK/$name.err" || fail "$name: status $?"
    [[ ! -s $OTP_WORK/$name.err ]] || sed "s/^/$name: /" "$OTP_WORK/$name.err"
    diff "$plain" "$OTP_WORK/$name.txt" >"$OTP_WORK/$name.diff" && return
    fail "$name differs:"
    head -n 20 "$OTP_WORK/$name.diff"
}

# folder, profile types, program: under `otelprof run`
preloaded() {
    local folder=$OTP_WORK/$1 types=$2
    shift 2
    mkdir -p "$folder"
    OTELPROF_LOCK_INTERVAL=1 timeout 30 "$tool" run --quiet --profiles "$types" --out "$folder" -- "$@"
}

# how many functions have waited, by the profiles in a folder
waits() {
    "$tool" top --locks --json "$1" | "$OTP_PYTHON" -c '
import json, sys
print(sum(len(lock["waited"]) for lock in json.load(sys.stdin)["locks"]))'
}

export -f preloaded
export OTP_WORK tool
for times in plain plain-again; do
    timeout 40 "$tests/lock_semantics" >"$OTP_WORK/$times.txt" || fail "the plain program: status $?"
done
cmp "$OTP_WORK/plain.txt" "$OTP_WORK/plain-again.txt" || fail "the plain program does not say the same each time"
timeout 40 "$tests/lock_semantics_cpp" >"$OTP_WORK/plain-cpp.txt" || fail "the plain C++ program: status $?"
same by-preload "$OTP_WORK/plain.txt" bash -c "preloaded preloaded lock $tests/lock_semantics"
same by-preload-with-heap "$OTP_WORK/plain.txt" bash -c "preloaded with-heap lock,heap $tests/lock_semantics"
same cpp-by-preload "$OTP_WORK/plain-cpp.txt" bash -c "preloaded cpp lock $tests/lock_semantics_cpp"
mkdir -p "$OTP_WORK/linked"
same linked "$OTP_WORK/plain.txt" "$tests/lock_semantics_linked" "$OTP_WORK/linked"
for folder in preloaded with-heap cpp; do
    count=$(waits "$OTP_WORK/$folder")
    echo "$folder: $count functions that waited"
    [[ $count -ge 5 ]] || fail "$folder: hooks were not at work"
done
echo "$(wc -l <"$OTP_WORK/plain.txt") lines of C, $(wc -l <"$OTP_WORK/plain-cpp.txt") of C++ compared, $failures failures"
((failures == 0))

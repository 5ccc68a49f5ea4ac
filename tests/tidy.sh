#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over the library, with .clang-tidy. Needs OTP_BUILD (its compile commands) and OTP_SOURCE. What it finds in
# generated files is not ours.
set -uo pipefail
work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT
# clang 14 does not know gcc's choice of TLS dialect on x86-64.
sed 's/-mtls-dialect=gnu2//g' "$OTP_BUILD/compile_commands.json" >"$work/compile_commands.json"
run-clang-tidy-14 -quiet -p "$work" -j "$(nproc)" "^$OTP_SOURCE/src/" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' >"$log"
findings=$(grep -E '(warning|error):' "$log" | grep -vF "$OTP_BUILD/" | sort -u)
files=$(grep -c '^clang-tidy' "$log")
[[ -n $findings ]] && printf '%s\n' "$findings"
echo "$files files, $(grep -c . <<<"$findings") findings"
[[ -z $findings && $files -gt 0 ]]

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# examples/cpp with real profiles: work that a pool does for a picture is found under that picture, on the pool's threads;
# the nested span has its own attribute beside the outer one's.
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"

json() {
    if "$OTP_BUILD/src/tool/otelprof" top --by "$2" --json "$OTP_WORK/profiles" | jq -e "$3" >/dev/null; then
        echo "ok: $1"
    else
        fail "$1"
    fi
}

[[ -x $OTP_BUILD/examples/cpp/tiles ]] || { echo "examples/cpp was not built" && exit 1; }
OTELPROF_OUTPUT_DIR=$OTP_WORK/profiles "$OTP_BUILD/examples/cpp/tiles" "${OTP_SECONDS:-5}" >"$OTP_WORK/tiles.out"
status=$?
cat "$OTP_WORK/tiles.out"
((status == 0)) || { echo "FAILED: tiles ended with $status" && exit 1; }
if grep -q 'not profiled' "$OTP_WORK/tiles.out"; then
    skip "eBPF is not possible here"
fi

json 'the three pictures' picture '[.groups[].value | select(.)] | sort == ["elephants", "seahorses", "whole"]'
json '97 % of the samples are in a span' picture '.with_span.samples >= 0.97 * .taken.samples'
json '99.5 % of the stacks reach the root' picture '.complete.samples >= 0.995 * .taken.samples'
json 'the pool works for the pictures' thread.name '[.groups[] | select(.value // "" | startswith("tiles-worker-")) |
    .functions[] | select(.function | test("tiles::picture::render"))] | length >= 2'
json 'ranking is in its nested span, rendering is not' picture.step '[.groups[] | select(.value == "ranking") |
    .functions[].function] | any(test("tiles::picture::ranked")) and (any(test("tiles::picture::render")) | not)'
verdict

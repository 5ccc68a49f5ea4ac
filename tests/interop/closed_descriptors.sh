#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host that closes our descriptors and gets their numbers for files of its own: none of them is touched, with files,
# with a receiver that answers, and with one that hangs.
# timeout: 120
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"

touches_nothing() { # name, variables
    local output status
    mkdir -p "$1"
    output=$(env "OTELPROF_WINDOW_MS=250" "${@:2}" "$OTP_BUILD/tests/interop/closing_host" "$1" 2>&1)
    status=$?
    echo "$1: $output"
    [[ $status = 0 ]] || fail "$1: status $status"
}

touches_nothing files "OTELPROF_OUTPUT_DIR=$PWD/profiles"
for mode in ok hang; do
    for protocol in http grpc; do
        # The server ends when its input does.
        coproc server { "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/failing_server.py" "$mode" "$protocol"; }
        read -r url <&"${server[0]}"
        touches_nothing "$mode-$protocol" "OTEL_EXPORTER_OTLP_ENDPOINT=$url" OTEL_EXPORTER_OTLP_TIMEOUT=800 \
            "OTEL_EXPORTER_OTLP_PROTOCOL=$([[ $protocol = grpc ]] && echo grpc || echo http/protobuf)"
        eval "exec ${server[1]}>&-"
        # shellcheck disable=SC2154 # coproc sets it
        wait "$server_PID"
    done
done
verdict

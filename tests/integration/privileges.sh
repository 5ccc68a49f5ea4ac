#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# With few privileges, too many, filters and namespaces: the service runs, and is told what is missing.
# timeout: 120
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
clean_environment
need_root "to give and take privileges"
# A place that any user can reach.
place=$(mktemp -d /tmp/otelprof-privileges.XXXXXX) || exit 1
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cp "$OTP_BUILD/tests/integration/privileges" "$place/service"
cp "$place/service" "$place/with-file-capabilities"
cd "$place" || exit 1
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)

wrong() { # the same with what the service said
    fail "$@"
    head -n 40 <<<"$text"
}

# Runs the service in some way; its text goes to $text. It has to run to its end.
take() { # name, command in front
    name=$1
    shift
    out=$place/$name
    mkdir -m 777 "$out"
    text=$("$@" 2>&1 </dev/null)
    local status=$?
    [[ $status = 0 && $text = *"the service has run"* ]] || wrong "$name: the service ended with $status"
}

says() { # what it must say
    local part
    for part in "$@"; do
        [[ $text = *"$part"* ]] || wrong "$name: does not say \"$part\""
    done
}

number() { sed -n "s/^$1: \([0-9]*\)$/\1/p" <<<"$text"; }

# A second of CPU at 997 Hz, every sample written.
profiled() {
    local fired expected
    fired=$(number fired) expected=$(number expected)
    says "init: OTELPROF_OK" "state: running" "shutdown: OTELPROF_OK"
    ((fired > 900 && fired * 100 > expected * 95 && fired * 100 < expected * 105)) ||
        wrong "$name: fired $fired, expected $expected"
    [[ $(number exported) = "$fired" ]] || wrong "$name: exported $(number exported) of $fired"
}

complete() { (($(number complete) * 100 >= $(number records) * 99)) || wrong "$name: complete stacks: $(number complete)"; }

files() { find "$out" -name "*.otlp" | wc -l; }

refused() {
    says "init: OTELPROF_E_PRIVILEGE" "state: off" "rung: off" "log 0: not profiling: "
    [[ $(number fired) = 0 && $(files) = 0 ]] || wrong "$name: fired $(number fired), files: $(files)"
}

take plain "${nobody[@]}" --inh-caps=-all ./service "$place/plain"
refused
says "missing CAP_BPF and CAP_PERFMON" "setpriv --inh-caps +bpf,+perfmon"

# The start fails after init has given up waiting; on a busy machine, the start may be the first to get a turn.
for round in {1..20}; do
    take "late-$round" "${nobody[@]}" --inh-caps=-all ./service "$place/late" 0
    [[ $text != *"init: OTELPROF_E_TIMEOUT"* ]] || break
done
says "log 0: not profiling: failed: "
[[ $(grep -c "^log" <<<"$text") = 1 ]] || wrong "late: says more than once why"
says "init: OTELPROF_E_TIMEOUT" "ready: OTELPROF_E_PRIVILEGE" "state: off" "missing CAP_BPF and CAP_PERFMON" "setpriv"

take half "${nobody[@]}" --inh-caps=+perfmon --ambient-caps=+perfmon ./service "$place/half"
refused
says "missing CAP_BPF"$'\n'

take ambient "${nobody[@]}" --inh-caps=+bpf,+perfmon --ambient-caps=+bpf,+perfmon ./service "$place/ambient"
profiled
complete

# File capabilities: the environment does not count, what the program set does.
setcap cap_bpf,cap_perfmon+ep with-file-capabilities || wrong "setcap"
take capable env OTEL_SDK_DISABLED=true OTELPROF_RATE=10 OTELPROF_WINDOW_MS=100 "OTELPROF_OUTPUT_DIR=$place/other" \
    "${nobody[@]}" --inh-caps=-all ./with-file-capabilities "$place/capable"
profiled
says "windows of 10000 ms"
[[ ! -e other ]] || wrong "capable: the environment was read"
setcap cap_bpf+ep with-file-capabilities || wrong "setcap"
take capable-half "${nobody[@]}" --inh-caps=-all ./with-file-capabilities "$place/capable-half"
refused
says "missing CAP_PERFMON"$'\n' "AT_SECURE" "environment variables are ignored"

take seccomp ./service "$place/seccomp" 20000 seccomp
refused
says "a seccomp filter refuses the call" "allow bpf and perf_event_open"

take user-namespace unshare -Ur ./service "$place/user-namespace"
refused
says "user namespace"

take pid-namespace unshare --pid --fork --mount-proc ./service "$place/pid-namespace"
profiled
complete
says "pid: 1"$'\n'
pids=$("$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/decode.py" "$out" | grep -o '"process.pid": [0-9]*' | sort -u)
[[ $pids = '"process.pid": 1' ]] || wrong "$name: $pids"

# shellcheck disable=SC2016
take no-proc unshare --mount sh -c 'umount -l /proc && exec ./service "$0"' "$place/no-proc"
says "init: OTELPROF_OK" "shutdown: OTELPROF_OK"
(($(number fired) * 100 > $(number expected) * 95 && $(number fired) * 100 < $(number expected) * 105)) ||
    wrong "no-proc: fired $(number fired), expected $(number expected)"
[[ $(number "unknown module") -gt 0 && $(number "unknown module") = "$(number records)" ]] ||
    wrong "no-proc: stacks that end with an unknown module: $(number "unknown module") of $(number records)"

find "$place" -name '*.otlp' -exec cp --backup=numbered -t "$OTP_WORK" {} +
"$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/check.py" "$OTP_WORK" >"$OTP_WORK/check.txt" || wrong "$(tail "$OTP_WORK/check.txt")"
verdict

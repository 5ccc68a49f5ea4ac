#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `otelprof doctor` under each way of not being allowed: the verdict, the exit status, what is missing and what to do.
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
prefix=$(mktemp -d) || exit 1
trap 'rm -rf "$prefix"' EXIT
cp "$OTP_BUILD/src/tool/otelprof" "$prefix/otelprof" && chmod 755 "$prefix" || exit 1
tool=$prefix/otelprof

# Status, name, patterns that must be in the output, then -- and the command.
answers() {
    local wanted=$1 name=$2 output status patterns=()
    shift 2
    while [[ $1 != -- ]]; do
        patterns+=("$1")
        shift
    done
    shift
    output=$(timeout 60 "$@" 2>&1)
    status=$?
    printf '%s\n' "$output" >"$name.txt"
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $status = $wanted ]] || fail "$name: exit status $status, not $wanted: $output"
    local pattern
    for pattern in "${patterns[@]}"; do
        grep -Eq -- "$pattern" "$name.txt" || fail "$name: no /$pattern/"
    done
}

absent() { # name, text
    ! grep -q -- "$2" "$1.txt" || fail "$1: $2 is in the output"
}

nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
answers 0 help '^otelprof doctor' -- "$tool" doctor --help
answers 2 usage 'no argument' -- "$tool" doctor now
answers 2 option 'no option' -- "$tool" doctor --now

# The copy stands alone; beside the library it finds the network exporter.
answers '[01]' alone 'note +network exporter +profiles go to files and callbacks only' -- "$tool" doctor
answers '[01]' network 'ok +network exporter .*by libcurl/' -- "$OTP_BUILD/src/tool/otelprof" doctor

need_root "to take privileges away"
answers 1 plain-user 'MISSING +CAP_BPF +not effective' 'MISSING +CAP_PERFMON +not effective' 'AmbientCapabilities=' \
    'setpriv ' '--cap-add' 'EPERM|Operation not permitted' 'does not work here' \
    -- "${nobody[@]}" --inh-caps=-all "$tool" doctor
answers 1 one-capability 'ok +CAP_BPF +effective' 'MISSING +CAP_PERFMON' 'reason: missing CAP_PERFMON' 'does not work here' \
    -- "${nobody[@]}" --inh-caps=-all,+bpf --ambient-caps=-all,+bpf "$tool" doctor
answers 1 no-bounding-set 'MISSING +CAP_BPF .*not in the bounding set' 'CapabilityBoundingSet=' \
    -- "${nobody[@]}" --inh-caps=-all --bounding-set=-bpf "$tool" doctor
answers 1 user-namespace 'MISSING +user namespace' 'outside of user namespaces' 'does not work here' \
    -- unshare --user --map-root-user "$tool" doctor
"${CC:-cc}" -D_GNU_SOURCE -o filter "$OTP_SOURCE/tests/integration/tool_filter.c" || exit 1
answers 1 seccomp 'note +seccomp +mode 2' 'the capability is there: a seccomp filter' 'does not work here' \
    -- ./filter "$tool" doctor

if ! "$tool" doctor >root.txt 2>&1; then
    tail -n 20 root.txt
    verdict || exit 1
    skip "eBPF profiling is not possible here, even for root"
fi
answers 0 root 'ok +source lines +libdw 0[.][0-9]+' 'ok +otelprof itself +started in [0-9]+ ms; [1-9][0-9]* samples' \
    'ok +heap profile +[1-9][0-9]* of 1024 blocks of 64 KiB chosen, [1-9][0-9]+ bytes' \
    'ok +lock profile +[1-9][0-9]* waits chosen, the holder seen in [1-9][0-9]*, [1-9][0-9]+ bytes' 'works here' -- "$tool" doctor
answers 0 ambient 'ok +CAP_BPF +effective, permitted, ambient' 'works here' \
    -- "${nobody[@]}" --inh-caps=-all,+bpf,+perfmon --ambient-caps=-all,+bpf,+perfmon "$tool" doctor
cp "$tool" "$prefix/capable"
setcap cap_bpf,cap_perfmon+ep "$prefix/capable" || fail "setcap"
answers 0 file-capabilities 'note +AT_SECURE +yes' 'works here' -- "${nobody[@]}" --inh-caps=-all "$prefix/capable" doctor
answers 0 settings 'OTELPROF_RATE=1' 'OTEL_EXPORTER_OTLP_HEADERS=\(set, 20 bytes, not shown\)' \
    'ENDPOINT=https://\(not shown\)@collector:4317/' 'note +OTEL_SDK_DISABLED' 'works here' \
    -- env OTELPROF_RATE=1 OTEL_EXPORTER_OTLP_HEADERS=authorization=canary \
    OTEL_EXPORTER_OTLP_ENDPOINT=https://user:canary@collector:4317/ OTEL_SDK_DISABLED=true "$tool" doctor
absent settings canary
verdict

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hosts under the heap profile: on glibc's allocator and on others that are preloaded, switched 1,000 times, loading and
# unloading a library 1,000 times, forking, under a seccomp filter that kills, with more live blocks than are followed; a
# program with an allocator of its own; stacks by the kernel's program.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
host=$OTP_BUILD/tests/integration/heap_hosts
module=$OTP_BUILD/tests/integration/heap_module.so
clean_environment
need_root "to profile"

run() { # name, variables..., then --, and the host
    local name=$1 variables=()
    shift
    while [[ $1 != -- ]]; do
        variables+=("$1")
        shift
    done
    shift
    echo "-- $name"
    expect "$name" env "${variables[@]}" timeout 100 "$host" "$OTP_WORK/$name" "$@" "$module"
}

# Where the loader finds a library.
library() { ldconfig -p | sed -n "s|^\t$1 .* => ||p" | head -n 1; }

for name in allocators switching loading forks filter filter-all full; do
    run "$name" -- "$name"
done
for allocator in libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2; do
    preload=$(library "$allocator")
    [[ $preload ]] || skip "$allocator is missing"
    for name in allocators switching loading forks; do
        run "$allocator-$name" LD_PRELOAD="$preload" -- "$name"
    done
done
run by-kernel OTELPROF_HEAP_CAPTURE=bpf -- allocators
run by-kernel-filter OTELPROF_HEAP_CAPTURE=bpf -- switching

echo "-- own allocator"
"$OTP_BUILD/tests/integration/heap_own_malloc" "$OTP_WORK/own" >"$OTP_WORK/own.txt" || fail "own allocator: status $?"
expect "it says that the profile is partial" grep -q '^degraded: heap: partial: ' "$OTP_WORK/own.txt"
verdict

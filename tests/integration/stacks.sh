#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# Real services at 999 Hz: examples/shop under its customers, and an unmodified redis-server under redis-benchmark and a
# mix of scripts, sorting and background saves. 99.5 % of what fired reaches the root; the rest is shown by reason.
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
shop=$OTP_BUILD/examples/shop/shop
otelprof=$OTP_BUILD/src/tool/otelprof
seconds=15
[[ -z ${OTP_LONG:-} ]] || seconds=${OTP_SECONDS:-600}
pids=()
cd "$OTP_WORK" || exit 1
clean_environment
export OTELPROF_PROFILES=cpu

[[ -x $shop ]] || skip "examples/shop was not built (its packages are missing)"
need_root "to profile"
command -v redis-server >/dev/null || skip "redis-server is missing"

end() { ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null; }
trap end EXIT

# Waits until a command succeeds, 10 s at most.
await() {
    local i
    for ((i = 0; i < 100; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "FAILED: $* did not come true"
    exit 1
}

stop() { # signal, pid
    kill "-$1" "$2"
    wait "$2"
    pids=()
}

judge() { # folder, program
    echo "-- $1"
    "$OTP_PYTHON" "$OTP_SOURCE/tests/integration/stacks.py" "$1" "$2" $((seconds * 300)) || fail "$1: see above"
}

run_shop() {
    local url
    OTELPROF_OUTPUT_DIR=$PWD/shop OTELPROF_RATE=999 OTELPROF_WINDOW_MS=3000 "$shop" >shop.out 2>shop.err &
    pids=($!)
    await grep -q 'listening on' shop.out
    url=$(sed -n 's/^shop: listening on \(http[^ ]*\).*/\1/p' shop.out)
    wrk -t2 -c8 -d"${seconds}s" -s "$OTP_SOURCE/examples/shop/load.lua" "$url" -- "$(printf '1%.0s' {1..32})" | tail -n 1
    stop INT "${pids[0]}"
    judge shop "$shop"
}

# What redis-benchmark does not do: scripts, sorting, sets of sets, background saves (a fork), and large values.
odd_jobs() {
    local i
    redis-cli -s redis.sock --no-auth-warning eval \
        "for i = 1, 2000 do redis.call('rpush', 'list', math.random(1e6)) end" 0
    for ((i = 0; SECONDS < until_s; i++)); do
        redis-cli -s redis.sock eval \
            "local t = {} for i = 1, 20000 do t[#t + 1] = tostring(i) .. KEYS[1] end table.sort(t) return #t" 1 "k$i"
        redis-cli -s redis.sock sort list limit 0 10
        redis-cli -s redis.sock set "large:$i" "$(head -c 100000 /dev/zero | tr '\0' x)"
        ((i % 20)) || redis-cli -s redis.sock bgsave
    done
}

run_redis() {
    "$otelprof" run -o redis -r 999 -w 3000 -- redis-server --port 0 --unixsocket "$PWD/redis.sock" --save '' \
        --dir "$PWD" >redis.out 2>redis.err &
    pids=($!)
    await redis-cli -s redis.sock ping
    local until_s=$((SECONDS + seconds))
    odd_jobs >/dev/null 2>&1 &
    local jobs=$!
    while ((SECONDS < until_s)); do
        timeout $((until_s - SECONDS + 1)) redis-benchmark -s redis.sock -q -n 20000 -c 20 -P 4 -r 10000 -d 512 \
            -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset >redis-benchmark.out 2>&1
    done
    wait $jobs
    stop TERM "${pids[0]}"
    judge redis "$(command -v redis-server)"
}

run_shop
run_redis
verdict

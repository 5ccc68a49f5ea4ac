#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# examples/shop as a service: its routes, its spans, its stop, and what its profiles say about a known load: each route
# under its name with the right work below it, stacks that reach the root, nothing lost; with spans off no route at all;
# without privileges a service that runs all the same.
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"

shop=$OTP_BUILD/examples/shop/shop
otelprof=$OTP_BUILD/src/tool/otelprof
trace=4bf92f3577b34da6a3ce929d0e0e4736
pid='' url=''

[[ -x $shop ]] || skip "examples/shop was not built (its packages are missing)"
need_root "to profile"

end() { [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null; }
trap end EXIT

# start NAME COMMAND...: the shop's output goes to NAME.out and NAME.err.
start() {
    local name=$1 i
    shift
    "$@" >"$OTP_WORK/$name.out" 2>"$OTP_WORK/$name.err" &
    pid=$!
    for ((i = 0; i < 100; i++)); do
        url=$(sed -n 's/^shop: listening on \(http[^ ]*\).*/\1/p' "$OTP_WORK/$name.out" 2>/dev/null)
        [[ -n $url ]] && return 0
        sleep 0.1
    done
    cat "$OTP_WORK/$name.err"
    echo "FAILED: the shop did not start"
    exit 1
}

# stop SIGNAL: sets status.
stop() {
    kill "-$1" "$pid"
    wait "$pid"
    status=$?
    pid=''
}

code() { curl -s -o "$OTP_WORK/body" -w '%{http_code}' "$@"; }
load() { wrk -t2 -c8 -d"$1s" -s "$OTP_SOURCE/examples/shop/load.lua" "$url" -- "$trace" | tail -n 1; }
stat_of() { sed -n "s/^shop: stats .*\b$2=\([0-9.]*\).*/\1/p" "$OTP_WORK/$1.out"; }
json() { jq -e "$2" "$OTP_WORK/$1.json" >/dev/null; }

check_routes() {
    expect 'GET /products' test "$(code "$url/products?category=3")" = 200
    expect 'it lists 20 products' test "$(jq length "$OTP_WORK/body")" = 20
    expect 'GET /cart/17' test "$(code "$url/cart/17")" = 200
    expect 'a cart adds up' jq -e '.total_cents == ([.items[] | .quantity * .product.price_cents] | add)' "$OTP_WORK/body"
    expect 'GET /report' test "$(code "$url/report")" = 200
    expect 'it is gzip with 4,002 lines' test "$(gzip -dc "$OTP_WORK/body" | wc -l)" = 4002
    expect 'POST /checkout' test "$(code -X POST -d any=1 "$url/checkout?customer=5")" = 200
    expect 'a receipt has a seal' jq -e '.seal | test("^[0-9a-f]{16}$")' "$OTP_WORK/body"
    cp "$OTP_WORK/body" "$OTP_WORK/receipt"
    expect 'GET /receipt' test "$(code "$url/receipt/$(jq .order "$OTP_WORK/body")")" = 200
    expect 'it is the same' cmp "$OTP_WORK/body" "$OTP_WORK/receipt"
    expect 'a receipt that there is not' test "$(code "$url/receipt/999999999")" = 404
    expect 'an unknown path' test "$(code "$url/nothing")" = 404
    expect 'a method that is not the route'"'"'s' test "$(code -X POST "$url/products")" = 404
    expect 'a number that is none' test "$(code "$url/products?category=x")" = 400
}

check_stop() {
    local name=$1
    expect "$name: ends with 0" test "$status" = 0
    expect "$name: fired = exported + lost" test "$(stat_of "$name" samples_fired)" = \
        $(($(stat_of "$name" samples_exported) + $(stat_of "$name" samples_lost)))
    expect "$name: nothing lost" test "$(stat_of "$name" samples_lost)" = 0
    expect "$name: its database is gone" test -z "$(find "$OTP_WORK" -maxdepth 1 -name 'shop-*' -print -quit)"
}

with_spans() {
    OTELPROF_PROFILES=cpu OTELPROF_OUTPUT_DIR=$OTP_WORK/spans OTELPROF_WINDOW_MS=2000 TMPDIR=$OTP_WORK \
        start spans "$shop" --span-log "$OTP_WORK/spans.log"
    if grep -q 'without a profiler' "$OTP_WORK/spans.err"; then
        stop TERM
        cat "$OTP_WORK/spans.err"
        skip "eBPF is not possible here"
    fi
    check_routes
    local summary
    summary=$(load "${OTP_SECONDS:-6}")
    expect "the load was answered: $summary" grep -q ' 0 not answered with 2xx, 0 errors' <<<"$summary"
    stop INT
    check_stop spans
    expect 'the trace of the load is in the log' grep -q "trace=$trace .*name=/report" "$OTP_WORK/spans.log"
    "$otelprof" top --by http.route --json "$OTP_WORK/spans" >"$OTP_WORK/routes.json" || echo 'top failed'
    "$otelprof" top --by db.query.summary --json "$OTP_WORK/spans" >"$OTP_WORK/queries.json" || echo 'top failed'
    "$otelprof" top --trace "$trace" --json "$OTP_WORK/spans" >"$OTP_WORK/trace.json" || echo 'top failed'
}

check_profile() {
    expect 'the files hold what was exported' test "$(jq .all.samples "$OTP_WORK/routes.json")" = \
        "$(stat_of spans samples_exported)"
    expect 'the four routes' json routes \
        '[.groups[].value | select(.)] | sort == ["/cart/{id}", "/checkout", "/products", "/report"]'
    expect '99.5 % of the stacks reach the root' json routes '.complete.samples >= 0.995 * .taken.samples'
    expect '90 % of the samples carry a span' json routes '.with_span.samples >= 0.9 * .taken.samples'
    # Each route's function has what the route has, and nothing of it stands below another route.
    expect 'run_report is /report' json routes 'def share(route; name): [.groups[] | select(.value == route) |
        .functions[] | select(.function == name) | .total.samples] | add // 0;
        share("/report"; "run_report") > 100 and share("/products"; "run_report") == 0 and
        share("/checkout"; "run_report") == 0 and share("/cart/{id}"; "run_report") == 0'
    expect 'functions of the shop have file and line' json routes '[.groups[].functions[] |
        select(.function == "seal_text" and (.file | endswith("seal.c")) and .line > 0)] | length > 0'
    expect 'the database spans' json queries '[.groups[].value] | contains(["SELECT products", "SELECT orders"])'
    expect 'the trace has spans that the log has' in_log
}

# Every span that the profile shows for the trace stands in the shop's own log, with that trace.
in_log() {
    local span count=0
    while read -r span; do
        grep -q "trace=$trace span=$span " "$OTP_WORK/spans.log" || return 1
        count=$((count + 1))
    done < <(jq -r '.spans[].span' "$OTP_WORK/trace.json")
    ((count > 0))
}

without_spans() {
    OTELPROF_OUTPUT_DIR=$OTP_WORK/none TMPDIR=$OTP_WORK start none "$shop" --no-spans
    load 3
    stop TERM
    check_stop none
    "$otelprof" top --by http.route --json "$OTP_WORK/none" >"$OTP_WORK/none.json" || echo 'top failed'
    expect 'without spans: samples, and no route' json none '.taken.samples > 100 and [.groups[].value] == [null]'
    expect 'without spans: none carries a span' json none '.with_span.samples == 0'
}

without_privileges() {
    mkdir -m 777 "$OTP_WORK/plain"
    OTELPROF_OUTPUT_DIR=$OTP_WORK/plain/profiles TMPDIR=$OTP_WORK/plain \
        start plain setpriv --bounding-set -all --inh-caps -all "$shop"
    check_routes
    stop TERM
    expect 'without privileges: ends with 0' test "$status" = 0
    expect 'without privileges: it says what is missing' grep -q CAP_BPF "$OTP_WORK/plain.err"
    expect 'without privileges: no sample' test "$(stat_of plain samples_fired)" = 0
}

with_spans
check_profile
without_spans
without_privileges
verdict

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# otelprof at work, in one command on a fresh Debian 12: builds the library and the shop (examples/shop), puts load on
# the shop, and shows where its CPU time and its memory went and who waited for whom, from the profiles that it wrote
# itself. As root, or by sudo.
#
#   examples/demo.sh                    20 seconds of load
#   examples/demo.sh --seconds N        so many seconds of load, 5 to 600
#   examples/demo.sh --no-spans         the shop does not tell the profiler about its spans: no routes, no trace
#   examples/demo.sh --collector HOST:PORT   the shop sends its profiles to an OpenTelemetry Collector too: OTLP over gRPC,
#                                       or over HTTP if the port is 4318. Shown is what the Collector took
#   examples/demo.sh --out DIR          profiles and logs go to DIR (default: build/demo-out); those of an earlier run
#                                       in DIR are removed
#   examples/demo.sh --keep             to a new folder below DIR; earlier runs stay
#   examples/demo.sh --no-install       without installing packages
#
# Builds in build/demo, or in $OTELPROF_BUILD. Exit status: 0 shown; 1 something is missing, and it says what.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${OTELPROF_BUILD:-$source_dir/build/demo}
prefix=$source_dir/build/demo-prefix
shop_build=$source_dir/build/demo-shop
out=$source_dir/build/demo-out
seconds=20 spans=1 keep=0 install=1 collector=''
shop_pid=''
width=116
bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

# shellcheck source=SCRIPTDIR/../tests/lib/packages.sh
. "$source_dir/tests/lib/packages.sh"

usage() { sed -n '3,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

fail() {
    echo "demo.sh: $*" >&2
    exit 1
}

heading() {
    printf '\n%s%s%s\n\n' "$bold" "$1" "$plain"
}

# Runs a command whose output matters only when it fails.
quietly() {
    local what=$1
    shift
    printf '  %s ...' "$what"
    if "$@" >"$out/build.log" 2>&1; then
        echo ' done'
        return
    fi
    echo ' failed'
    tail -n 40 "$out/build.log" >&2
    fail "$what failed; all of its output is in $out/build.log"
}

parse_options() {
    while (($#)); do
        case $1 in
            --seconds)
                seconds=${2:-}
                if ! [[ $seconds =~ ^[1-9][0-9]{0,2}$ ]] || ((seconds < 5 || seconds > 600)); then
                    fail '--seconds takes a number from 5 to 600'
                fi
                shift
                ;;
            --out)
                out=${2:-}
                [[ -n $out ]] || fail '--out takes a folder'
                shift
                ;;
            --collector)
                collector=${2:-}
                [[ $collector =~ ^([^/:[:space:]]+|\[[0-9a-fA-F:]+\]):[0-9]+$ ]] || fail '--collector takes HOST:PORT'
                shift
                ;;
            --no-spans) spans=0 ;;
            --keep) keep=1 ;;
            --no-install) install=0 ;;
            -h | --help)
                usage
                exit 0
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
        shift
    done
}

become_root() {
    if (($(id -u) != 0)); then
        command -v sudo >/dev/null || fail 'run this as root: packages are installed, and eBPF needs privileges'
        exec sudo --preserve-env=OTELPROF_BUILD "${BASH_SOURCE[0]}" "$@"
    fi
}

prepare_folder() {
    ((keep)) && out=$out/$(date -u +%Y%m%dT%H%M%SZ)
    mkdir -p "$out/profiles"
    out=$(cd "$out" && pwd)
    rm -f -- "$out"/profiles/*.otlp "$out"/{spans.log,shop.out,shop.err,load.out,build.log}
}

build_all() {
    if ((install)); then
        command -v apt-get >/dev/null || fail 'this is no Debian: see --no-install, and tests/lib/packages.sh for the list'
        quietly 'packages' install_packages "${build_packages[@]}" "${example_packages[@]}"
    fi
    local tool
    for tool in cmake ninja pkg-config wrk jq; do
        command -v "$tool" >/dev/null || fail "the program $tool is missing"
    done
    local parts=(-DOTELPROF_TESTS=OFF -DOTELPROF_EXAMPLES=OFF)
    [[ -z ${OTELPROF_BUILD:-} ]] || parts=() # somebody else's folder: as it was set up
    quietly 'otelprof: configure' cmake -S "$source_dir" --preset release -B "$build" "${parts[@]}"
    quietly 'otelprof: build' cmake --build "$build"
    quietly 'otelprof: install' cmake --install "$build" --prefix "$prefix"
    local module libraries
    module=$(find "$prefix" -name otelprof.pc -print -quit)
    [[ -n $module ]] || fail "no otelprof.pc was installed below $prefix"
    libraries=$(dirname "$(dirname "$module")")
    quietly 'shop: build by make and pkg-config' make -C "$source_dir/examples/shop" BUILD="$shop_build" \
        PKG_CONFIG_PATH="$(dirname "$module")" LDFLAGS="-Wl,-rpath,$libraries"
}

# Whether this machine lets us profile; says what is missing if it does not.
check_machine() {
    if ! otelprof doctor >"$out/doctor.out" 2>&1; then
        cat "$out/doctor.out"
        fail 'eBPF profiling is not possible here; the lines above say what is missing, and what to do'
    fi
}

otelprof() { "$prefix/bin/otelprof" "$@"; }

# Stops the shop by this signal, and waits for its end. Its exit status; 1 if it has to be killed after 15 s.
stop_shop() {
    local signal=$1 pid=$shop_pid waited status=0
    [[ -n $pid ]] || return 0
    shop_pid=''
    kill "-$signal" "$pid" 2>/dev/null || true
    for ((waited = 0; waited < 150; waited++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null && status=1
    wait "$pid" || status=$?
    return "$status"
}

# Starts the shop, and sets shop_pid and url.
start_shop() {
    local arguments=(--span-log "$out/spans.log") waited
    ((spans)) || arguments+=(--no-spans)
    [[ -z $collector ]] || export OTEL_EXPORTER_OTLP_ENDPOINT=http://$collector
    # Closer samples of allocations than in production: the shop is small, and runs for seconds.
    OTELPROF_HEAP_INTERVAL=65536 OTELPROF_OUTPUT_DIR=$out/profiles "$shop_build/shop" "${arguments[@]}" >"$out/shop.out" 2>"$out/shop.err" &
    shop_pid=$!
    for ((waited = 0; waited < 100; waited++)); do
        url=$(sed -n 's/^shop: listening on \(http[^ ]*\).*/\1/p' "$out/shop.out" 2>/dev/null) || true
        [[ -z $url ]] || break
        kill -0 "$shop_pid" 2>/dev/null || break
        sleep 0.1
    done
    if [[ -z $url ]] || grep -q 'without a profiler' "$out/shop.err"; then
        cat "$out/shop.out" "$out/shop.err" >&2
        otelprof doctor || true
        fail 'the shop did not start with its profiler'
    fi
}

run_load() {
    trace=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    wrk -t2 -c8 -d"${seconds}s" -s "$source_dir/examples/shop/load.lua" "$url" -- "$trace" >"$out/load.out" 2>&1 ||
        fail "the load failed: $(tail -n 3 "$out/load.out")"
    sed -n 's/^load: /  /p' "$out/load.out"
}

# A value of the line of statistics that the shop printed at its end.
stat_of() { sed -n "s/^shop: stats .*\b$1=\([0-9.]*\).*/\1/p" "$out/shop.out"; }

# Requests of each route, as the shop logged them: route, count, mean duration in us.
requests_by_route() {
    awk '$7 ~ /^name=\// {
        route = substr($7, 6); split($2, duration, "=")
        count[route]++; sum[route] += duration[2]
    } END { for (route in count) printf "%s\t%d\t%.0f\n", route, count[route], sum[route] / count[route] }' \
        "$out/spans.log"
}

# CPU by route: CPU time from the profiles, beside the number of requests from the shop's own log.
show_routes() {
    heading 'CPU by route   (profiles: samples by http.route; requests and durations: the log of the shop)'
    otelprof top --by http.route --json "$out/profiles" >"$out/routes.json"
    {
        requests_by_route | sed 's/^/log\t/'
        jq -r '.taken.ns as $all | .groups[] |
            ["cpu", .value // "", .cpu.ns, .cpu.samples, .cpu.ns / $all] | @tsv' "$out/routes.json"
    } | awk -F '\t' '
        $1 == "log" { requests[$2] = $3; mean[$2] = $4; next }
        $2 == "" { other = sprintf("%.2f s, %.1f %%, belong to no route", $3 / 1e9, 100 * $5); next }
        !rows++ { printf "  %-14s %10s %7s %9s %10s %16s %16s\n", "ROUTE", "CPU", "SHARE", "SAMPLES", "REQUESTS",
                         "CPU A REQUEST", "TIME A REQUEST" }
        { printf "  %-14s %8.2f s %5.1f %% %9d %10d %13.2f ms %13.2f ms\n", $2, $3 / 1e9, 100 * $5, $4, requests[$2],
                 requests[$2] ? $3 / 1e6 / requests[$2] : 0, mean[$2] / 1e3 }
        END {
            if (!rows) print "  (no sample carries a route)"
            if (other) print "  " other
        }'
}

show_functions() {
    if ((!spans)); then
        heading 'The top functions   (otelprof top)'
        otelprof top -n 20 --width "$width" "$out/profiles" | sed 's/^./  &/'
        return
    fi
    heading 'The top functions of each route   (otelprof top --by http.route --functions 6)'
    otelprof top --by http.route --functions 6 --width "$width" "$out/profiles" |
        awk -v bold="$bold" -v plain="$plain" '
            /^http\.route = / { on = 1; print "  " bold $0 plain; next }
            /^http\.route / { on = 0 }
            on { print $0 == "" ? "" : "  " $0 }'
    show_own_code
}

# The functions of each route's own files by total time, so that the libraries' work is seen where the shop asked for it.
show_own_code() {
    echo "  ${bold}What the shop's own code asked for: TOTAL of its functions, http.c and pool.c left out$plain"
    printf '  %-14s %10s %7s   %-24s %s\n' ROUTE TOTAL '' FUNCTION FILE:LINE
    jq -r --arg folder "$source_dir/examples/shop/" '.groups[] | select(.value) | . as $route |
        [.functions[] | select(.file | startswith($folder) or (contains("/") | not)) |
            .name = (.file | ltrimstr($folder)) | select(.name | test("^(routes|store|text|seal)[.]c$"))] |
        sort_by(-.total.ns) | .[:5][] |
        [$route.value, .total.ns, .total.ns / $route.cpu.ns, .function, .name, .line] | @tsv' "$out/routes.json" |
        awk -F '\t' '{ printf "  %-14s %8.2f s %5.1f %%   %-24s %s:%d\n", $1 == last ? "" : $1, $2 / 1e9, 100 * $3, $4,
            $5, $6; last = $1 }'
}

# The requests of the chosen trace as the shop logged them, each with the CPU time of its samples (its own and those of
# its database spans), most CPU first.
show_trace_requests() {
    {
        jq -r '.spans[] | ["cpu", .span, .cpu.ns, .cpu.samples] | @tsv' "$out/trace.json"
        grep -F "trace=$trace" "$out/spans.log" |
            sed 's/ name=\(.*\)/\t\1/; s/\(^\|[ ]\)[a-z_]*=/\t/g; s/^\t/log\t/; s/\t\t*/\t/g'
    } | awk -F '\t' '
        $1 == "cpu" { ns[$2] = $3; samples[$2] = $4; next }
        { span = $5; parent = $6 }
        $7 == 0 { child_ns[parent] += ns[span]; child_samples[parent] += samples[span]; database[parent] += $3; next }
        { printf "%d\t  %s  %9.2f ms  %9.2f ms  %-12s %s  %7d  %7.1f ms\n", samples[span] + child_samples[span],
                 substr($2, 12, 12), $3 / 1e3, database[span] / 1e3, $8, span, samples[span] + child_samples[span],
                 (ns[span] + child_ns[span]) / 1e6 }' >"$out/trace.rows"
    printf '  %-12s  %12s  %12s  %-12s %-16s  %7s  %10s\n' 'START (UTC)' DURATION 'IN DATABASE' ROUTE SPAN SAMPLES CPU
    sort -t "$(printf '\t')" -k1,1nr -k2,2 "$out/trace.rows" | cut -f2- | sed -n 1,12p
    local count
    count=$(wc -l <"$out/trace.rows")
    ((count <= 12)) || echo "  (and $((count - 12)) more requests)"
    rm -f -- "$out/trace.rows"
}

show_trace() {
    heading "One trace beside its profile   (otelprof top --trace $trace)"
    if ! otelprof top --trace "$trace" --json "$out/profiles" >"$out/trace.json"; then
        echo '  (no sample carries this trace)'
        return
    fi
    show_trace_requests
    echo
    otelprof top --trace "$trace" -n 12 --total --width "$width" "$out/profiles" |
        awk '/^ *SELF/ { on = 1 } on { print "  " $0 }'
}

# What each route's requests allocate, and what of it the shop still holds at its end: the receipts of /checkout.
show_memory() {
    heading 'Memory by route   (otelprof top --type alloc_space and --type inuse_space, --by http.route)'
    otelprof top --type alloc_space --by http.route --json "$out/profiles" >"$out/allocated.json"
    otelprof top --type inuse_space --by http.route --json "$out/profiles" >"$out/live.json"
    {
        requests_by_route | sed 's/^/log\t/'
        jq -r '.groups[] | ["live", .value // "", .sum.bytes, .sum.objects] | @tsv' "$out/live.json"
        jq -r '.groups[] | ["allocated", .value // "", .sum.bytes] | @tsv' "$out/allocated.json"
    } | awk -F '\t' '
        function mib(bytes) { return sprintf("%.1f MiB", bytes / 1048576) }
        $1 == "log" { requests[$2] = $3; next }
        $1 == "live" { live[$2] = $3; objects[$2] = $4; next }
        $2 == "" { other = sprintf("%s allocated and %s live belong to no route", mib($3), mib(live[""])); next }
        !rows++ { printf "  %-14s %14s %20s %14s %14s\n", "ROUTE", "ALLOCATED", "ALLOCATED A REQUEST", "STILL LIVE", "OBJECTS" }
        { printf "  %-14s %14s %16.1f KiB %14s %14d\n", $2, mib($3), requests[$2] ? $3 / 1024 / requests[$2] : 0,
                 mib(live[$2]), objects[$2] }
        END {
            if (!rows) print "  (no allocation carries a route)"
            if (other) print "  " other
        }'
    heading 'What holds the memory   (otelprof top --type inuse_space)'
    otelprof top --type inuse_space -n 8 --total --width "$width" "$out/profiles" | awk '/^ *SELF/ { on = 1 } on { print "  " $0 }'
}

# Which routes wait for which: the archive of receipts is behind one lock, which /report holds for its checksum.
show_locks() {
    heading 'Who waits for whom   (otelprof top --locks)'
    otelprof top --locks -n 4 --width "$width" "$out/profiles" | sed 's/^/  /'
}

# Where the routes' requests spend their time when they do not compute.
show_waiting() {
    heading 'Where the routes wait   (otelprof top --off-cpu)'
    otelprof top --off-cpu -n 5 --width "$width" "$out/profiles" | sed 's/^/  /'
}

# All five profiles, a line a route: what its requests computed, how long they took, what they allocated, what of it is
# left, and how long they waited for locks.
show_all_types() {
    heading 'Each route by all profiles   (otelprof top --type ... --by http.route)'
    otelprof top --type wall --by http.route --json "$out/profiles" >"$out/wall.json"
    otelprof top --off-cpu --json "$out/profiles" >"$out/off_cpu.json"
    otelprof top --locks --json "$out/profiles" >"$out/locks.json"
    {
        jq -r '.groups[] | ["cpu", .value // "", .cpu.ns] | @tsv' "$out/routes.json"
        jq -r '.groups[] | ["wall", .value // "", .sum.ns] | @tsv' "$out/wall.json"
        jq -r '.places[] | ["blocked", .value, .ns] | @tsv' "$out/off_cpu.json"
        jq -r '.groups[] | ["allocated", .value // "", .sum.bytes] | @tsv' "$out/allocated.json"
        jq -r '.groups[] | ["live", .value // "", .sum.bytes] | @tsv' "$out/live.json"
        jq -r '.locks[] | select(.kind | test("^(mutex|rwlock|spinlock)$")) | .waited[] |
            ["locks", .value, .delay_ns] | @tsv' "$out/locks.json"
    } | awk -F '\t' '
        function seconds(ns) { return sprintf("%.2f s", ns / 1e9) }
        function mib(bytes) { return sprintf("%.1f MiB", bytes / 1048576) }
        $2 != "" { sum[$1, $2] += $3; if ($1 == "wall") routes[$2] = $3 }
        END {
            for (route in routes) {
                if (!rows++)
                    printf "  %-14s %10s %10s %10s %14s %14s %14s\n", "ROUTE", "CPU", "WALL", "BLOCKED", "ALLOCATED", "STILL LIVE",
                        "LOCK WAITING"
                line[rows] = sprintf("  %-14s %10s %10s %10s %14s %14s %14s", route, seconds(sum["cpu", route]),
                    seconds(sum["wall", route]), seconds(sum["blocked", route]), mib(sum["allocated", route]),
                    mib(sum["live", route]), seconds(sum["locks", route]))
            }
            for (i = 1; i <= rows; i++) print line[i]
            if (!rows) print "  (no sample carries a route)"
        }'
}

# What the profiler cost, from the shop's statistics and the files.
show_cost() {
    local bytes files cpus
    bytes=$(find "$out/profiles" -name '*.otlp' -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
    files=$(find "$out/profiles" -name '*.otlp' | wc -l)
    cpus=$(getconf _NPROCESSORS_ONLN)
    heading 'What the profiler itself cost   (the statistics that the shop printed at its end)'
    awk -v own="$(stat_of profiler_cpu_ms)" -v process="$(stat_of process_cpu_ms)" -v time="$(stat_of seconds)" \
        -v cpus="$cpus" -v bytes="$bytes" -v files="$files" -v fired="$(stat_of samples_fired)" \
        -v spans="$(stat_of samples_with_span)" -v exported="$(stat_of samples_exported)" \
        -v lost="$(stat_of samples_lost)" -v memory="$(stat_of kernel_memory_bytes)" 'BEGIN {
            printf "  CPU of its threads   %.2f s in %.1f s: %.2f %% of the %.1f s that the shop used, %.2f %% of %d CPUs\n",
                own / 1e3, time, process ? 100 * own / process : 0, process / 1e3,
                time ? 100 * own / 1e3 / time / cpus : 0, cpus
            printf "                       (the sampling interrupts in the kernel are not in this figure)\n"
            printf "  profiles             %d files, %.1f KB: %.2f KB a second\n", files, bytes / 1e3, bytes / 1e3 / time
            printf "  samples              %d fired, %d in a span, %d exported, %d lost\n", fired, spans, exported, lost
            printf "  kernel memory        %.1f MB\n", memory / 1e6
        }'
}

# What became of the profiles on their way to the Collector: all that follows was read from copies of what it took.
show_delivery() {
    local exported
    exported=$(stat_of samples_exported)
    heading "To the Collector at $collector"
    printf '  %s samples in %s requests were taken; %.2f KB/s compressed, %s requests were sent again\n' "${exported:-0}" \
        "$(find "$out/profiles" -name '*.otlp' | wc -l)" \
        "$(jq -n "$(stat_of bytes_sent) / 1000 / $(stat_of seconds)")" "$(stat_of retries)"
    grep -E 'export to' "$out/shop.err" | sed 's/^shop: /  /' || true
    ((${exported:-0} > 0)) || fail "the Collector at $collector took no profile (does it have a pipeline for profiles, and
         --feature-gates=service.profilesSupport?); see $out/shop.err"
}

show_files() {
    heading "Where the files are"
    echo "  $out/profiles/*.otlp    the profiles (one OTLP ExportProfilesServiceRequest each)"
    echo "  $out/spans.log          the spans as the shop logged them"
    echo "  $out/shop.out, shop.err what the shop printed"
    echo
    echo "  Look further:  $prefix/bin/otelprof top --by db.query.summary $out/profiles"
    echo "                 $prefix/bin/otelprof top --by thread.name --functions 5 $out/profiles"
    echo "                 $prefix/bin/otelprof top --incomplete $out/profiles"
    echo "                 $prefix/bin/otelprof top --type mutex --by http.route --functions 5 $out/profiles"
    echo "                 $prefix/bin/otelprof top --leaks FILE LATER_FILE, two of the files above"
}

main() {
    parse_options "$@"
    become_root "$@"
    prepare_folder
    heading 'otelprof demo: a small shop over HTTP that profiles itself'
    build_all
    check_machine
    trap 'stop_shop TERM || true' EXIT
    start_shop
    echo "  the shop runs at $url (pid $shop_pid); load for $seconds s:"
    run_load
    stop_shop INT || fail "the shop ended with an error; see $out/shop.err"
    [[ -z $collector ]] || show_delivery
    compgen -G "$out/profiles/*.otlp" >/dev/null || fail "the shop wrote no profile; see $out/shop.err"
    show_routes
    show_functions
    if ((spans)); then
        show_trace
    fi
    show_memory
    show_locks
    show_waiting
    show_all_types
    show_cost
    show_files
}

main "$@"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `otelprof run`: the program behaves as without us, its profile is written, what it forks is followed, so is what it
# becomes by an exec; what its children execute knows nothing of us, and what cannot be preloaded is refused with the
# reason.
# timeout: 400
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
tool=$OTP_BUILD/src/tool/otelprof
cd "$OTP_WORK" || exit 1
clean_environment

# Runs a command; status, stdout and stderr go to $status, $out and $err.
take() {
    "$@" >out.txt 2>err.txt </dev/null
    status=$?
    out=$(<out.txt) err=$(<err.txt)
}

run() { take "$tool" run "$@"; }

# The processes whose profiles lie in a directory, sorted.
processes() { find "$1" -name '*.otlp' -printf '%f\n' 2>/dev/null | cut -d- -f2 | sort -u; }

count() { processes "$1" | wc -l; }

refused() { # status, text, program, arguments
    local wanted=$1 text=$2
    shift 2
    run -o refused-out -- "$@"
    [[ $status = "$wanted" ]] || fail "$1: exit status $status, not $wanted"
    [[ $err = "otelprof: cannot "*"$1"*"$text"* ]] || fail "$1: message: $err"
    [[ -z $out ]] || fail "$1 ran: $out"
}

build_targets() {
    local source=$OTP_SOURCE/tests/integration/tool_target.c
    "${CC:-cc}" -g -O1 -D_GNU_SOURCE -o target "$source" && "${CC:-cc}" -O1 -D_GNU_SOURCE -static -o static "$source" &&
        "${CC:-cc}" -O1 -D_GNU_SOURCE -static-pie -fPIE -o static-pie "$source" &&
        "${CC:-cc}" -g -O1 -fno-optimize-sibling-calls -D_GNU_SOURCE -o become "$OTP_SOURCE/tests/integration/tool_exec.c" || exit 1
    cp target setuid && chmod u+s setuid && cp target setgid && chmod g+s setgid
    cp target capable && setcap cap_net_raw+ep capable
}

# The profiles of a directory show this function.
shows() {
    take "$tool" top -n 1000 "$1"
    [[ $out = *" $2 "* ]] || fail "$1: $2 is not in the profile: $out $err"
}

# A command that becomes `./target show`, with us and without; one process, profiled to the end.
becomes() { # directory, command
    local directory=$1 plain
    shift
    take "$@"
    plain="$status/$out/$err"
    run -o "$directory" -r 997 -s becomes -- "$@"
    [[ $status/$out/$err = "$plain" ]] || fail "$*: $status/$out/$err, without us $plain"
    [[ $status = 11 ]] || fail "$*: exit status $status"
    [[ $(count "$directory") = 1 ]] || fail "$*: profiles of $(count "$directory") processes"
    shows "$directory" work
}

test_exec() {
    local how
    for how in execve execv execvp execvpe execl execlp execle fexecve execveat execveat-empty clean null thread signal; do
        becomes "exec-$how" ./become $how ./target show
        shows "exec-$how" before_exec
    done
    for how in static static-pie setuid setgid capable; do
        run -o "exec-$how" -r 997 -- ./become execv ./$how show
        [[ $status = 11 && -z $out$err ]] || fail "an exec of $how: $status $out $err"
        shows "exec-$how" before_exec
        [[ $("$tool" top "exec-$how") != *" work "* ]] || fail "an exec of $how was profiled"
    done
    take ./become fail ./plain
    local plain="$status/$out/$err"
    run -o exec-fail -r 997 -- ./become fail ./plain
    [[ $status/$out/$err = "$plain" ]] || fail "execs that fail: $(diff <(echo "$plain") <(echo "$status/$out/$err"))"
    shows exec-fail after_failure
}

test_wrappers() {
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec "$@"\n' >wrapper && printf '#!/usr/bin/env -S bash -u\nexec ./target show\n' >wrapper-by-env
    chmod +x wrapper wrapper-by-env
    becomes wrap-sh sh -c 'exec ./target show'
    becomes wrap-name bash -c 'exec -a other ./target show'
    becomes wrap-env env X=1 ./target show
    becomes wrap-clean env -i ./target show
    becomes wrap-many ./wrapper nice env -u X ./wrapper ./target show
    becomes wrap-by-env ./wrapper-by-env
    [[ $(id -u) != 0 ]] || becomes wrap-setpriv setpriv --no-new-privs ./target show
}

test_children() {
    local how show='env | sort | grep -v ^_=' plain
    for how in fork vfork; do
        run -o "child-$how" -r 997 -- ./become $how ./target show
        [[ $status = 11 && -z $out$err ]] || fail "$how and exec: $status $out $err"
        [[ $(count "child-$how") = 1 ]] || fail "$how and exec: profiles of $(count "child-$how") processes"
        run --children -o "children-$how" -r 997 -s family -- ./become $how ./target return
        [[ $status = 3 && -z $err ]] || fail "--children, $how and exec: $status $err"
        [[ $(count "children-$how") = 2 ]] || fail "--children, $how: profiles of $(count "children-$how") processes"
        shows "children-$how" work
    done
    run --children -o children-deep -r 997 -- sh -c 'sh -c "./target return; ./static return; ./target exit; true"; exit 5'
    [[ $status = 5 && -z $err ]] || fail "--children, two levels: $status $err"
    shows children-deep work
    plain=$(env -i "PATH=$PATH" A=1 OTELPROF_RATE=77 LD_PRELOAD=libm.so.6 sh -c "exec sh -c '$show'")
    take env -i "PATH=$PATH" A=1 OTELPROF_RATE=77 LD_PRELOAD=libm.so.6 "$tool" run -o again -r 50 -- \
        sh -c "exec sh -c '$show'"
    [[ $out = "$plain" ]] || fail "the environment below an exec: $(diff <(echo "$plain") <(echo "$out"))"
}

# Where profiles go: what the library is told.
test_receiver() {
    local told='env | grep -e ^OTELPROF_ENDPOINT= -e ^OTELPROF_OUTPUT_DIR= | sort; exit 0'
    mkdir -p receiver && cd receiver || return 1
    take "$tool" run -q --children --endpoint http://127.0.0.1:1 -- sh -c "$told"
    [[ $status = 0 && $out = OTELPROF_ENDPOINT=http://127.0.0.1:1 && ! -e otelprof-out ]] || fail "--endpoint: $status $out $err"
    local variable
    for variable in OTELPROF_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT; do
        take env $variable=http://127.0.0.1:1 "$tool" run -q --children -- sh -c "$told"
        [[ $status = 0 && $out != *OUTPUT_DIR* && ! -e otelprof-out ]] || fail "$variable: $status $out $err"
    done
    take "$tool" run -q --children -e http://127.0.0.1:1 -o both -- sh -c "$told"
    [[ $out = $'OTELPROF_ENDPOINT=http://127.0.0.1:1\nOTELPROF_OUTPUT_DIR='"$PWD/both" ]] || fail "--endpoint and --out: $out $err"
    take "$tool" run -q --children -- sh -c "$told"
    [[ $out = "OTELPROF_OUTPUT_DIR=$PWD/otelprof-out" && -d otelprof-out ]] || fail "neither: $out $err"
    cd ..
}

test_ends() {
    local how plain
    for how in return exit quick_exit _exit abort spawn vfork stack; do
        take ./target $how
        plain="$status/$out"
        run -o "ends-$how" -r 997 -- ./target $how
        [[ $status/$out = "$plain" ]] || fail "$how: $status/$out, without us $plain"
        [[ -z $err || $how = abort ]] || fail "$how: stderr: $err"
    done
    for how in return exit quick_exit spawn vfork; do
        [[ $(count "ends-$how") = 1 ]] || fail "$how: profiles of $(count "ends-$how") processes"
        take "$tool" top "ends-$how"
        [[ $out = *" work "* ]] || fail "$how: its function is not in the profile: $out $err"
    done
    # shellcheck disable=SC2016
    run -o ends-signal -- sh -c 'kill -TERM $$'
    [[ $status = 143 ]] || fail "a signal: exit status $status"
    [[ $(printf 'a\nb\n' | "$tool" run -o ends-stdin -- cat) = $'a\nb' ]] || fail "stdin does not reach the program"
}

test_environment() {
    local show='env | sort | grep -v -e ^_=; ls /proc/self/fd | wc -l'
    local clean=(env -i "PATH=$PATH" A=1 OTELPROF_RATE=77 OTEL_SERVICE_NAME=mine LD_PRELOAD=libm.so.6)
    local plain
    take "${clean[@]}" sh -c "$show"
    plain=$out
    take "${clean[@]}" "$tool" run -o environment -r 50 -w 500 -s other -d named -p cpu -- sh -c "$show"
    [[ $out = "$plain" ]] || fail "the environment of what it executes: $(diff <(echo "$plain") <(echo "$out"))"
    take env -i "PATH=$PATH" bash -c 'env | sort | grep -v ^_='
    plain=$out
    take env -i "PATH=$PATH" "$tool" run -q -o environment -- bash -c 'env | sort | grep -v ^_='
    [[ $out = "$plain" ]] || fail "the environment without variables of ours: $out"
    take env "LD_PRELOAD=$OTP_BUILD/src/preload/libotelprof-preload.so" "OTELPROF_OUTPUT_DIR=$PWD/by-hand" OTELPROF_RATE=997 \
        ./target spawn
    [[ $status = 8 ]] || fail "a preload by hand: $status $err"
    [[ $(count by-hand) = 1 ]] || fail "a preload by hand: profiles of $(count by-hand) processes"
}

test_follow() {
    local process
    run -o follow -r 997 -s family -- ./target fork
    [[ $status = 9 ]] || fail "fork: exit status $status"
    [[ $(count follow) = 3 ]] || fail "fork: profiles of $(count follow) processes, not 3"
    for process in $(processes follow); do
        take "$tool" top follow/otelprof-"$process"-*.otlp
        [[ $out = "family, pid $process: "*" work "* ]] || fail "fork: the profile of $process: $out"
    done
    run --no-follow -o no-follow -r 997 -- ./target fork
    [[ $status = 9 && $(count no-follow) = 1 ]] || fail "--no-follow: $status, profiles of $(count no-follow) processes"
    run -o daemon -r 997 -- ./target daemon "$PWD/daemon.pid"
    for _ in {1..50}; do
        [[ -s daemon.pid ]] && processes daemon | grep -qx "$(<daemon.pid)" && break
        sleep 0.1
    done
    [[ $(count daemon) = 2 ]] || fail "daemon: profiles of $(count daemon) processes, not 2"
}

test_refusals() {
    refused 2 "statically linked" ./static
    refused 2 "statically linked" ./static-pie
    refused 2 "set-user-ID" ./setuid
    refused 2 "set-group-ID" ./setgid
    refused 2 "file capabilities" ./capable
    cp target other && printf '\267\000' | dd of=other bs=1 seek=18 conv=notrunc status=none && # e_machine: AArch64
        refused 2 "another machine" ./other
    sed 's#/lib64/ld-linux-x86-64.so.2#/lib/ld-musl-x86_64.so.1\x00\x00\x00#' target >musl && chmod +x musl &&
        { cmp -s target musl || refused 2 "musl" ./musl; }
    printf '#!%s/static\n' "$PWD" >script-static && chmod +x script-static && refused 2 "statically linked" ./script-static
    printf '#!/nowhere/sh\n' >script-lost && chmod +x script-lost && refused 127 "/nowhere/sh" ./script-lost
    printf '\177ELF' >short && chmod +x short && refused 126 "too short" ./short
    printf 'a\0b' >binary && chmod +x binary && refused 126 "neither" ./binary
    : >plain && refused 126 "Permission denied" ./plain
    refused 126 "Is a directory" /tmp
    refused 127 "No such file" ./nothing
    refused 127 "No such file" no-such-program-anywhere
    [[ ! -e refused-out ]] || fail "a refused program leaves a directory"
}

test_scripts() {
    # shellcheck disable=SC2016
    printf '#!/bin/sh -e\necho "$0 $1 $#"\n' >script
    # shellcheck disable=SC2016
    printf '#!/usr/bin/env sh\necho "$0 $1 $#"\n' >script-by-env
    # shellcheck disable=SC2016
    printf '#!/usr/bin/env -S sh -u\necho "$0 $1 $#"\n' >script-by-env-S
    # shellcheck disable=SC2016
    printf 'echo "$0 $1 $#"\n' >script-without
    chmod +x script script-by-env script-by-env-S script-without
    local each
    for each in ./script ./script-by-env ./script-by-env-S ./script-without; do
        run -q -o scripts -- $each 'a b' c
        [[ $status = 0 && $out = "$each a b 2" ]] || fail "$each: $status $out $err"
    done
}

test_usage() {
    local each
    for each in "" "--bogus x" "-r 0 true" "-r x true" "-w 5 true" "-d most true" "-p goroutines true" "-p cpu,walls true" "-p cpu, true" \
        "-p , true" "-e ftp://user:canary-4d1f7c@h true" "-e http:// true" "-o" "-s= --"; do
        # shellcheck disable=SC2086
        run $each
        [[ $status = 2 && $err = "otelprof run: "* ]] || fail "run $each: $status $err"
    done
    take "$tool" run --help
    [[ $status = 0 && $out = "otelprof run "* ]] || fail "run --help: $status"
    take env OTELPROF_PRELOAD=/nowhere "$tool" run -o usage -- true
    [[ $status = 1 && $err = *OTELPROF_PRELOAD=/nowhere* ]] || fail "a preload object that is not there: $status $err"
    run -o /proc/none -- true
    [[ $status = 2 && $err = *"cannot write profiles into /proc/none"* ]] || fail "an impossible directory: $status $err"
    take "$tool" --version
    [[ $status = 0 && $out =~ ^otelprof\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "--version: $out"
    take "$tool" nonsense
    [[ $status = 2 ]] || fail "an unknown command: $status"
}

# As a user without capabilities: the program runs, and one line says why there is no profile. From an installed copy,
# in a place that any user can reach.
test_plain_user() {
    local prefix as ambient user=(--reuid 65534 --regid 65534 --clear-groups)
    prefix=$(mktemp -d) || return 1
    # shellcheck disable=SC2064
    trap "rm -rf '$prefix'" EXIT
    cmake --install "$OTP_BUILD" --prefix "$prefix" >install.txt || fail "installation: $(tail -n 3 install.txt)"
    cp target "$prefix/" && mkdir "$prefix/out" && chown 65534:65534 "$prefix/out" && chmod 755 "$prefix"
    as=(setpriv "${user[@]}" --inh-caps=-all "$prefix/bin/otelprof" run -o "$prefix/out")
    take "${as[@]}" -- "$prefix/target" exit
    [[ $status = 4 && $(wc -l <err.txt) = 1 && $err = "otelprof: not profiling: "* ]] || fail "a plain user: $status $err"
    take "${as[@]}" -q -- "$prefix/target" exit
    [[ $status = 4 && -z $err ]] || fail "a plain user, quiet: $status $err"
    take env OTEL_SDK_DISABLED=true "${as[@]}" -- "$prefix/target" exit
    [[ $status = 4 && -z $err ]] || fail "switched off: $status $err"
    ambient=(setpriv "${user[@]}" --inh-caps "+bpf,+perfmon" --ambient-caps "+bpf,+perfmon")
    take "${ambient[@]}" "$prefix/bin/otelprof" run -o "$prefix/out" -r 997 -- "$prefix/target" fork
    [[ $status = 9 && -z $err ]] || fail "ambient capabilities: $status $err"
    [[ $(count "$prefix/out") = 3 ]] || fail "ambient capabilities: profiles of $(count "$prefix/out") processes, not 3"
    rm -rf "$prefix/out"/*
    take "$prefix/bin/otelprof" run -o "$prefix/out" -r 997 -s becomes -- "${ambient[@]}" "$prefix/target" return
    [[ $status = 3 && -z $err ]] || fail "a wrapper that changes the user: $status $err"
    [[ $(count "$prefix/out") = 1 ]] || fail "a wrapper that changes the user: profiles of $(count "$prefix/out") processes"
    shows "$prefix/out" work
    chmod 700 "$prefix/lib" && take "$prefix/bin/otelprof" run -o "$prefix/out" -- "${ambient[@]}" "$prefix/target" show
    [[ $status = 11 && -z $out$err ]] || fail "a user who cannot read the preload object: $status $out $err"
}

build_targets
test_refusals
test_scripts
test_usage
if ! "$tool" doctor >doctor.txt 2>&1; then
    tail -n 20 doctor.txt
    verdict || exit 1
    skip "eBPF profiling is not possible here"
fi
test_ends
test_environment
test_follow
test_exec
test_wrappers
test_children
test_receiver
[[ $(id -u) != 0 ]] || test_plain_user
verdict

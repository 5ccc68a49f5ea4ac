# SPDX-License-Identifier: Apache-2.0
# Runs tests one by one and keeps the score. Sourced. A test is a command with a session of its own and a time limit;
# exit status 0 passes, 77 skips, all else fails. What it leaves behind (processes, BPF programs and maps, warnings of
# the kernel) makes it fail too.
#
# Needs: RUN_LOGS (folder). Gives: run_test, run_failed, run_summary, and the counts in passed, failed, skipped.

passed=0 failed=0 skipped=0
failures=() skips=()
bpf_known= # what was there before the test

# run_test NAME SECONDS COMMAND... : runs one test and counts it. Status 0 unless it failed.
run_test() {
    local name=$1 limit=$2 log=$RUN_LOGS/$1.log started=$EPOCHREALTIME status left
    shift 2
    local token=otp-test-$$-$RANDOM$RANDOM kernel_time
    kernel_time=$(cut -d' ' -f1 /proc/uptime)
    bpf_known=$(bpf_objects "$token")
    mkdir -p "$RUN_LOGS"
    OTP_TEST_TOKEN=$token setsid timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 </dev/null &
    local session=$!
    { wait "$session"; } 2>/dev/null # the shell would report a crash on stderr by itself
    status=$?
    ((status == 124 || status == 137)) && echo "run.sh: time limit of $limit s" >>"$log"
    left=$(leftovers "$token" "$kernel_time")
    if [[ -n $left ]]; then
        printf 'run.sh: left behind:\n%s\n' "$left" >>"$log"
        ((status == 0 || status == 77)) && status=99
    fi
    run_count "$name" "$status" "$log" "$(elapsed "$started")"
}

elapsed() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }

# run_count NAME STATUS LOG NOTE : keeps the score of a test that was run elsewhere.
run_count() {
    local reason
    case $2 in
        0)
            passed=$((passed + 1))
            printf 'pass  %s (%s)\n' "$1" "$4"
            ;;
        77)
            skipped=$((skipped + 1))
            reason=$(tail -n 1 "$3")
            skips+=("$1: $reason")
            printf 'SKIP  %s: %s\n' "$1" "$reason"
            ;;
        *)
            failed=$((failed + 1))
            failures+=("$1")
            printf 'FAIL  %s (status %s, %s), the end of %s:\n' "$1" "$2" "$4" "$3"
            tail -n 40 "$3" | sed 's/^/      | /'
            return 1
            ;;
    esac
}

# Counts the cases of a junit file that ctest wrote; NAME goes in front of each.
run_count_junit() {
    local name=$1 file=$2 case_name status
    while IFS=$'\t' read -r case_name status; do
        run_count "$name/$case_name" "$status" "$RUN_LOGS/$name.log" "ctest" || true
    done < <(python3 "$(dirname "${BASH_SOURCE[0]}")/junit.py" "$file")
}

run_summary() {
    local name
    echo
    for name in "${failures[@]}"; do
        echo "failed: $name"
        # Once more, since whoever reads only the end of a long log must see why.
        grep -hE '(^|[^a-z])(FAIL|FAILED|Failed)|^run.sh: ' "$RUN_LOGS/${name%%/*}.log" 2>/dev/null | tail -n 4 | sed 's/^/      | /'
    done
    ((${#skips[@]})) && printf 'skipped: %s\n' "${skips[@]}"
    echo "logs: $RUN_LOGS"
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0 && passed > 0))
}

# ---- what a test may leave behind

# Prints what the test with this token left; ends the processes among it. Waits a little for what goes by itself: the
# kernel frees maps after a grace period. What stayed through all rounds counts.
leftovers() {
    local token=$1 kernel_time=$2 pid objects seen
    objects=$(bpf_new "$token")
    for _ in {1..12}; do
        [[ -z $objects && -z $(processes_of "$token") ]] && break
        sleep 0.25
        seen=$(bpf_new "$token")
        objects=$(grep -xF -e "$seen" <<<"$objects" | grep .)
    done
    for pid in $(processes_of "$token"); do
        echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
        kill -KILL "$pid" 2>/dev/null
    done
    [[ -n $objects ]] && printf '%s\n' "$objects"
    kernel_warnings "$kernel_time" "$token"
}

# Processes that carry the token in their environment, whatever session they moved to; those that have ended but were
# not waited for do not count.
processes_of() {
    local file
    for file in /proc/[0-9]*/environ; do
        grep -qsF "OTP_TEST_TOKEN=$1" "$file" && basename "${file%/environ}"
    done
    return 0
}

# BPF programs and maps of otelprof that no living process holds and that were not there before the test.
bpf_new() { bpf_objects "$1" | grep -vxF -e "$bpf_known" -e ''; }

bpf_objects() {
    command -v bpftool >/dev/null || return 0
    { bpftool -j prog show && bpftool -j map show; } 2>/dev/null |
        python3 "$(dirname "${BASH_SOURCE[0]}")/bpf_objects.py" "$1"
}

# Warnings that the kernel logged since the given time of its own clock. Those of other self-tests do not count.
kernel_warnings() {
    dmesg 2>/dev/null | sed 's/^\[ *\([0-9.]*\)\] */\1 /' | awk -v from="$1" '$1 + 0 >= from + 0' |
        grep -E 'WARNING|BUG:|Oops|general protection|hung_task|blocked for more than|rcu.*stall|segfault.*otelprof|soft lockup' |
        grep -Ev 'otp-test-' | sed 's/^/kernel: /'
    dmesg 2>/dev/null | grep -F "self-test $2" | sed 's/^/kernel: /'
}

# SPDX-License-Identifier: Apache-2.0
# The runner's own test: cases that must go red, one for each thing that it looks for. Sourced by run.sh --self-test,
# which then ends with a closing line that counts exactly these, and with status 1.

self_test_plan() {
    run_test self-passes 10 true
    run_test self-skips 10 sh -c 'echo "for a reason"; exit 77'
    run_test self-fails 10 sh -c 'echo "must fail"; exit 3'
    run_test self-crashes 10 sh -c 'kill -SEGV $$'
    run_test self-hangs 1 sleep 30
    run_test self-leaves-a-process 10 sh -c 'sleep 30 & exit 0'
    run_test self-leaves-a-daemon 10 sh -c 'setsid -f sleep 30; exit 0'
    if self_test_mount; then
        run_test self-leaves-a-map 10 bpftool map create "$self_test_bpffs/otp_selftest" \
            type array key 4 value 4 entries 1 name otp_selftest
        rm -f "$self_test_bpffs/otp_selftest"
        umount "$self_test_bpffs"
    fi
    if [[ -w /dev/kmsg ]]; then
        # shellcheck disable=SC2016 # the test's own shell knows the token
        run_test self-kernel-warning 10 sh -c 'echo "WARNING: otelprof runner self-test $OTP_TEST_TOKEN" >/dev/kmsg'
    fi
}

# How many of these must fail on this machine.
self_test_expected() {
    local count=5
    self_test_mount && umount "$self_test_bpffs" && count=$((count + 1))
    [[ -w /dev/kmsg ]] && count=$((count + 1))
    echo "$count"
}

# A place to pin a map in, so that it outlives the test that made it.
self_test_mount() {
    self_test_bpffs=$(mktemp -d) && mount -t bpf bpf "$self_test_bpffs" 2>/dev/null
}

# SPDX-License-Identifier: Apache-2.0
# What run.sh runs, in order. Sourced; needs runner.sh, `only`, `build_root`. Gives run_plan.
# shellcheck disable=SC2154 # they are set by run.sh

wanted() {
    # shellcheck disable=SC2053 # a pattern is meant
    [[ $1 == $only ]]
}

# run_test, if the name is wanted.
step() {
    wanted "$1" || return 0
    run_test "$@"
}

run_plan() {
    if [[ -n ${OTP_LONG:-} ]]; then
        long_plan
        return
    fi
    step venv 300 tests/lib/venv.sh "$build_root/venv"
    step runner-goes-red 120 tests/lib/runner_goes_red.sh
    step decoder-self-test 120 "$OTP_PYTHON" tests/decoder/mutants.py
    step structure 120 tests/structure.sh
    step format 120 tests/format.sh
    step shell-scripts 120 tests/lib/shellcheck.sh

    build_and_unit_tests release
    if [[ -x $OTP_BUILD/src/libotelprof.so || -e $OTP_BUILD/src/libotelprof.so ]]; then
        step exports 60 tests/exports/check.sh
        step headers 120 tests/packaging/headers.sh
        step packaging 300 tests/packaging/check.sh
        step without-network 900 tests/packaging/without.sh network
        step without-dwarf 900 tests/packaging/without.sh dwarf
        step tidy 900 tests/tidy.sh
        step arm64 900 tests/packaging/arm64.sh
        scripts_of integration
        interop_tests
    fi
    build_and_unit_tests asan
    step delivery-asan 600 tests/lib/delivery_sanitized.sh "$build_root/asan" "$build_root/test-work/delivery-asan"
    build_and_unit_tests tsan
    step delivery-tsan 600 tests/lib/delivery_sanitized.sh "$build_root/tsan" "$build_root/test-work/delivery-tsan"
    step lifecycle-tsan 600 tests/lib/lifecycle_tsan.sh "$build_root/tsan" "$build_root/test-work/lifecycle-tsan"
    step no-secrets 120 tests/lib/no_secrets.sh "$RUN_LOGS" "$build_root/test-work"
    step decoder-mutants-of-real-files 900 tests/lib/mutants_of_real_files.sh "$build_root/test-work"
}

# For tests/long.sh: the integration tests alone, with what they need.
long_plan() {
    run_test venv 300 tests/lib/venv.sh "$build_root/venv" || return
    run_test build-release 900 tests/lib/build.sh release "$OTP_BUILD" || return
    scripts_of integration
    interop_tests
}

# Configures and builds a preset, then runs its unit tests, two at a time.
build_and_unit_tests() {
    local preset=$1 junit=$build_root/unit-$1.xml
    step "build-$preset" 900 tests/lib/build.sh "$preset" "$build_root/$preset" || return 0
    wanted "unit-$preset" || return 0
    rm -f "$junit"
    run_test "unit-$preset" 900 tests/lib/unit_tests.sh "$build_root/$preset" "$junit"
    [[ -e $junit ]] && run_count_junit "unit-$preset" "$junit"
}

# Tests against real peers: the Collector is built first, once.
interop_tests() {
    export OTP_COLLECTOR=$build_root/collector/otelcol-peer
    step build-collector 1200 tests/interop/collector/build.sh "$build_root/collector"
    scripts_of interop
}

# Every executable tests/KIND/NAME.sh; a line "# timeout: SECONDS" in it changes the limit of 300 s.
scripts_of() {
    local script name limit
    for script in tests/"$1"/*.sh; do
        [[ -x $script ]] || continue
        name=$(basename "$script" .sh)
        wanted "$name" || continue
        limit=$(sed -n 's/^# timeout: *\([0-9]\{1,\}\) *$/\1/p' "$script" | head -n 1)
        script_test "$script" "$name" "${limit:-300}"
    done
}

script_test() {
    local script=$1 name=$2 limit=$3
    export OTP_WORK=$build_root/test-work/$name
    rm -rf "$OTP_WORK" && mkdir -p "$OTP_WORK"
    [[ -n ${OTP_LONG:-} ]] && limit=$((limit * ${OTP_LONG_FACTOR:-20}))
    run_test "$name" "$limit" "$script"
    if [[ -n $(otlp_files "$OTP_WORK") ]]; then
        run_test "$name-conformance" 300 tests/lib/conformance.sh "$OTP_WORK"
    fi
}

# Profiles that a test wrote. Files that are broken on purpose lie in a folder named "broken".
otlp_files() { find "$1" -name broken -prune -o -name '*.otlp' -print | head -n 1; }

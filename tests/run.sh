#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds everything and runs all tests, on a Debian 12 that needs nothing but this. As root, or by sudo: kernel tests
# need it. The last line of the output is "N passed, N failed, N skipped"; the exit status is 0 if none failed.
#
#   tests/run.sh                    everything
#   tests/run.sh --only PATTERN     only tests whose name matches the bash pattern (builds included)
#   tests/run.sh --no-install       without installing packages
#   tests/run.sh --self-test        the runner's own cases, most of which must fail
#
# Everything is written below build/ (or $OTP_BUILD_ROOT): build/test-logs/NAME.log, build/test-work/NAME.
set -uo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
build_root=${OTP_BUILD_ROOT:-$source_dir/build}
export OTP_SOURCE=$source_dir OTP_BUILD=$build_root/release OTP_PYTHON=$build_root/venv/bin/python
export PATH=$PATH:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1
RUN_LOGS=$build_root/test-logs

# shellcheck source=lib/packages.sh
. "$source_dir/tests/lib/packages.sh"
# shellcheck source=lib/runner.sh
. "$source_dir/tests/lib/runner.sh"
# shellcheck source=lib/plan.sh
. "$source_dir/tests/lib/plan.sh"
# shellcheck source=lib/self_test.sh
. "$source_dir/tests/lib/self_test.sh"

only='*' install=1 mode=all
while (($#)); do
    case $1 in
        --only)
            only=${2:?--only needs a pattern}
            shift
            ;;
        --no-install) install=0 ;;
        --self-test) mode=self-test ;;
        *)
            sed -n '3,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 2
            ;;
    esac
    shift
done

if [[ $mode = self-test ]]; then
    RUN_LOGS=$build_root/test-logs/self-test
    self_test_plan
    run_summary
    exit
fi
if [[ $(id -u) != 0 ]] && command -v sudo >/dev/null; then
    arguments=(--only "$only")
    ((install)) || arguments+=(--no-install)
    exec sudo --preserve-env=CI,OTP_BUILD_ROOT,OTP_LONG,OTP_SEEDS,OTP_SECONDS "${BASH_SOURCE[0]}" "${arguments[@]}"
fi

cd "$source_dir" || exit 2
if ((install)) && ! install_packages "${build_packages[@]}" "${example_packages[@]}" "${test_packages[@]}"; then
    echo "run.sh: packages could not be installed" >&2
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
run_plan
run_summary

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests of a build: unit_tests.sh FOLDER JUNIT-FILE. Without address space randomisation: the sanitizers
# of gcc 12 cannot place their shadow memory at some of the addresses that newer kernels choose.
set -uo pipefail
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1:allocator_may_return_null=1
setarch "$(uname -m)" --addr-no-randomize \
    ctest --test-dir "$1" -j 2 --output-on-failure --no-tests=error --output-junit "$2"

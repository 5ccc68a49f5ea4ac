#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Delivery to receivers that misbehave, under a sanitizer: delivery_sanitized.sh BUILD WORK    BUILD: of asan or tsan
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
need_root "to profile"
build=$1 work=$2
[[ -e $build/src/network/libotelprof-network.so ]] || skip "libcurl is not there"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
clean_environment
export OTELPROF_PROFILES=cpu # samples are counted
export TSAN_OPTIONS="exitcode=66 suppressions=$OTP_SOURCE/tests/lib/tsan_suppressions.txt"
"$OTP_SOURCE/tests/lib/certificates.sh" certificates || exit 1
# Without address space randomisation: as for the unit tests.
exec setarch "$(uname -m)" --addr-no-randomize "$OTP_PYTHON" -u "$OTP_SOURCE/tests/interop/failing_servers.py" \
    --sanitized "$build/tests/interop/sender" certificates \
    '^(ok|hang|unreachable|reset|413|429-retry|huge|unavailable|goaway|wrong)'

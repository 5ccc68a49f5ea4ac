#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The long forms of the integration tests: more seeds, more time. Same tests, same closing line as tests/run.sh.
#
#   tests/long.sh [PATTERN]         the tests whose name matches; all by default
#   OTP_SEEDS=N                     seeds a randomised test tries (default 100)
#   OTP_SECONDS=N                   length of a measured run (default 600)
#
# Tests see OTP_LONG=1 and these two.
set -uo pipefail
export OTP_LONG=1 OTP_SEEDS=${OTP_SEEDS:-100} OTP_SECONDS=${OTP_SECONDS:-600}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
exec "$here/run.sh" --only "${1:-*}"

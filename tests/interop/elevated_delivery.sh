#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A set-user-id program with a receiver: what its caller has in the environment makes no file with the program's rights.
# timeout: 60
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
cd "$OTP_WORK" || exit 1
clean_environment
"$OTP_BUILD/src/tool/otelprof" doctor >doctor.txt 2>&1 || skip "eBPF profiling is not possible here"

# Where another user may execute it; its libraries are found by the path in it.
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cp "$OTP_BUILD/tests/interop/elevated_host" "$place/host" && chmod u+s "$place/host" || exit 1
mkdir -m 700 "$place/roots" # where the caller may make nothing

as_nobody() { # variables
    (cd / && umask 0 && setpriv --reuid 65534 --regid 65534 --clear-groups env "$@" "$place/host" https://127.0.0.1:9)
}

as_nobody "SSLKEYLOGFILE=$place/roots/keys" >with-variable.txt 2>&1
as_nobody "OTELPROF_OUTPUT_DIR=$place/roots" >without.txt 2>&1
cat with-variable.txt without.txt
grep -q 'rights of 0: no network while SSLKEYLOGFILE' with-variable.txt || fail "it is not refused, with the reason"
grep -q 'rights of 0: profiling' without.txt || fail "it does not profile without that variable"
[[ -z $(ls -A "$place/roots") ]] || fail "files were made: $(ls -lA "$place/roots")"
verdict

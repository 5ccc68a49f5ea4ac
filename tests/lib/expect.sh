# SPDX-License-Identifier: Apache-2.0
# For integration scripts: checks that are said and counted, and skips with their reason. Sourced.
#
# Gives: failures (how many so far), fail, expect, skip, need_root, verdict.

failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect WHAT COMMAND... : the command succeeds; its output does not matter.
expect() {
    local what=$1
    shift
    if "$@" >/dev/null; then
        echo "ok: $what"
    else
        fail "$what ($*)"
    fi
}

# Ends the test as one that cannot be made here; the runner shows the reason.
skip() {
    echo "$*"
    exit 77
}

need_root() { [[ $(id -u) = 0 ]] || skip "needs root${1:+ $1}"; }

# The last command of a script: its status is the test's.
verdict() {
    echo "$failures failures"
    ((failures == 0))
}

# SPDX-License-Identifier: Apache-2.0
# For integration scripts: checks that are said and counted, and skips with their reason. Sourced.
#
# Gives: failures (how many so far), fail, expect, skip, need_root, clean_environment, verdict.

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

# No variable of OpenTelemetry's or ours, but for a secret that all that is profiled has from here on: it must appear in
# no log, error or profile (tests/lib/no_secrets.sh looks at the end of the run).
clean_environment() {
    unset "${!OTEL@}"
    export OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20canary-suite-5b2e,x-key=canary-suite-5b2e
}

# The last command of a script: its status is the test's.
verdict() {
    echo "$failures failures"
    ((failures == 0))
}

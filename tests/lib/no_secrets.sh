#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Secrets that tests put into headers and variables ("canary-...") appear in no log, error or profile that the run left
# behind: no_secrets.sh FOLDER... The Collector's own configuration has to know the token that it shall accept.
set -uo pipefail
found=$(grep -rlI --exclude=config.json -e 'canary-' "$@"; grep -rla --include='*.otlp' --include='*.pb' -e 'canary-' "$@")
files=$(find "$@" -type f | wc -l)
if [[ -n $found ]]; then
    printf 'a secret is in %s\n' "$found"
    exit 1
fi
echo "$files files"
((files > 100))

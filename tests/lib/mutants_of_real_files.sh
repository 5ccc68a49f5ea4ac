#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The checker must see mutants of real profiles too: one file of each test that wrote some. FOLDER: the tests' folders.
set -uo pipefail
files=()
for folder in "$1"/*/; do
    file=$(find "$folder" -name broken -prune -o -name '*.otlp' -size -100k -print | sort | head -n 1)
    [[ -n $file ]] && files+=("$file")
done
if ((${#files[@]} == 0)); then
    echo "no test wrote a profile"
    exit 77
fi
exec "$OTP_PYTHON" "$OTP_SOURCE/tests/decoder/mutants.py" "${files[@]}"

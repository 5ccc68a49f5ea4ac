#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Python environment of the independent decoder: venv.sh FOLDER
set -euo pipefail
wanted=$(dirname "$0")/../decoder/requirements.txt
cmp -s "$wanted" "$1/requirements.txt" && exec "$1/bin/python" -c 'import opentelemetry.proto'
python3 -m venv --clear "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir -r "$wanted"
cp "$wanted" "$1/requirements.txt"

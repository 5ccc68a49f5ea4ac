#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Configures and builds: build.sh PRESET FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
cmake --preset "$1" -B "$2"
cmake --build "$2" -j "$(nproc)"

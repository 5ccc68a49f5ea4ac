#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All shell scripts of the tree pass shellcheck.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
mapfile -t scripts < <(find tests examples .ci -name '*.sh' -print; echo .ci/run)
shellcheck --shell=bash --external-sources --source-path=SCRIPTDIR "${scripts[@]}" && echo "${#scripts[@]} scripts"

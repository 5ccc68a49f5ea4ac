#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All C and C++ files are formatted by .clang-format.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
find include src bpf examples tests -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp' | sort |
    xargs clang-format-14 --dry-run -Werror

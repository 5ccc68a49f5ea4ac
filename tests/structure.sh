#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Rules of the tree that a compiler does not check; see lib/structure.py for the list.
exec python3 "$(dirname "$0")/lib/structure.py" "$(dirname "$0")/.."

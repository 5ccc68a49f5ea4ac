#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lock profile of programs: a host that switches it on and off a thousand times under load, a C++ service with
# std::mutex and std::shared_mutex, and MariaDB under load, whose answers are as without us.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/lib/expect.sh
. "$OTP_SOURCE/tests/lib/expect.sh"
clean_environment
need_root "to profile"
for program in mariadbd mariadb-install-db mariadb-slap; do
    [[ -x $(PATH=$PATH:/usr/sbin type -P "$program") ]] || skip "$program is missing"
done
"$OTP_PYTHON" -u "$OTP_SOURCE/tests/integration/lock_programs.py" "$OTP_BUILD/src/tool/otelprof" \
    "$OTP_BUILD/tests/integration" "$OTP_WORK" "$@"

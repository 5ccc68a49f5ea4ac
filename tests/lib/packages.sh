# SPDX-License-Identifier: Apache-2.0
# Debian packages that building and testing need. Sourced; defines install_packages.
# shellcheck disable=SC2034 # used by those who source this

build_packages=(
    build-essential cmake ninja-build pkg-config clang-14 llvm-14 bpftool libbpf-dev libelf-dev libdw-dev
    libprotobuf-c-dev protobuf-c-compiler protobuf-compiler zlib1g-dev
    libcurl4-openssl-dev
)
example_packages=(libmicrohttpd-dev libsqlite3-dev libjansson-dev wrk curl jq)
# libc6-dbg names the functions of the C library that known chains of calls end with.
test_packages=(
    check clang-format-14 clang-tidy-14 clang-tools-14 shellcheck python3 python3-venv file procps util-linux iproute2 libcap2-bin
    binutils libc6-dbg gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libssl-dev openssl redis-server nginx-light postgresql mariadb-server mariadb-client ripgrep qemu-system-x86 cpio strace gdb ca-certificates
    libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 valgrind
)

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
    done
}

# Installs what is missing among the packages named. Services that come with them are not started.
install_packages() {
    local missing policy=/usr/sbin/policy-rc.d
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    echo "installing: ${missing[*]}"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        # shellcheck disable=SC2064 # the path as it is now
        trap "rm -f '$policy'" RETURN
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >/dev/null
}

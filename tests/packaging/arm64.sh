#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Cross-compiles library, program and BPF object for arm64, and looks at what came out. The libraries' arm64 packages
# are downloaded and unpacked below the build folder; the machine's own package system is not changed.
# Needs OTP_BUILD (its parent gets arm64-sysroot and arm64) and OTP_SOURCE.
set -euo pipefail
root=$(dirname "$OTP_BUILD")
sysroot=$root/arm64-sysroot build=$root/arm64
packages=(libbpf-dev libelf-dev libelf1 libdw-dev libdw1 libprotobuf-c-dev libprotobuf-c1 zlib1g zlib1g-dev liblzma5
    liblzma-dev libbz2-1.0 libcurl4 libcurl4-openssl-dev)

fail() {
    echo "arm64: $*"
    exit 1
}

# apt with a state of its own, for arm64 only.
arm64_apt() {
    local state=$sysroot.apt
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    touch "$state/status"
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$state/state" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" "$@"
}

make_sysroot() {
    rm -rf "$sysroot" "$sysroot.apt" && mkdir -p "$sysroot.apt/debs"
    arm64_apt update
    (cd "$sysroot.apt/debs" && arm64_apt download "${packages[@]}")
    local package link target
    for package in "$sysroot.apt"/debs/*.deb; do
        dpkg -x "$package" "$sysroot"
    done
    # Links to absolute paths lead out of the sysroot.
    find "$sysroot" -type l -lname '/*' -print | while read -r link; do
        target=$(readlink "$link")
        ln -sfr "$sysroot$target" "$link"
    done
    rm -rf "$sysroot.apt"
    echo "${packages[*]}" >"$sysroot/complete"
}

expect_arm64() {
    local file
    for file in "$@"; do
        [[ -e $file ]] || fail "$file was not built"
        readelf -h "$file" | grep -q 'Machine: *AArch64' || fail "$file is not for AArch64"
    done
}

command -v aarch64-linux-gnu-gcc >/dev/null || fail "no cross compiler"
[[ $(cat "$sysroot/complete" 2>/dev/null) = "${packages[*]}" ]] || make_sysroot
cmake -S "$OTP_SOURCE" -B "$build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$OTP_SOURCE/cmake/arm64.cmake" \
    -DOTELPROF_SYSROOT="$sysroot" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DOTELPROF_TESTS=OFF -DOTELPROF_EXAMPLES=OFF
cmake --build "$build" -j "$(nproc)"

expect_arm64 "$build"/src/libotelprof.so "$build"/src/tool/otelprof "$build"/src/preload/libotelprof-preload.so \
    "$build"/src/network/libotelprof-network.so
readelf -h "$build/bpf/otelprof.bpf.o" | grep -q 'Machine: *Linux BPF' || fail "otelprof.bpf.o is no BPF object"
cmp -s "$build/bpf/otelprof.bpf.o" "$OTP_BUILD/bpf/otelprof.bpf.o" && fail "the BPF object is that of x86-64"
OTP_BUILD=$build OTP_CROSS=aarch64-linux-gnu- "$OTP_SOURCE/tests/exports/check.sh"

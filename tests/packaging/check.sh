#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a prefix of its own, moves it, builds a user's program in five ways, and runs each as a plain user.
# Needs OTP_BUILD and OTP_SOURCE. `check.sh --update` writes the list of installed files anew.
set -euo pipefail
here=$OTP_SOURCE/tests/packaging
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

fail() {
    echo "packaging: $*"
    exit 1
}

cmake --install "$OTP_BUILD" --prefix "$work/first" >/dev/null
files=$(cd "$work/first" && find . \( -type f -o -type l \) | sed 's#^\./##' | LC_ALL=C sort)
if [[ ${1:-} = --update ]]; then
    printf '%s\n' "$files" >"$here/installed.txt"
fi
diff -u --label 'checked in: installed.txt' --label installed "$here/installed.txt" <(printf '%s\n' "$files") ||
    fail "the list of installed files differs"
mv "$work/first" "$work/prefix" # nothing may remember where it was installed
grep -rlF "$work/first" "$work/prefix" && fail "these files remember where they were installed"

prefix=$work/prefix
libraries=$(dirname "$(find "$prefix" -name 'libotelprof.so')")
export PKG_CONFIG_PATH=$libraries/pkgconfig
flags=(-std=c11 -Wall -Wextra -Werror)
read -ra cflags <<<"$(pkg-config --cflags otelprof)"
read -ra shared <<<"$(pkg-config --libs otelprof)"
read -ra static <<<"$(pkg-config --libs --static otelprof | sed 's/-lotelprof/-l:libotelprof.a/')"
gcc "${flags[@]}" "${cflags[@]}" -o "$work/pc_shared" "$here/user/main.c" "${shared[@]}"
gcc "${flags[@]}" "${cflags[@]}" -o "$work/pc_static" "$here/user/main.c" "${static[@]}"
# Nothing shared at all. The linker says of dlsym() and getaddrinfo() that they want the C library's shared objects.
gcc "${flags[@]}" "${cflags[@]}" -static -o "$work/all_static" "$here/user/main.c" "${static[@]}" 2>"$work/all_static.txt" ||
    fail "all static: $(tail -n 5 "$work/all_static.txt")"
cmake -S "$here/user" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
cp "$work"/cmake/user_{shared,static} "$work"

as_plain_user=()
[[ $(id -u) = 0 ]] && as_plain_user=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
version=$(pkg-config --modversion otelprof)
for program in pc_shared pc_static user_shared user_static all_static; do
    needs=$(readelf -d "$work/$program" | grep -c 'NEEDED.*libotelprof' || true)
    [[ $program = *static ]] && wanted=0 || wanted=1
    [[ $needs = "$wanted" ]] || fail "$program: needs the shared library: $needs, expected $wanted"
    output=$(cd / && LD_LIBRARY_PATH=$libraries "${as_plain_user[@]}" timeout 60 "$work/$program" 2>&1) ||
        fail "$program: status $?: $output"
    [[ $output = "$version $version 0" ]] || fail "$program printed \"$output\""
    echo "$program: $output"
done
"${as_plain_user[@]}" "$prefix/bin/otelprof" --version

# Where eBPF works: each finds the network exporter, but for the one with nothing shared, which profiles itself to files.
if [[ $(id -u) = 0 ]] && "$prefix/bin/otelprof" doctor >/dev/null 2>&1; then
    export OTELPROF_LOG=stderr OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9
    for program in pc_shared pc_static user_shared user_static; do
        output=$(LD_LIBRARY_PATH=$libraries "$work/$program" 2>&1) || fail "$program to the network: status $?: $output"
        [[ $output = *"to the network"* ]] || fail "$program does not find the network exporter: $output"
    done
    output=$("$work/all_static" 2>&1) || fail "all static to the network: status $?: $output"
    [[ $output = *"nothing shared cannot load"* ]] || fail "all static, and would load the network exporter: $output"
    unset OTEL_EXPORTER_OTLP_ENDPOINT
    OTELPROF_OUTPUT_DIR=$work/profiles "$work/all_static" profile || fail "all static: no profile of itself"
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
# One BPF object, every kernel: the running one, and Debian's 6.1 (plain, fully preemptible, PREEMPT_RT) under qemu.
# On each, stacks of recursion, qsort callbacks, libcrypto and a library loaded on the way are compared frame by
# frame with libdw's unwinder on registers and stack that the kernel recorded at the same instants. In one of them a
# CPU goes away and comes back as well.
set -u
stacks=${OTP_KERNEL_STACKS:-10000}
guest=$OTP_BUILD/tests/integration/kernel_guest
cache=${OTP_KERNEL_CACHE:-$OTP_SOURCE/build/kernels}
results=$OTP_WORK/results
: > "$results"

# Puts the guest programs, the libraries that they need, and libcrypto into an initial RAM disk.
make_initrd() {
    local root=$OTP_WORK/initrd library
    mkdir -p "$root/lib64" "$root/lib/x86_64-linux-gnu" "$root/tmp"
    cp "$guest" "$root/init"
    cp "$OTP_BUILD/tests/integration/hotplug_guest" "$root/hotplug"
    {
        ldd "$guest"
        ldd "$root/hotplug"
        ldd "$(ldconfig -p | awk '/libcrypto\.so\.3 .*x86-64/ { print $NF; exit }')"
        ldconfig -p | awk '/libcrypto\.so\.3 .*x86-64/ { print "x =>", $NF; exit }'
    } | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) { print $i; break } }' | sort -u | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
    mkdir -p "$root/etc"
    printf '/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n' > "$root/etc/ld.so.conf"
    (cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) > "$OTP_WORK/initrd.gz"
}

# fetch_kernel FLAVOUR: prints the path of the kernel image of Debian's newest 6.1 of that flavour.
fetch_kernel() {
    local meta=linux-image-$1-amd64 package
    package=$(apt-cache depends "$meta" 2>/dev/null | awk '/Depends:/ { print $2; exit }')
    [ -n "$package" ] || return 1
    if [ ! -d "$cache/$package" ]; then
        mkdir -p "$cache/$package.part"
        (cd "$cache" && apt-get -qq download "$package" && dpkg -x "$package"_*.deb "$package.part" &&
            mv "$package.part" "$package" && rm -f "$package"_*.deb) > "$OTP_WORK/fetch-$1.log" 2>&1 || return 1
    fi
    ls "$cache/$package"/boot/vmlinuz-* 2>/dev/null
}

# run_guest NAME IMAGE KERNEL_OPTIONS
run_guest() {
    local log=$OTP_WORK/guest-$1.log
    timeout 600 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2048 -nographic -no-reboot -kernel "$2" \
        -initrd "$OTP_WORK/initrd.gz" -append "console=ttyS0 quiet panic=-1 stacks=$stacks $3" \
        < /dev/null > "$log" 2>&1
    tr -d '\r' < "$log" | grep -aE 'RESULT' | tail -n 1 | sed "s/.*RESULT/$1 RESULT/" >> "$results"
    grep -qa "^$1 RESULT .*GOOD" "$results" || { echo "-- $1:"; tail -n 30 "$log"; return 1; }
}

failed=0
"$guest" "$stacks" > "$OTP_WORK/native.log" 2>&1 || { failed=1; tail -n 40 "$OTP_WORK/native.log"; }
grep RESULT "$OTP_WORK/native.log" | sed 's/^RESULT/running RESULT/' >> "$results"

if ! command -v qemu-system-x86_64 > /dev/null || ! command -v cpio > /dev/null; then
    echo "qemu-system-x86 or cpio is missing: other kernels cannot be tried"
    [ "$failed" = 0 ] && exit 77
    exit 1
fi
make_initrd
for flavour in cloud rt; do
    image=$(fetch_kernel "$flavour")
    if [ -z "$image" ]; then
        echo "Debian's 6.1 kernel ($flavour) could not be fetched"
        failed=1
        continue
    fi
    run_guest "6.1-$flavour" "$image" "" || failed=1
    [ "$flavour" = cloud ] || continue
    run_guest 6.1-cloud-preempt-full "$image" preempt=full || failed=1
    run_guest 6.1-cloud-hotplug "$image" rdinit=/hotplug || failed=1
done

printf '\n%-24s %s\n' kernel result
sed 's/ RESULT / /' "$results" | awk '{ name = $1; $1 = ""; printf "%-24s%s\n", name, $0 }'
exit "$failed"

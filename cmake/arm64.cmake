# SPDX-License-Identifier: Apache-2.0
# Cross-compilation to arm64 with Debian's gcc-aarch64-linux-gnu:
#   cmake -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake -DOTELPROF_SYSROOT=FOLDER ...
# FOLDER holds the unpacked arm64 packages of the libraries (tests/packaging/arm64.sh makes one).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(OTELPROF_SYSROOT "" CACHE PATH "Unpacked arm64 packages")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES OTELPROF_SYSROOT)
set(CMAKE_FIND_ROOT_PATH ${OTELPROF_SYSROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(ENV{PKG_CONFIG_LIBDIR} ${OTELPROF_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${OTELPROF_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${OTELPROF_SYSROOT})
# What a library of the sysroot needs is in the sysroot.
string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT
    " -Wl,-rpath-link,${OTELPROF_SYSROOT}/usr/lib/aarch64-linux-gnu:${OTELPROF_SYSROOT}/lib/aarch64-linux-gnu")
string(APPEND CMAKE_SHARED_LINKER_FLAGS_INIT
    " -Wl,-rpath-link,${OTELPROF_SYSROOT}/usr/lib/aarch64-linux-gnu:${OTELPROF_SYSROOT}/lib/aarch64-linux-gnu")

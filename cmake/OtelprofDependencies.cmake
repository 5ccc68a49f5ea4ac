# SPDX-License-Identifier: Apache-2.0
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBBPF REQUIRED libbpf>=1.1)
pkg_check_modules(LIBELF REQUIRED IMPORTED_TARGET libelf)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
if(OTELPROF_NETWORK)
    pkg_check_modules(LIBCURL REQUIRED IMPORTED_TARGET libcurl>=7.87) # CURLOPT_QUICK_EXIT
endif()

# What is linked for an optional part of the library: nothing, where it is left out.
set(OTELPROF_DWARF_LIBRARY)
if(OTELPROF_DWARF)
    pkg_check_modules(LIBDW IMPORTED_TARGET libdw)
    if(NOT LIBDW_FOUND)
        message(FATAL_ERROR "libdw is missing (Debian: libdw-dev). Install it, or configure with -DOTELPROF_DWARF=OFF: "
            "functions are named then, files, lines and inlined callers are not.")
    endif()
    set(OTELPROF_DWARF_LIBRARY PkgConfig::LIBDW)
endif()

find_program(OTELPROF_CLANG NAMES clang-14 clang REQUIRED)
find_program(OTELPROF_LLVM_STRIP NAMES llvm-strip-14 llvm-strip REQUIRED)
find_program(OTELPROF_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)
find_program(OTELPROF_PROTOC NAMES protoc REQUIRED)
find_program(OTELPROF_PROTOC_C NAMES protoc-gen-c protoc-c REQUIRED)

# libbpf goes into our objects, hidden: its print callback is process-wide, and a user installs one .so. The archive
# that distributions ship is not made for shared objects (a direct reference to the C library's stderr), so a copy
# of it gets a variable of ours instead, and an allocator that gives large blocks back (src/capture/libbpf_host.c).
find_library(OTELPROF_LIBBPF_ARCHIVE NAMES libbpf.a HINTS ${LIBBPF_LIBRARY_DIRS} REQUIRED)
set(OTELPROF_LIBBPF_COPY ${CMAKE_BINARY_DIR}/libotelprof-bpf.a)
add_custom_command(
    OUTPUT ${OTELPROF_LIBBPF_COPY}
    COMMAND ${CMAKE_OBJCOPY} --redefine-sym stderr=otelprof_bpf_stderr --redefine-sym malloc=otelprof_bpf_malloc
        --redefine-sym calloc=otelprof_bpf_calloc --redefine-sym realloc=otelprof_bpf_realloc
        --redefine-sym free=otelprof_bpf_free ${OTELPROF_LIBBPF_ARCHIVE} ${OTELPROF_LIBBPF_COPY}
    DEPENDS ${OTELPROF_LIBBPF_ARCHIVE}
    VERBATIM)
add_custom_target(otelprof_libbpf_copy DEPENDS ${OTELPROF_LIBBPF_COPY})

# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: one shared library, one archive, headers, the program and its preload object, a
# pkg-config module, a CMake package, and the licences.
include(CMakePackageConfigHelpers)

# The archive for users is one object: ours and the parts of libbpf that we use, with all names local but the exported
# ones, so that a program may link a libbpf of its own beside it. (otelprof_static, of many objects, is for the tests.)
if(NOT OTELPROF_SANITIZE)
    set(dist ${CMAKE_BINARY_DIR}/dist)
    file(MAKE_DIRECTORY ${dist})
    file(STRINGS ${CMAKE_SOURCE_DIR}/src/otelprof.map exports REGEX "^ +[a-z_0-9]+;")
    list(TRANSFORM exports REPLACE "[ ;]" "")
    list(JOIN exports "\n" exports)
    file(GENERATE OUTPUT ${dist}/exports.txt CONTENT "${exports}\n")
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
        ${CMAKE_SOURCE_DIR}/src/otelprof.map)
    add_custom_command(
        OUTPUT ${dist}/libotelprof.a
        COMMAND ${CMAKE_COMMAND} -E rm -f ${dist}/libotelprof.a
        COMMAND ${CMAKE_LINKER} -r -o ${dist}/otelprof.o
            --whole-archive $<TARGET_FILE:otelprof_static> --no-whole-archive ${OTELPROF_LIBBPF_COPY}
        COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${dist}/exports.txt ${dist}/otelprof.o
        COMMAND ${CMAKE_AR} qcs ${dist}/libotelprof.a ${dist}/otelprof.o
        DEPENDS otelprof_static ${OTELPROF_LIBBPF_COPY} ${dist}/exports.txt
        VERBATIM)
    add_custom_target(otelprof_archive ALL DEPENDS ${dist}/libotelprof.a)
    install(FILES ${dist}/libotelprof.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

install(TARGETS otelprof_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET otelprof_network)
    install(TARGETS otelprof_network LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET otelprof_preload)
    install(TARGETS otelprof_preload LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET otelprof_tool)
    install(TARGETS otelprof_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/otelprof DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES ${CMAKE_BINARY_DIR}/include/otelprof/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/otelprof)

# What those who link the archive link beside it. In otelprof.pc libdw is no module, because its own one asks static
# users for the development files of bzip2, which the shared libdw that we link does not need.
set(OTELPROF_PC_LIBS_PRIVATE "-lm -pthread")
set(OTELPROF_ARCHIVE_NEEDS elf protobuf-c z m Threads::Threads)
if(OTELPROF_DWARF)
    string(PREPEND OTELPROF_PC_LIBS_PRIVATE "-ldw ")
    list(PREPEND OTELPROF_ARCHIVE_NEEDS dw)
endif()

# Relative to where it stands: the tree can be moved, and --prefix works at installation.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH OTELPROF_PC_TO_PREFIX /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" OTELPROF_PC_TO_PREFIX ${OTELPROF_PC_TO_PREFIX})
configure_file(${CMAKE_SOURCE_DIR}/pkgconfig/otelprof.pc.in ${CMAKE_BINARY_DIR}/otelprof.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/otelprof.pc DESTINATION ${pkgconfig_dir})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/otelprof)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/otelprofConfig.cmake.in ${CMAKE_BINARY_DIR}/otelprofConfig.cmake
    INSTALL_DESTINATION ${package_dir}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/otelprofConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/otelprofConfig.cmake ${CMAKE_BINARY_DIR}/otelprofConfigVersion.cmake
    DESTINATION ${package_dir})

install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/bpf/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}/bpf)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/LICENSES DESTINATION ${CMAKE_INSTALL_DOCDIR})

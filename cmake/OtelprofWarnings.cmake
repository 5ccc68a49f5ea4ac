# SPDX-License-Identifier: Apache-2.0
# Every target of ours is compiled with these; warnings are errors.
add_library(otelprof_warnings INTERFACE)
target_compile_options(otelprof_warnings INTERFACE
    -Wall -Wextra -Wshadow -Wformat=2 -Wundef -Wvla -Wwrite-strings -Wpointer-arith -Werror
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>
    -fno-omit-frame-pointer)

if(OTELPROF_SANITIZE)
    target_compile_options(otelprof_warnings INTERFACE -fsanitize=${OTELPROF_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(otelprof_warnings INTERFACE -fsanitize=${OTELPROF_SANITIZE})
endif()
if(OTELPROF_LIBFUZZER)
    target_compile_options(otelprof_warnings INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(otelprof_warnings INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(OTELPROF_SWAPPABLE_CALLS)
    target_compile_definitions(otelprof_warnings INTERFACE OTP_SYS_SWAPPABLE)
endif()

// SPDX-License-Identifier: Apache-2.0
/* Looks at a program before it is run: can the loader put the preload object into it? */
#ifndef OTP_TOOL_TARGET_H
#define OTP_TOOL_TARGET_H

#include <limits.h>

#include "tool/tool.h"

#define TOOL_TARGET_WORDS 16

struct tool_target {
    char path[PATH_MAX];            /* what to execute; a name found on PATH is written out */
    char *words[TOOL_TARGET_WORDS]; /* what stands for argv[0], from malloc() */
    int word_count;                 /* 0: argv[0] as it is */
    char reason[512];               /* why not, as half a sentence */
};

/*
 * Finds `program` as execvp() would. TOOL_OK; TOOL_NOT_FOUND or TOOL_NOT_EXECUTABLE as a shell says it; TOOL_USAGE
 * when it could be run but not be preloaded, with the reason.
 */
enum tool_exit tool_target_find(const char *program, struct tool_target *target);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Looks at a program before it is run: can the loader put the preload object into it? */
#ifndef OTP_TOOL_TARGET_H
#define OTP_TOOL_TARGET_H

#include <limits.h>

#include "tool/tool.h"

struct tool_target {
    char path[PATH_MAX];   /* what to execute; a name found on PATH is written out */
    char program[256];     /* for "#!/usr/bin/env NAME": NAME, which then runs `script`; else "" */
    char script[PATH_MAX]; /* the script of such a program; else "" */
    char reason[512];      /* why not, as half a sentence */
};

/*
 * Finds `program` as execvp() would. TOOL_OK; TOOL_NOT_FOUND or TOOL_NOT_EXECUTABLE as a shell says it; TOOL_USAGE
 * when it could be run but not be preloaded, with the reason.
 */
enum tool_exit tool_target_find(const char *program, struct tool_target *target);

#endif

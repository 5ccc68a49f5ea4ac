// SPDX-License-Identifier: Apache-2.0
/* Command line of the program `otelprof`. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <otelprof/otelprof.h>

#include "tool/tool.h"

static const char main_help[] =
    "otelprof: CPU profiles of C and C++ services, linked to their spans\n"
    "\n"
    "  otelprof run [OPTIONS] -- PROGRAM ARGS   profile a program that was not changed\n"
    "  otelprof top [OPTIONS] FILE|DIR...       read profiles: functions, attributes, one trace\n"
    "  otelprof doctor                          what this machine allows, and what to do about the rest\n"
    "  otelprof help [COMMAND]                  this text, or that of a command\n"
    "  otelprof --version\n"
    "\n"
    "Exit status: 0 done; 1 nothing found, bad data, or profiling is not possible; 2 a mistake on the command\n"
    "line. `otelprof run` ends as PROGRAM ends.\n";

static const struct command {
    const char *name;
    int (*body)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"top", tool_top, tool_top_help},
    {"run", tool_run, tool_run_help},
    {"doctor", tool_doctor, tool_doctor_help},
};

static const struct command *find(const char *name) {
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

void tool_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("otelprof: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

int tool_usage(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "otelprof %s: ", command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (see `otelprof help %s`)\n", command);
    va_end(arguments);
    return TOOL_USAGE;
}

int tool_finish(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    tool_complain("cannot write the output: %s", strerror(errno));
    return TOOL_FAILED;
}

static int help(const char *name) {
    const struct command *command = name ? find(name) : NULL;
    if (name && !command) {
        tool_complain("there is no command '%s' (see `otelprof help`)", name);
        return TOOL_USAGE;
    }
    fputs(command ? command->help : main_help, stdout);
    return tool_finish(TOOL_OK);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(main_help, stderr);
        return TOOL_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("otelprof %s\n", otelprof_version());
        return tool_finish(TOOL_OK);
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    const struct command *command = find(name);
    if (!command)
        return help(name);
    return command->body(argc - 1, argv + 1);
}

// SPDX-License-Identifier: Apache-2.0
/* The program `otelprof`: its commands, and what they share. */
#ifndef OTP_TOOL_TOOL_H
#define OTP_TOOL_TOOL_H

/* Exit codes of the program itself; `run` becomes the program that it runs. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1, /* nothing found, bad data, or (doctor) profiling is not possible */
    TOOL_USAGE = 2,  /* the command line, or (run) a program that cannot be profiled */
    TOOL_NOT_EXECUTABLE = 126,
    TOOL_NOT_FOUND = 127,
};

/* Commands: argv[0] is the command's name. Each returns an exit code. */
int tool_top(int argc, char **argv);
int tool_run(int argc, char **argv);
int tool_doctor(int argc, char **argv);

/* Help of each command. */
extern const char tool_top_help[];
extern const char tool_run_help[];
extern const char tool_doctor_help[];

/* Writes "otelprof: MESSAGE" and a newline to stderr. */
void tool_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As tool_complain(), and says where help is. Returns TOOL_USAGE. */
int tool_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Flushes stdout. TOOL_FAILED with a message if something could not be written, else `code`. */
int tool_finish(int code);

#endif

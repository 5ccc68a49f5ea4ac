// SPDX-License-Identifier: Apache-2.0
/* `otelprof doctor`: what this machine allows this process, and what to do about the rest. */
#include "tool/doctor.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <otelprof/otelprof.h>

#include "tool/tool.h"

const char tool_doctor_help[] =
    "otelprof doctor\n"
    "\n"
    "Looks at what profiling by eBPF needs, tries it (for half a second, on itself), and says for each thing that is\n"
    "missing what to do. Run it as the service is run: same user, container and unit. It changes nothing and sends\n"
    "nothing.\n"
    "\n"
    "  -h, --help   this text\n"
    "\n"
    "Exit status: 0 profiling works; 1 it does not; 2 a mistake on the command line.\n";

static const char grant[] =
    "\nTo run a service with what it needs, and no more:\n"
    "  systemd      AmbientCapabilities=CAP_BPF CAP_PERFMON\n"
    "  a container  docker run --cap-add BPF --cap-add PERFMON ... (as root in it; the seccomp profile must allow bpf\n"
    "               and perf_event_open)\n"
    "  a shell      sudo setpriv --reuid USER --regid GROUP --init-groups --inh-caps +bpf,+perfmon \\\n"
    "                    --ambient-caps +bpf,+perfmon PROGRAM ARGS\n"
    "File capabilities (setcap) give the same, but hide the environment and preloaded objects from the program.\n";

void doctor_line(enum doctor_mark mark, const char *name, const char *advice, const char *state, ...) {
    static const char *const marks[] = {"ok", "note", "MISSING"};
    va_list arguments;
    va_start(arguments, state);
    printf("  %-8s %-20s ", marks[mark], name);
    vprintf(state, arguments);
    putchar('\n');
    va_end(arguments);
    if (advice)
        printf("  %-8s %-20s   do: %s\n", "", "", advice);
}

static int parse(int argc, char **argv, bool *help) {
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    optind = 1;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (option != 'h')
            return tool_usage("doctor", "there is no option %s", argv[optind - 1]);
        *help = true;
    }
    return optind < argc && !*help ? tool_usage("doctor", "it takes no argument, not '%s'", argv[optind]) : TOOL_OK;
}

int tool_doctor(int argc, char **argv) {
    bool help = false;
    int code = parse(argc, argv, &help);
    if (code != TOOL_OK)
        return code;
    if (help) {
        fputs(tool_doctor_help, stdout);
        return tool_finish(TOOL_OK);
    }
    printf("otelprof %s\n\nThis build\n", otelprof_version());
    doctor_build();
    doctor_network();
    puts("\nThis process");
    doctor_process();
    puts("\nThis machine");
    doctor_machine();
    puts("\nSettings in the environment");
    doctor_settings();
    puts("\nTried");
    fflush(stdout); /* a seccomp filter may end us here */
    bool works = doctor_try();
    printf("\nProfiling by eBPF %s here.\n", works ? "works" : "does not work");
    if (!works)
        fputs(grant, stdout);
    return tool_finish(works ? TOOL_OK : TOOL_FAILED);
}

// SPDX-License-Identifier: Apache-2.0
/* `otelprof run`: becomes the program, with the preload object and the settings in its environment. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/environment.h"
#include "tool/target.h"
#include "tool/tool.h"

const char tool_run_help[] =
    "otelprof run [OPTIONS] -- PROGRAM ARGS\n"
    "\n"
    "Runs PROGRAM with the profiler inside it: no change to the program. Its output, exit status and signals are\n"
    "its own. Profiles go to a directory as OTLP files, one a window; read them with `otelprof top DIR`; or to a\n"
    "receiver of OTLP.\n"
    "\n"
    "  -o, --out DIR        where profiles go as files (default: $OTELPROF_OUTPUT_DIR, else ./otelprof-out unless a\n"
    "                       receiver is named)\n"
    "  -e, --endpoint URL   the receiver, such as http://localhost:4317 (default: $OTELPROF_ENDPOINT,\n"
    "                       $OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT or $OTEL_EXPORTER_OTLP_ENDPOINT)\n"
    "  -r, --rate HZ        CPU samples a second on each CPU, 1 to 10000 (default 99)\n"
    "  -w, --window MS      length of one file, 100 to 600000 ms (default 10000)\n"
    "  -s, --service NAME   service.name in the profiles (default unknown_service:PROGRAM)\n"
    "  -p, --profiles LIST  what to take, separated by commas: cpu,wall,heap,lock,threads\n"
    "                       (default: all)\n"
    "  -d, --detail DETAIL  full (default), named or merged: how much each sample keeps\n"
    "      --no-follow      do not profile the processes that PROGRAM forks\n"
    "      --children       profile the programs that it executes too, and those that they execute\n"
    "  -q, --quiet          say nothing when profiling is not possible\n"
    "  -h, --help           this text\n"
    "\n"
    "Processes that PROGRAM forks are profiled too, each with files of its own: at once when they run as root with\n"
    "CAP_BPF and CAP_PERFMON, else after 200 ms of life. The directory must stay writable for a process that gives up\n"
    "its user. When PROGRAM itself becomes another program by exec (a script that ends in `exec SERVER`, env, "
    "setpriv)\n"
    "the profile goes on in that one; a program that a forked process executes is left alone, unless --children, "
    "which\n"
    "leaves the settings in the environment: each program below decides by itself.\n"
    "Each process samples every CPU for itself: at 99 Hz about 0.12 % of all CPUs, 11 descriptors and 1.7 MiB of\n"
    "kernel memory. Give a server with N busy workers --rate 99/N. A followed fork takes 0.1 ms longer; as root the\n"
    "child starts 60 ms later, since its profiler starts first.\n"
    "The last window is written when a process returns from main, calls exit() or executes another program; _exit()\n"
    "(dash, Debian's /bin/sh, ends so) and fatal signals lose it.\n"
    "Programs that the loader does not preload into are refused: statically linked, set-user-ID, set-group-ID,\n"
    "with file capabilities, for musl or for another machine. A script counts as its interpreter. When such a one is\n"
    "executed later, it runs without the profiler.\n"
    "\n"
    "Exit status: that of PROGRAM; 2 a mistake on the command line, or a program that is refused; 126 PROGRAM\n"
    "cannot be executed; 127 it was not found.\n";

enum { OPTION_NO_FOLLOW = 256, OPTION_CHILDREN };

static const struct option long_options[] = {
    {"out", required_argument, NULL, 'o'},
    {"rate", required_argument, NULL, 'r'},
    {"window", required_argument, NULL, 'w'},
    {"service", required_argument, NULL, 's'},
    {"profiles", required_argument, NULL, 'p'},
    {"detail", required_argument, NULL, 'd'},
    {"endpoint", required_argument, NULL, 'e'},
    {"children", no_argument, NULL, OPTION_CHILDREN},
    {"no-follow", no_argument, NULL, OPTION_NO_FOLLOW},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct run_options {
    const char *out, *endpoint, *rate, *window, *service, *profiles, *detail;
    bool follow, children, quiet, help;
};

static bool number_within(const char *text, long low, long high) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && value >= low && value <= high;
}

/* Names separated by commas. TOOL_OK when this release takes them all. */
static int check_profiles(const char *list) {
    static const char *const taken[] = {"cpu", "wall", "heap", "lock", "threads"};
    for (const char *name = list;; name++) {
        size_t length = strcspn(name, ","), i = 0, count = sizeof(taken) / sizeof(taken[0]);
        while (i < count && (strlen(taken[i]) != length || strncmp(name, taken[i], length) != 0))
            i++;
        if (i == count)
            return tool_usage("run", "profiles are cpu, wall, heap, lock and threads, not '%.*s'", (int)length, name);
        name += length;
        if (!*name)
            return TOOL_OK;
    }
}

/* As the library takes it: a URL or HOST:PORT. */
static bool is_endpoint(const char *text) {
    size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
    return scheme ? text[scheme] != 0 : *text && !strstr(text, "://");
}

static int check(const struct run_options *options) {
    const char *detail = options->detail;
    if (options->rate && !number_within(options->rate, 1, 10000))
        return tool_usage("run", "--rate is 1 to 10000 samples a second, not '%s'", options->rate);
    if (options->window && !number_within(options->window, 100, 600000))
        return tool_usage("run", "--window is 100 to 600000 ms, not '%s'", options->window);
    if (detail && strcmp(detail, "full") != 0 && strcmp(detail, "named") != 0 && strcmp(detail, "merged") != 0)
        return tool_usage("run", "--detail is full, named or merged, not '%s'", detail);
    if (options->endpoint && !is_endpoint(options->endpoint)) /* not repeated: it may hold a password */
        return tool_usage("run", "--endpoint is http://HOST[:PORT], https://HOST[:PORT] or HOST:PORT");
    if ((options->out && !*options->out) || (options->service && !*options->service))
        return tool_usage("run", "--out and --service must not be empty");
    return options->profiles ? check_profiles(options->profiles) : TOOL_OK;
}

static int parse(int argc, char **argv, struct run_options *options) {
    *options = (struct run_options){.follow = true};
    optind = 1;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+:o:e:r:w:s:p:d:qh", long_options, NULL)) != -1;) {
        switch (option) {
        case 'o':
            options->out = optarg;
            break;
        case 'e':
            options->endpoint = optarg;
            break;
        case OPTION_CHILDREN:
            options->children = true;
            break;
        case 'r':
            options->rate = optarg;
            break;
        case 'w':
            options->window = optarg;
            break;
        case 's':
            options->service = optarg;
            break;
        case 'p':
            options->profiles = optarg;
            break;
        case 'd':
            options->detail = optarg;
            break;
        case OPTION_NO_FOLLOW:
            options->follow = false;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'h':
            options->help = true;
            break;
        case ':':
            return tool_usage("run", "%s needs a value", argv[optind - 1]);
        default:
            return tool_usage("run", "there is no option %s", argv[optind - 1]);
        }
    }
    if (options->help)
        return TOOL_OK;
    if (optind >= argc)
        return tool_usage("run", "no program is named");
    return check(options);
}

/* The directory of this program, with a slash. */
static bool own_directory(char path[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        slash[1] = '\0';
    return slash != NULL;
}

/* Finds the preload object: $OTELPROF_PRELOAD, as installed, in the build tree, or beside this program. */
static bool find_preload(char path[PATH_MAX]) {
    static const char *const places[] = {OTP_TOOL_PRELOAD_INSTALLED, ("../preload/" OTP_PRELOAD_NAME),
                                         OTP_PRELOAD_NAME};
    char directory[PATH_MAX], candidate[PATH_MAX];
    const char *named = getenv("OTELPROF_PRELOAD");
    if (named && *named) {
        if (realpath(named, path))
            return true;
        tool_complain("OTELPROF_PRELOAD=%s: %s", named, strerror(errno));
        return false;
    }
    if (!own_directory(directory)) {
        tool_complain("cannot tell where this program is (is /proc mounted?); set OTELPROF_PRELOAD to %s",
                      OTP_PRELOAD_NAME);
        return false;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int size = snprintf(candidate, sizeof(candidate), "%s%s", directory, places[i]);
        if (size > 0 && size < PATH_MAX && realpath(candidate, path))
            return true;
    }
    tool_complain("%s is neither at %s%s nor beside this program; set OTELPROF_PRELOAD to it", OTP_PRELOAD_NAME,
                  directory, places[0]);
    return false;
}

/* Names of the variables that were set, for the preload object to undo. */
static char set_names[512];

/* Sets a variable, and keeps what it was. */
static bool set(const char *name, const char *value) {
    char old_name[128];
    const char *old = getenv(name);
    snprintf(old_name, sizeof(old_name), OTP_RUN_OLD "%s", name);
    size_t used = strlen(set_names);
    int size = snprintf(set_names + used, sizeof(set_names) - used, "%s%s", used ? ":" : "", name);
    if (size < 0 || (size_t)size >= sizeof(set_names) - used)
        return false;
    return (!old || setenv(old_name, old, 1) == 0) && setenv(name, value, 1) == 0;
}

static bool set_preload(const char *path) {
    const char *old = getenv("LD_PRELOAD");
    size_t size = strlen(path) + (old ? strlen(old) : 0) + 2;
    char *value = malloc(size);
    if (!value)
        return false;
    snprintf(value, size, "%s%s%s", path, old && *old ? ":" : "", old ? old : "");
    bool done = setenv("LD_PRELOAD", value, 1) == 0;
    free(value);
    return done;
}

/* Makes the directory and its parents. Profiles show what a program does: nobody else reads them. */
static bool make_directory(const char *path) {
    char part[PATH_MAX];
    struct stat status;
    for (size_t i = 1; path[i - 1]; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && (errno != EACCES || stat(part, &status) != 0))
            return false;
    }
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        errno = ENOTDIR;
    else if (access(path, W_OK | X_OK) == 0)
        return true;
    return false;
}

static bool has_value(const char *variable) {
    const char *value = getenv(variable);
    return value && *value;
}

static bool receiver_named(const struct run_options *options) {
    return options->endpoint || has_value("OTELPROF_ENDPOINT") || has_value("OTEL_EXPORTER_OTLP_ENDPOINT") ||
           has_value("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT");
}

/* The output directory, absolute: the program may go elsewhere. None by default when there is a receiver. */
static bool set_output(const struct run_options *options) {
    char path[PATH_MAX];
    const char *directory = options->out;
    if (!directory && has_value("OTELPROF_OUTPUT_DIR"))
        directory = getenv("OTELPROF_OUTPUT_DIR");
    if (!directory && receiver_named(options))
        return true;
    if (!directory)
        directory = "otelprof-out";
    int size;
    if (*directory == '/') {
        size = snprintf(path, sizeof(path), "%s", directory);
    } else {
        char *here = getcwd(NULL, 0);
        size = snprintf(path, sizeof(path), "%s/%s", here ? here : ".", directory);
        free(here);
    }
    if (size < 0 || size >= PATH_MAX) {
        tool_complain("the name of the output directory is too long");
        return false;
    }
    if (!make_directory(path)) {
        tool_complain("cannot write profiles into %s: %s", path, strerror(errno));
        return false;
    }
    return set("OTELPROF_OUTPUT_DIR", path);
}

static bool set_environment(const struct run_options *options, const char *preload) {
    if (!set_output(options))
        return false;
    bool done =
        (!options->endpoint || set("OTELPROF_ENDPOINT", options->endpoint)) &&
        (!options->children || set(OTP_RUN_CHILDREN, "1")) && (!options->rate || set("OTELPROF_RATE", options->rate)) &&
        (!options->window || set("OTELPROF_WINDOW_MS", options->window)) &&
        (!options->service || set("OTEL_SERVICE_NAME", options->service)) &&
        (!options->profiles || set("OTELPROF_PROFILES", options->profiles)) &&
        (!options->detail || set("OTELPROF_DETAIL", options->detail)) &&
        (!options->quiet || set("OTELPROF_QUIET", "1")) && set("OTELPROF_FORK", options->follow ? "follow" : "off") &&
        setenv(OTP_RUN_SET, set_names, 1) == 0 && set_preload(preload);
    if (!done)
        tool_complain("cannot prepare the environment: %s", strerror(errno));
    return done;
}

/* Executes the target; returns only when that fails. `arguments` begins with the program and ends with NULL. */
static int become(struct tool_target *target, char **arguments, int count) {
    char **list = calloc((size_t)count + TOOL_TARGET_WORDS + 1, sizeof(*list));
    if (!list) {
        tool_complain("out of memory");
        return TOOL_FAILED;
    }
    int used = 0;
    for (int i = 0; i < target->word_count; i++)
        list[used++] = target->words[i];
    if (used == 0)
        list[used++] = arguments[0];
    for (int i = 1; i < count; i++)
        list[used++] = arguments[i];
    execvp(target->path, list); /* the path has a slash: no search, but a text without "#!" goes to the shell */
    int error = errno;
    tool_complain("cannot execute %s: %s", target->path, strerror(error));
    free(list);
    return error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE;
}

int tool_run(int argc, char **argv) {
    struct run_options options;
    int code = parse(argc, argv, &options);
    if (code != TOOL_OK)
        return code;
    if (options.help) {
        fputs(tool_run_help, stdout);
        return tool_finish(TOOL_OK);
    }
    static struct tool_target target;
    code = (int)tool_target_find(argv[optind], &target);
    if (code != TOOL_OK) {
        tool_complain("%s %s: %s", code == TOOL_USAGE ? "cannot profile" : "cannot run", argv[optind], target.reason);
        return code;
    }
    static char preload[PATH_MAX];
    if (!find_preload(preload))
        return TOOL_FAILED;
    if (strpbrk(preload, ": ")) {
        tool_complain("LD_PRELOAD cannot hold a path with a space or a colon: %s", preload);
        return TOOL_FAILED;
    }
    if (!set_environment(&options, preload))
        return TOOL_USAGE;
    return become(&target, argv + optind, argc - optind);
}

// SPDX-License-Identifier: Apache-2.0
#include "tool/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/image.h"

__attribute__((format(printf, 3, 4))) static enum tool_exit refuse(struct tool_target *target, enum tool_exit code,
                                                                   const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(target->reason, sizeof(target->reason), format, arguments);
    va_end(arguments);
    return code;
}

/* Copies a string that may be cut. */
static void copy(char *out, size_t size, const char *text) {
    size_t length = strnlen(text, size - 1);
    memcpy(out, text, length);
    out[length] = '\0';
}

static bool runnable(const char *path, int *error) {
    struct stat status;
    if (stat(path, &status) != 0)
        *error = errno;
    else if (!S_ISREG(status.st_mode))
        *error = S_ISDIR(status.st_mode) ? EISDIR : EACCES;
    else if (access(path, X_OK) != 0)
        *error = errno;
    else
        *error = 0;
    return *error == 0;
}

/* Writes the path of `name` into `out`. 0, or the error number that matters most: EACCES before ENOENT. */
static int look_up(const char *name, char out[PATH_MAX]) {
    int error = ENOENT, worst = ENOENT;
    if (strlen(name) >= PATH_MAX)
        return ENAMETOOLONG;
    if (strchr(name, '/') || !*name) {
        copy(out, PATH_MAX, name);
        return runnable(out, &error) ? 0 : error;
    }
    const char *path = getenv("PATH");
    for (path = path ? path : "/bin:/usr/bin";;) {
        size_t length = strcspn(path, ":");
        int size = snprintf(out, PATH_MAX, "%.*s%s%s", (int)length, path, length ? "/" : "./", name);
        if (size > 0 && size < PATH_MAX) {
            if (runnable(out, &error))
                return 0;
            if (error == EACCES)
                worst = EACCES;
        }
        if (!path[length])
            return worst;
        path += length + 1;
    }
}

/* Why a program cannot be profiled. */
static enum tool_exit refuse_program(struct tool_target *target, const struct otp_image *image, const char *path) {
    switch (image->kind) {
    case OTP_IMAGE_UNREADABLE:
        return refuse(target, TOOL_USAGE, "%s cannot be read, so that it cannot be checked: %s", path, strerror(errno));
    case OTP_IMAGE_SET_USER_ID:
    case OTP_IMAGE_SET_GROUP_ID:
        return refuse(target, TOOL_USAGE, "it is set-%s-ID, and the loader ignores preloaded objects in such programs",
                      image->kind == OTP_IMAGE_SET_USER_ID ? "user" : "group");
    case OTP_IMAGE_CAPABILITIES:
        return refuse(target, TOOL_USAGE,
                      "it has file capabilities (setcap), and the loader ignores preloaded objects in such programs; "
                      "give them as ambient capabilities");
    case OTP_IMAGE_STATIC:
        return refuse(target, TOOL_USAGE,
                      "it is statically linked (no PT_INTERP), so nothing can be preloaded; link it with libotelprof "
                      "instead");
    case OTP_IMAGE_MUSL:
        return refuse(target, TOOL_USAGE, "it is built for musl (loader %s); otelprof needs glibc", image->text);
    case OTP_IMAGE_FOREIGN:
        return refuse(target, TOOL_USAGE, "it is made for another machine (ELF class %u, machine %u) than otelprof",
                      image->elf_class, image->elf_machine);
    case OTP_IMAGE_SHORT:
        return refuse(target, TOOL_NOT_EXECUTABLE, "it is too short for a program");
    case OTP_IMAGE_OBJECT:
        return refuse(target, TOOL_NOT_EXECUTABLE, "it is an object file, not a program");
    case OTP_IMAGE_DAMAGED:
        return refuse(target, TOOL_NOT_EXECUTABLE, "its program headers are damaged");
    default:
        return refuse(target, TOOL_NOT_EXECUTABLE, "it is neither a program nor a script");
    }
}

/* Puts up to three words in the place of the first: what the kernel does when it starts an interpreter. */
static enum tool_exit replace_first(struct tool_target *target, const char *first, const char *second,
                                    const char *third) {
    const char *new[] = {first, second, third};
    char *words[TOOL_TARGET_WORDS];
    int count = 0;
    for (int i = 0; i < 3; i++) {
        char *copied = new[i] ? strdup(new[i]) : NULL;
        if (new[i] && !copied) {
            while (count > 0)
                free(words[--count]);
            return refuse(target, TOOL_FAILED, "out of memory");
        }
        if (copied)
            words[count++] = copied;
    }
    for (int i = 1; i < target->word_count && count < TOOL_TARGET_WORDS; i++)
        words[count++] = target->words[i];
    if (target->word_count)
        free(target->words[0]);
    memcpy(target->words, words, (size_t)count * sizeof(words[0]));
    target->word_count = count;
    return TOOL_OK;
}

/*
 * "#!/usr/bin/env NAME": NAME is found here and executed in the place of the script, which spares the start of a
 * profiler in env. With options or assignments, env itself is what runs. True: `*code` is the answer.
 */
static bool by_env(struct tool_target *target, const char *script, char *line, char path[PATH_MAX],
                   enum tool_exit *code) {
    char *name = otp_image_word(&line);
    if (!name || *name == '-' || strchr(name, '=') || otp_image_word(&line))
        return false;
    int error = look_up(name, path);
    if (error)
        *code = refuse(target, error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE, "the interpreter %s of %s: %s",
                       name, script, strerror(error));
    else
        *code = replace_first(target, name, script, NULL);
    return true;
}

/* Goes from the script `path` to the program that runs it; `line` is its first line without "#!". `*by_hand`: the words
 * must be executed in the place of the script. */
static enum tool_exit script_interpreter(struct tool_target *target, char *line, char path[PATH_MAX], bool *by_hand) {
    char script[PATH_MAX], words[PATH_MAX], *interpreter = otp_image_word(&line);
    int error = 0;
    enum tool_exit code;
    copy(script, sizeof(script), path);
    if (!interpreter)
        return refuse(target, TOOL_NOT_EXECUTABLE, "the first line of %s names no interpreter", script);
    const char *base = strrchr(interpreter, '/');
    copy(words, sizeof(words), line);
    if (strcmp(base ? base + 1 : interpreter, "env") == 0 && by_env(target, script, words, path, &code)) {
        *by_hand = true;
        return code;
    }
    copy(path, PATH_MAX, interpreter);
    if (!runnable(path, &error))
        return refuse(target, error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE, "the interpreter %s of %s: %s",
                      path, script, strerror(error));
    char *option = line + strspn(line, " \t\r");
    option[strcspn(option, "\r")] = '\0';
    return replace_first(target, path, *option ? option : script, *option ? script : NULL);
}

/* Looks at the file `path`. For a script, `path` becomes its interpreter and `*again` is set. */
static enum tool_exit check_file(struct tool_target *target, char path[PATH_MAX], bool *again, bool *by_hand) {
    static struct otp_image image;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        image.kind = OTP_IMAGE_UNREADABLE;
    else
        otp_image_look(&image, fd);
    enum tool_exit code = TOOL_OK;
    if (image.kind == OTP_IMAGE_SCRIPT) {
        *again = true;
        code = script_interpreter(target, image.text, path, by_hand);
    } else if (image.kind == OTP_IMAGE_TEXT) {
        *again = true; /* execvp() gives a text without "#!" to the shell */
        code = replace_first(target, "/bin/sh", path, NULL);
        copy(path, PATH_MAX, "/bin/sh");
    } else if (image.kind != OTP_IMAGE_TAKES_US) {
        code = refuse_program(target, &image, path);
    }
    if (fd >= 0)
        close(fd);
    return code;
}

static void forget_words(struct tool_target *target) {
    for (int i = 0; i < target->word_count; i++)
        free(target->words[i]);
    target->word_count = 0;
}

enum tool_exit tool_target_find(const char *program, struct tool_target *target) {
    char path[PATH_MAX];
    memset(target, 0, sizeof(*target));
    int error = look_up(program, target->path);
    if (error)
        return refuse(target, error == ENOENT || error == ENOTDIR ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE, "%s",
                      strerror(error));
    copy(path, sizeof(path), target->path);
    bool again = true, by_hand = false;
    for (int depth = 0; again && depth <= OTP_IMAGE_SCRIPTS_MAX; depth++) {
        again = false;
        enum tool_exit code = check_file(target, path, &again, &by_hand);
        if (code != TOOL_OK)
            return code;
    }
    if (again)
        return refuse(target, TOOL_NOT_EXECUTABLE, "its interpreters are scripts of scripts");
    if (by_hand)
        copy(target->path, sizeof(target->path), path);
    else
        forget_words(target);
    return TOOL_OK;
}

// SPDX-License-Identifier: Apache-2.0
#include "tool/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HEAD_SIZE 4096  /* of a file, enough for an ELF header or a line of a script */
#define HEADERS_MAX 512 /* program headers looked at */
#define SCRIPTS_MAX 5   /* scripts run by scripts; the kernel's own limit (fs/exec.c: exec_binprm) */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

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

/* Reads up to `size` bytes from `offset`; how many came, or -1. */
static ssize_t read_at(int fd, void *buffer, size_t size, off_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)buffer + done, size - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static enum tool_exit check_interpreter(struct tool_target *target, int fd, const Elf64_Ehdr *header) {
    for (unsigned i = 0; i < header->e_phnum && i < HEADERS_MAX; i++) {
        Elf64_Phdr each;
        if (read_at(fd, &each, sizeof(each), (off_t)(header->e_phoff + i * sizeof(each))) != (ssize_t)sizeof(each))
            return refuse(target, TOOL_NOT_EXECUTABLE, "its program headers cannot be read");
        if (each.p_type != PT_INTERP)
            continue;
        char loader[PATH_MAX] = "";
        size_t size = each.p_filesz < sizeof(loader) ? (size_t)each.p_filesz : sizeof(loader) - 1;
        if (read_at(fd, loader, size, (off_t)each.p_offset) < 0)
            return refuse(target, TOOL_NOT_EXECUTABLE, "its program headers cannot be read");
        if (strstr(loader, "ld-musl"))
            return refuse(target, TOOL_USAGE, "it is built for musl (loader %s); otelprof needs glibc", loader);
        return TOOL_OK;
    }
    return refuse(
        target, TOOL_USAGE,
        "it is statically linked (no PT_INTERP), so nothing can be preloaded; link it with libotelprof instead");
}

static enum tool_exit check_elf(struct tool_target *target, int fd, const struct stat *status, const char *head,
                                size_t size) {
    Elf64_Ehdr header;
    if (status->st_mode & (S_ISUID | S_ISGID))
        return refuse(target, TOOL_USAGE, "it is set-%s-ID, and the loader ignores preloaded objects in such programs",
                      status->st_mode & S_ISUID ? "user" : "group");
    if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return refuse(target, TOOL_USAGE,
                      "it has file capabilities (setcap), and the loader ignores preloaded objects in such programs; "
                      "give them as ambient capabilities");
    if (size < sizeof(header))
        return refuse(target, TOOL_NOT_EXECUTABLE, "it is too short for a program");
    memcpy(&header, head, sizeof(header));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != MACHINE)
        return refuse(target, TOOL_USAGE, "it is made for another machine (ELF class %d, machine %d) than otelprof",
                      header.e_ident[EI_CLASS], header.e_machine);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return refuse(target, TOOL_NOT_EXECUTABLE, "it is an object file, not a program");
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        return refuse(target, TOOL_NOT_EXECUTABLE, "its program headers are damaged");
    return check_interpreter(target, fd, &header);
}

/* The next word of a script's first line, or NULL; `*at` goes behind it. */
static char *word(char **at) {
    char *start = *at + strspn(*at, " \t\r");
    size_t length = strcspn(start, " \t\r");
    *at = start + length;
    if (**at)
        *(*at)++ = '\0';
    return *start ? start : NULL;
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
 * Goes from the script `path` to the program that runs it; `line` is its first line without "#!". The program env
 * executes another one, and an exec is not followed: so the form "#!/usr/bin/env NAME" is resolved here, and `*by_hand`
 * says that the words must be executed in the place of the script.
 */
static enum tool_exit script_interpreter(struct tool_target *target, char *line, char path[PATH_MAX], bool *by_hand) {
    char script[PATH_MAX], *interpreter = word(&line);
    int error = 0;
    copy(script, sizeof(script), path);
    if (!interpreter)
        return refuse(target, TOOL_NOT_EXECUTABLE, "the first line of %s names no interpreter", script);
    const char *base = strrchr(interpreter, '/');
    if (strcmp(base ? base + 1 : interpreter, "env") != 0) {
        copy(path, PATH_MAX, interpreter);
        if (!runnable(path, &error))
            return refuse(target, error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE,
                          "the interpreter %s of %s: %s", path, script, strerror(error));
        char *option = line + strspn(line, " \t\r");
        option[strcspn(option, "\r")] = '\0';
        return replace_first(target, path, *option ? option : script, *option ? script : NULL);
    }
    char *name = word(&line);
    if (!name || *name == '-' || strchr(name, '=') || word(&line))
        return refuse(
            target, TOOL_USAGE,
            "the script %s is started by env with options; name its interpreter: otelprof run -- INTERPRETER %s",
            script, script);
    error = look_up(name, path);
    if (error)
        return refuse(target, error == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE, "the interpreter %s of %s: %s",
                      name, script, strerror(error));
    *by_hand = true;
    return replace_first(target, name, script, NULL);
}

/* Looks at the file `path`. For a script, `path` becomes its interpreter and `*again` is set. */
static enum tool_exit check_file(struct tool_target *target, char path[PATH_MAX], bool *again, bool *by_hand) {
    char head[HEAD_SIZE + 1];
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return refuse(target, TOOL_USAGE, "%s cannot be read, so that it cannot be checked: %s", path, strerror(errno));
    enum tool_exit code = TOOL_OK;
    ssize_t size = fstat(fd, &status) == 0 ? read_at(fd, head, HEAD_SIZE, 0) : -1;
    if (size < 0) {
        code = refuse(target, TOOL_USAGE, "%s cannot be read, so that it cannot be checked: %s", path, strerror(errno));
    } else if (size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
        code = check_elf(target, fd, &status, head, (size_t)size);
    } else if (size >= 2 && head[0] == '#' && head[1] == '!') {
        head[size] = '\0';
        head[strcspn(head, "\n")] = '\0';
        *again = true;
        code = script_interpreter(target, head + 2, path, by_hand);
    } else if (memchr(head, '\0', (size_t)size)) {
        code = refuse(target, TOOL_NOT_EXECUTABLE, "it is neither a program nor a script");
    } else {
        *again = true; /* execvp() gives a text without "#!" to the shell */
        code = replace_first(target, "/bin/sh", path, NULL);
        copy(path, PATH_MAX, "/bin/sh");
    }
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
    for (int depth = 0; again && depth <= SCRIPTS_MAX; depth++) {
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

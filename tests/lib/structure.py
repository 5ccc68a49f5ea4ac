# SPDX-License-Identifier: Apache-2.0
"""Rules of the tree: which room includes which, which functions are not called, how long a function may be, licence
lines, no unfinished business. Prints one finding a line; exit status 1 if there are any. structure.py ROOT
"""

import pathlib
import re
import sys

# What the files of a room may include, beside their own room, bpf/ headers and public ones.
ROOMS = {
    "base": (),
    "context": ("base",),
    "unwind": ("base",),
    "symbols": ("base",),
    "capture": ("unwind", "context", "base"),
    "hooks": ("unwind", "context", "base"),
    "profile": ("base",),
    "encode": ("profile", "symbols", "base"),
    "export": ("encode", "profile", "base"),
    "core": ("base", "context", "unwind", "symbols", "capture", "hooks", "profile", "encode", "export"),
    "network": ("export", "base"),
    "tool": ("core", "export", "profile", "encode", "symbols", "base", "preload"),  # doctor looks at the parts
    "preload": (),
}
# The C library's freestanding headers, our own, and the C++ library's, which have no suffix.
PUBLIC_INCLUDES = re.compile(r"(std(def|int|bool)\.h|otelprof/\w+\.h|[a-z_]+)\Z")
GENERATED = re.compile(r"(opentelemetry/proto/[\w/]+\.pb-c|otelprof\.skel|syscall_table|google/rpc/\w+\.pb-c)\.h\Z")

# Functions that code inside somebody else's process does not call, and the files that may all the same.
BANNED = {
    "strcpy strcat sprintf vsprintf gets strtok": (),
    "system popen exit _exit quick_exit abort": ("src/tool/", "src/preload/"),
    "signal sigaction sigset setitimer timer_create alarm": ("src/tool/",),
    "atexit on_exit at_quick_exit": (),
    "assert": (),
    "pthread_cancel pthread_kill": (),
    "dl_iterate_phdr": ("src/hooks/objects.c",),  # on threads of the host, outside of allocations
    "setrlimit prlimit": (),
    "setenv putenv unsetenv clearenv": ("src/tool/", "src/preload/"),
    "fork vfork _Fork": ("src/preload/",),
    "getenv": ("src/tool/", "src/preload/"),
    "secure_getenv": ("src/core/", "src/tool/", "src/preload/"),
    "printf puts putchar fprintf fputs perror": ("src/tool/",),
    "dwarf_begin": (),
    "curl_global_cleanup": (),
}
STDERR_ALLOWED = ("src/tool/", "src/preload/", "src/core/")
MAX_FUNCTION_LINES = 80
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
FOREIGN = re.compile(r"/work/|farm[-]studio|pypi\.org|registry\.npmjs|proxy\.golang")
SOURCE_SUFFIXES = {".c", ".h", ".cpp", ".hpp"}
SPDX_SUFFIXES = SOURCE_SUFFIXES | {".sh", ".py", ".cmake", ".proto", ".lua"}
FOLDERS = ("include", "src", "bpf", "proto", "cmake", "examples", "tests", "pkgconfig", ".ci")


def files(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def without_comments(text):
    """The text with comments and the content of strings blanked out; lines keep their numbers."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        token = match.group()
        return '""' if token[0] in "\"'" else re.sub(r"[^\n]", " ", token)

    return pattern.sub(blank, text)


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_room_includes(name, text, headers, report):
    room = name.split("/")[1]
    allowed = (room, *ROOMS[room])
    for number, quoted, target in includes(text):
        if not quoted or target in headers or GENERATED.match(target):
            continue
        if ".." in target or "/" not in target:
            report(name, number, f'include "{target}": room/file.h is the form')
        elif target.split("/")[0] not in allowed:
            report(name, number, f'room {room} must not include "{target}"')


def check_public_includes(name, text, report):
    for number, _, target in includes(text):
        if not PUBLIC_INCLUDES.match(target):
            report(name, number, f"a public header must not include {target}")


def check_banned(name, code, report):
    for words, allowed in BANNED.items():
        if name.startswith(allowed):
            continue
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(words.split()) + r")\s*\(")
        for number, line in enumerate(code.splitlines(), 1):
            for match in pattern.finditer(line):
                report(name, number, f"{match.group(1)}() is not called here")
    if not name.startswith(STDERR_ALLOWED):
        for number, line in enumerate(code.splitlines(), 1):
            if re.search(r"\b(stderr|stdout)\b|\b(write|dprintf)\(\s*([12]|STD\w+_FILENO)\b", line):
                report(name, number, "the library writes nothing to stdout or stderr")


def check_function_length(name, code, report):
    """Functions as clang-format leaves them: the body opens at the end of a line and closes in column 0."""
    start = None
    for number, line in enumerate(code.splitlines(), 1):
        opens = re.match(r"[^\s#}].*\)\s*(noexcept\s*)?\{$", line) or re.match(r"\s{4,}.*\)\s*\{$", line) and start is None
        if opens and start is None:
            start = number
        elif line.startswith("}"):
            if start and number - start + 1 > MAX_FUNCTION_LINES:
                report(name, start, f"function of {number - start + 1} lines, over {MAX_FUNCTION_LINES}")
            start = None


def check_text(name, path, text, report):
    lines = text.splitlines()
    head = lines[:2] if lines and lines[0].startswith("#!") else lines[:1]
    needs_licence = path.suffix in SPDX_SUFFIXES or path.name == "CMakeLists.txt" or lines[:1] and lines[0].startswith("#!")
    if needs_licence and not any("SPDX-License-Identifier:" in line for line in head):
        report(name, 1, "no SPDX line at the top")
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            report(name, number, "unfinished business: " + UNFINISHED.search(line).group())
        if FOREIGN.search(line) and not name.endswith("structure.py"):
            report(name, number, "names the place of development: " + FOREIGN.search(line).group())


def main(root):
    findings = []

    def report(name, number, text):
        findings.append(f"{name}:{number}: {text}")

    headers = {path.name for path in (root / "bpf").glob("*.h")}
    count = 0
    for path in files(root):
        name = path.relative_to(root).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # data
        count += 1
        check_text(name, path, text, report)
        if path.suffix not in SOURCE_SUFFIXES:
            continue
        code = without_comments(text)
        if name.startswith(("src/", "bpf/")):
            check_function_length(name, code, report)
        if name.startswith("src/"):
            if name.split("/")[1] not in ROOMS:
                report(name, 1, "is in no room")
                continue
            check_room_includes(name, text, headers, report)
            check_banned(name, code, report)
        elif name.startswith("include/"):
            check_public_includes(name, text, report)
    print("".join(line + "\n" for line in findings), end="")
    print(f"{count} files, {len(findings)} findings")
    return 1 if findings or count < 50 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))

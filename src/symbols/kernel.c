// SPDX-License-Identifier: Apache-2.0
#include "symbols/kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "symbols/address_names.h"
#include "symbols/text_lines.h"

#define READ_MAX ((uint64_t)128 << 20)
#define FUNCTION_MAX ((uint32_t)128 << 10) /* a name reaches no further than this beyond its symbol */
#define WINDOWS_BETWEEN_READS 32           /* at most; 1, 2, 4 ... at first */
#define ALL_MAX ((size_t)32 << 20)         /* bytes of the whole table: 5 MiB here; given back at the window's end */

/*
 * The kernel has a hundred thousand functions, and a profile shows a few dozen: those stay, with their names; the whole
 * table is read when an address is in none of them, not in every window, and is given back at the window's end.
 */
struct otp_kernel_symbols {
    char *path;
    struct otp_address_names seen;
    struct otp_address_names all; /* empty but in a window that read it */
    unsigned windows;             /* until the file may be read again */
    unsigned wait;                /* the next value of it */
};

struct otp_kernel_symbols *otp_kernel_symbols_new(const char *path, size_t limit) {
    struct otp_kernel_symbols *kernel = otp_sys.calloc(1, sizeof(*kernel));
    size_t size = strlen(path) + 1;
    if (kernel)
        kernel->path = otp_sys.malloc(size);
    if (!kernel || !kernel->path) {
        free(kernel);
        return NULL;
    }
    memcpy(kernel->path, path, size);
    otp_address_names_init(&kernel->seen, limit);
    otp_address_names_init(&kernel->all, ALL_MAX);
    kernel->wait = 1;
    return kernel;
}

void otp_kernel_symbols_free(struct otp_kernel_symbols *kernel) {
    if (!kernel)
        return;
    otp_address_names_clear(&kernel->seen);
    otp_address_names_clear(&kernel->all);
    free(kernel->path);
    free(kernel);
}

/* A line is "ADDRESS TYPE NAME" or "ADDRESS TYPE NAME\t[MODULE]". False: hidden addresses, or no room. */
static bool add_line(struct otp_kernel_symbols *kernel, char *line) {
    uint64_t address;
    if (!otp_text_hex(&line, &address) || line[0] != ' ' || !line[1] || line[2] != ' ')
        return true;
    if (!address)
        return line[1] != 't' && line[1] != 'T'; /* kptr_restrict: per-CPU symbols are low, functions never */
    if (!strchr("tTwW", line[1]))
        return true;
    char *tab = strchr(line + 3, '\t');
    if (tab)
        *tab = ' ';
    return otp_address_names_add(&kernel->all, address, 0, line + 3, strlen(line + 3));
}

static void read_all(struct otp_kernel_symbols *kernel) {
    kernel->windows = kernel->wait;
    kernel->wait = kernel->wait * 2 > WINDOWS_BETWEEN_READS ? WINDOWS_BETWEEN_READS : kernel->wait * 2;
    int fd = otp_sys.open(kernel->path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    if (fd >= 0 && fd <= 2) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        close(fd);
        fd = high;
    }
    if (fd < 0)
        return;
    struct otp_text_lines *lines = otp_sys.malloc(sizeof(*lines));
    bool good = lines != NULL;
    if (lines) {
        otp_text_lines_start(lines, fd, READ_MAX);
        for (char *line; good && (line = otp_text_lines_next(lines));)
            good = add_line(kernel, line);
        good = good && !lines->failed;
    }
    free(lines);
    close(fd);
    if (good)
        otp_address_names_sort(&kernel->all, FUNCTION_MAX);
    else
        otp_address_names_clear(&kernel->all); /* half a table would give wrong neighbours */
}

/* Keeps a function for good. When there is no room for it, it is found again by another read. */
static void remember(struct otp_kernel_symbols *kernel, uint64_t start, uint64_t address, const char *name) {
    const struct otp_address_name *entry = otp_address_names_entry(&kernel->all, address);
    if (otp_address_names_add(&kernel->seen, start, entry->size, name, strlen(name)))
        otp_address_names_sort(&kernel->seen, FUNCTION_MAX);
}

const char *otp_kernel_symbols_find(struct otp_kernel_symbols *kernel, uint64_t address) {
    uint64_t start;
    const char *name = otp_address_names_find(&kernel->seen, address, &start);
    if (name)
        return name;
    if (!kernel->all.count && !kernel->windows)
        read_all(kernel);
    name = otp_address_names_find(&kernel->all, address, &start);
    if (name)
        remember(kernel, start, address, name);
    return name;
}

void otp_kernel_symbols_begin_window(struct otp_kernel_symbols *kernel) {
    if (kernel->windows)
        kernel->windows--;
}

void otp_kernel_symbols_end_window(struct otp_kernel_symbols *kernel) { otp_address_names_clear(&kernel->all); }

size_t otp_kernel_symbols_count(const struct otp_kernel_symbols *kernel) { return kernel->seen.count; }

size_t otp_kernel_symbols_size(const struct otp_kernel_symbols *kernel) {
    return sizeof(*kernel) + otp_address_names_size(&kernel->seen) + otp_address_names_size(&kernel->all);
}

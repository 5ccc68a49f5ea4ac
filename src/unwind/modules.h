// SPDX-License-Identifier: Apache-2.0
/*
 * The executable mappings of this process, from /proc/thread-self/maps, each with its identity. Every call on the
 * profiler thread only. Never takes the loader's lock; files are read, never mapped.
 */
#ifndef OTP_UNWIND_MODULES_H
#define OTP_UNWIND_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/elf_notes.h"

struct otp_modules;

#define OTP_MODULES_MAX 4096         /* executable mappings kept; more are counted */
#define OTP_MODULE_MAPPED UINT32_MAX /* `until` of a module that is still there */

/* One executable mapping. It stays where it is in memory until otp_modules_forget(). */
struct otp_module {
    uint32_t number;       /* unique as long as the process lives, from 1 */
    bool deleted;          /* the file has been unlinked or replaced */
    bool vdso;             /* code that the kernel maps; path is "[vdso]" */
    bool anonymous;        /* no file behind it: JIT code as a rule; path is "" or the kernel's name for it */
    bool elf;              /* ELF headers of this machine were read; bias counts */
    bool in_memory;        /* the headers lie in memory at `image` */
    const char *path;      /* without " (deleted)" */
    uint8_t build_id_size; /* bytes; 0: none known */
    uint8_t build_id[OTP_BUILD_ID_MAX];
    char htlhash[33]; /* hex, lower case; "" if the file could not be read */
    uint64_t start;   /* first address */
    uint64_t end;     /* one past the last */
    uint64_t file_offset;
    uint64_t bias;      /* address - bias = address in the ELF file's own numbering; 0 for programs that are not PIE */
    uint64_t image_end; /* one past what the file's segments take in memory; 0: not known */
    uint64_t image;     /* where the file's first byte is mapped; 0: nowhere */
    uint64_t device;    /* as stat() gives them */
    uint64_t inode;
    uint64_t file_size; /* bytes; 0 if the file could not be read */
    int64_t modified_ns;
    uint32_t since; /* generation (otp_control.directory >> 1) from which on it was in force */
    uint32_t until; /* first generation in which it was gone, or OTP_MODULE_MAPPED */
};

struct otp_modules_stats {
    uint64_t scans;
    uint64_t scans_failed;  /* maps could not be read; the list stayed as it was */
    uint64_t lines_skipped; /* lines of maps that made no sense or were too long */
    uint64_t over_limit;    /* executable mappings beyond OTP_MODULES_MAX */
    uint64_t modules_made;  /* numbers given so far */
};

/* NULL when out of memory. */
struct otp_modules *otp_modules_new(void);

/* Takes NULL. */
void otp_modules_free(struct otp_modules *modules);

/*
 * Reads the mappings anew. `generation` is the one that will be published next (otp_tables_generation() + 1): new
 * modules are in force from it on, and those that are gone end with it. An unchanged mapping keeps its number; one
 * with another file at the same place is a new module. *changed says whether anything came or went. 0;
 * OTELPROF_E_SYSTEM (no /proc, read error) or OTELPROF_E_MEMORY: the list is as it was.
 */
int otp_modules_scan(struct otp_modules *modules, uint32_t generation, bool *changed);

/*
 * The module that covered `address` when `generation` was in force, or NULL. Quick for the latest generation and for
 * later ones; older ones also search what is gone. Valid until otp_modules_forget().
 */
const struct otp_module *otp_modules_find(const struct otp_modules *modules, uint64_t address, uint32_t generation);

/* The module mapped at the last scan that starts last of those that start at the address or below, or NULL. */
const struct otp_module *otp_modules_below(const struct otp_modules *modules, uint64_t address);

/* The module of that number, mapped or gone, or NULL. */
const struct otp_module *otp_modules_by_number(const struct otp_modules *modules, uint32_t number);

/* Modules mapped at the last scan, in order of address: at(0) to at(count - 1). */
size_t otp_modules_count(const struct otp_modules *modules);
const struct otp_module *otp_modules_at(const struct otp_modules *modules, size_t index);

/* Gives back what was gone by `generation` and before. Pointers to those modules end here. */
void otp_modules_forget(struct otp_modules *modules, uint32_t generation);

void otp_modules_stats(const struct otp_modules *modules, struct otp_modules_stats *stats);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "symbols/locate.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/sys.h"
#include "symbols/symbols.h"

#define TEXT_COMPARED 1024
#define CHECKSUM_FILE_MAX ((uint64_t)256 << 20)
#define PIECE ((size_t)64 << 10)

static char *copy_path(const char *path) {
    size_t size = strlen(path) + 1;
    char *copy = otp_sys.malloc(size);
    if (copy)
        memcpy(copy, path, size);
    return copy;
}

static bool has_build_id(const struct otp_elf_file *elf, const uint8_t *id, size_t size) {
    return elf->build_id_size == size && size && !memcmp(elf->build_id, id, size);
}

/* Compares the start of the mapped text with the file's. */
static bool same_text(const struct otp_elf_file *elf, const struct otp_symbol_module *module) {
    uint8_t mapped[TEXT_COMPARED];
    uint8_t stored[TEXT_COMPARED];
    uint64_t size = module->end > module->start ? module->end - module->start : 0;
    if (elf->size < module->file_offset)
        return false;
    if (size > elf->size - module->file_offset)
        size = elf->size - module->file_offset;
    if (size > sizeof(mapped))
        size = sizeof(mapped);
    struct iovec local = {mapped, size};
    struct iovec remote = {(void *)(uintptr_t)module->start, size};
    return size && otp_sys.read_memory(&local, &remote) == (ssize_t)size &&
           otp_elf_read(elf, module->file_offset, stored, size) && !memcmp(mapped, stored, size);
}

static bool is_main(const struct otp_elf_file *elf, const struct otp_symbol_module *module) {
    if (module->build_id_size)
        return has_build_id(elf, module->build_id, module->build_id_size);
    return same_text(elf, module);
}

static void count(enum otp_elf_result result, struct otp_locate_counts *counts) {
    counts->bad += result == OTP_ELF_BAD;
    counts->changed += result == OTP_ELF_CHANGED;
}

static bool try_main(struct otp_located *located, const struct otp_symbol_module *module, const char *path,
                     struct otp_locate_counts *counts) {
    enum otp_elf_result result = otp_elf_open(&located->main, path);
    count(result, counts);
    if (result != OTP_ELF_OK)
        return false;
    if (is_main(&located->main, module)) {
        located->main_path = copy_path(path);
        if (located->main_path)
            return true;
    } else {
        counts->wrong++;
    }
    otp_elf_close(&located->main);
    return false;
}

void otp_locate_main(struct otp_located *located, const struct otp_symbol_module *module,
                     struct otp_locate_counts *counts) {
    char path[64];
    if (module->path && module->path[0] == '/' && !module->deleted && try_main(located, module, module->path, counts))
        return;
    /* Where the path was taken away or given to another file. Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
    snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx", (unsigned long long)module->start,
             (unsigned long long)module->end);
    if (try_main(located, module, path, counts))
        return;
    /* Most modules are not the executable: that it is another file means nothing. Not of self: that one is gone once
     * the main thread has ended. */
    struct otp_locate_counts ignored = {0, 0, 0};
    if (module->build_id_size)
        try_main(located, module, "/proc/thread-self/exe", &ignored);
}

/* The checksum that .gnu_debuglink means is zlib's. */
static bool has_checksum(const struct otp_elf_file *elf, uint32_t wanted) {
    if (elf->size > CHECKSUM_FILE_MAX)
        return false;
    uint8_t *piece = otp_sys.malloc(PIECE);
    if (!piece)
        return false;
    uLong sum = crc32(0, Z_NULL, 0);
    bool good = true;
    for (uint64_t at = 0; good && at < elf->size; at += PIECE) {
        size_t size = elf->size - at < PIECE ? (size_t)(elf->size - at) : PIECE;
        good = otp_elf_read(elf, at, piece, size);
        if (good)
            sum = crc32(sum, piece, (uInt)size);
    }
    free(piece);
    return good && sum == wanted;
}

/* What a debug file must show. */
struct proof {
    const uint8_t *build_id;
    size_t build_id_size;
    uint32_t checksum;
};

static bool try_debug(struct otp_located *located, const char *path, const struct proof *proof,
                      struct otp_locate_counts *counts) {
    enum otp_elf_result result = otp_elf_open(&located->debug, path);
    count(result, counts);
    if (result != OTP_ELF_OK)
        return false;
    bool right = proof->build_id_size ? has_build_id(&located->debug, proof->build_id, proof->build_id_size)
                                      : has_checksum(&located->debug, proof->checksum);
    bool itself = otp_elf_is_open(&located->main) && located->main.id.inode == located->debug.id.inode &&
                  located->main.id.device == located->debug.id.device;
    counts->wrong += !right;
    if (right && !itself && otp_elf_unchanged(&located->debug)) {
        located->debug_path = copy_path(path);
        if (located->debug_path)
            return true;
    }
    otp_elf_close(&located->debug);
    return false;
}

static bool try_build_id(struct otp_located *located, const char *directory, const struct proof *proof,
                         struct otp_locate_counts *counts) {
    char path[PATH_MAX];
    char hex[2 * OTP_BUILD_ID_MAX + 1];
    if (proof->build_id_size < 2 || proof->build_id_size > OTP_BUILD_ID_MAX)
        return false;
    for (size_t i = 0; i < proof->build_id_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", proof->build_id[i]);
    int length = snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", directory, hex, hex + 2);
    return length > 0 && (size_t)length < sizeof(path) && try_debug(located, path, proof, counts);
}

/* Reads .gnu_debuglink: a file name, padded to 4 bytes, and the checksum of that file. */
static char *read_link(const struct otp_elf_file *elf, uint32_t *checksum) {
    const Elf64_Shdr *section = otp_elf_section(elf, SHT_NULL, ".gnu_debuglink");
    char *name = section ? otp_elf_section_bytes(elf, section, PATH_MAX) : NULL;
    if (!name)
        return NULL;
    size_t length = strlen(name);
    size_t at = (length + 4) & ~(size_t)3;
    if (!length || strchr(name, '/') || at + 4 > section->sh_size) {
        free(name);
        return NULL;
    }
    memcpy(checksum, name + at, 4);
    return name;
}

static void try_link(struct otp_located *located, const struct otp_symbol_module *module, const char *directory,
                     struct proof *proof, struct otp_locate_counts *counts) {
    const char *slash = module->path ? strrchr(module->path, '/') : NULL;
    char *name = slash ? read_link(&located->main, &proof->checksum) : NULL;
    if (!name)
        return;
    for (unsigned i = 0; i < 3; i++) {
        char path[PATH_MAX];
        const char *root = i == 2 ? directory : "";
        int parent = (int)(slash - module->path);
        int length = i == 1 ? snprintf(path, sizeof(path), "%.*s/.debug/%s", parent, module->path, name)
                            : snprintf(path, sizeof(path), "%s%.*s/%s", root, parent, module->path, name);
        if (length > 0 && (size_t)length < sizeof(path) && try_debug(located, path, proof, counts))
            break;
    }
    free(name);
}

void otp_locate_debug(struct otp_located *located, const struct otp_symbol_module *module, const char *debug_directory,
                      struct otp_locate_counts *counts) {
    struct proof proof = {module->build_id, module->build_id_size, 0};
    if (!proof.build_id_size) {
        proof.build_id = located->main.build_id;
        proof.build_id_size = located->main.build_id_size;
    }
    if (try_build_id(located, debug_directory, &proof, counts))
        return;
    if (otp_elf_is_open(&located->main))
        try_link(located, module, debug_directory, &proof, counts);
}

void otp_located_close(struct otp_located *located) {
    if (located->debug.fd >= 0)
        posix_fadvise(located->debug.fd, 0, 0, POSIX_FADV_DONTNEED);
    otp_elf_close(&located->debug);
    otp_elf_close(&located->main);
    free(located->debug_path);
    free(located->main_path);
    *located = OTP_LOCATED_NONE;
}

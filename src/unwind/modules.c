// SPDX-License-Identifier: Apache-2.0
#include "unwind/modules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/maps.h"
#include "base/sha256.h"
#include "base/sys.h"
#include "unwind/elf_source.h"
#include "unwind/grow.h"

#define HASH_SPAN 4096u /* bytes at head and tail of a file that its htlhash covers */

struct list {
    struct otp_module **items;
    size_t count, capacity;
};

struct otp_modules {
    struct list mapped; /* by address */
    struct list gone;
    uint32_t last_number;
    uint32_t generation; /* of the last scan */
    struct otp_modules_stats stats;
};

struct otp_modules *otp_modules_new(void) {
    return otp_sys.calloc(1, sizeof(struct otp_modules));
}

static void module_free(struct otp_module *module) {
    free((void *)(uintptr_t)module->path);
    free(module);
}

static void list_free(struct list *list) {
    for (size_t i = 0; i < list->count; i++)
        module_free(list->items[i]);
    free(list->items);
}

void otp_modules_free(struct otp_modules *modules) {
    if (!modules)
        return;
    list_free(&modules->mapped);
    list_free(&modules->gone);
    free(modules);
}

/* ------------------------------------------------------------------------------------------------ identity */

static const char hex_digits[] = "0123456789abcdef";

/* SHA-256 over head, tail and length of a file, its first 16 bytes: the OpenTelemetry "htlhash". */
static void hash_file(struct otp_module *module, int fd) {
    uint8_t span[HASH_SPAN], length[8], digest[OTP_SHA256_SIZE];
    uint64_t size = module->file_size, part = size < HASH_SPAN ? size : HASH_SPAN;
    struct otp_sha256 hash;
    otp_sha256_init(&hash);
    if (otp_file_read(fd, 0, span, part))
        return;
    otp_sha256_add(&hash, span, part);
    if (otp_file_read(fd, size - part, span, part))
        return;
    otp_sha256_add(&hash, span, part);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(size >> (56 - 8 * i));
    otp_sha256_add(&hash, length, sizeof(length));
    otp_sha256_final(&hash, digest);
    for (int i = 0; i < 16; i++) {
        module->htlhash[2 * i] = hex_digits[digest[i] >> 4];
        module->htlhash[2 * i + 1] = hex_digits[digest[i] & 15];
    }
}

/* What is to be added to an address of the file to get an address of the process. */
static uint64_t bias_of(const struct otp_module *module, const struct otp_elf_head *head) {
    for (uint32_t i = 0; i < head->count; i++) {
        const Elf64_Phdr *header = &head->headers[i];
        uint64_t first = header->p_offset & ~(uint64_t)4095;
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) && module->file_offset >= first &&
            module->file_offset < header->p_offset + header->p_filesz)
            return module->start - (header->p_vaddr - header->p_offset + module->file_offset);
    }
    return module->start - module->file_offset;
}

static uint64_t image_end_of(uint64_t bias, const struct otp_elf_head *head) {
    uint64_t end = 0;
    for (uint32_t i = 0; i < head->count; i++) {
        const Elf64_Phdr *header = &head->headers[i];
        uint64_t last = bias + header->p_vaddr + header->p_memsz;
        if (header->p_type == PT_LOAD && last > end)
            end = last;
    }
    return end;
}

static void take_head(struct otp_module *module, const struct otp_elf_head *head) {
    module->elf = true;
    module->bias = bias_of(module, head);
    module->image_end = image_end_of(module->bias, head);
}

static void identify(struct otp_module *module) {
    struct otp_elf_head head;
    struct stat status;
    if (module->image && otp_elf_head_read(&head, module->image, -1)) {
        take_head(module, &head);
        module->in_memory = true;
        module->build_id_size =
            (uint8_t)otp_elf_build_id(&head, module->bias, -1, module->build_id, sizeof(module->build_id));
    }
    int fd = otp_module_open(module, &status);
    if (fd < 0)
        return;
    module->file_size = (uint64_t)status.st_size;
    module->modified_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    if (!module->elf && otp_elf_head_read(&head, 0, fd))
        take_head(module, &head);
    if (module->elf && !module->build_id_size && otp_elf_head_read(&head, 0, fd))
        module->build_id_size = (uint8_t)otp_elf_build_id(&head, 0, fd, module->build_id, sizeof(module->build_id));
    hash_file(module, fd);
    close(fd);
}

static struct otp_module *module_new(struct otp_modules *modules, const struct otp_maps_line *line, uint64_t image) {
    struct otp_module *module = otp_sys.calloc(1, sizeof(*module));
    char *path = module ? otp_sys.malloc(line->path_size + 1) : NULL;
    if (!path) {
        free(module);
        return NULL;
    }
    memcpy(path, line->path, line->path_size);
    path[line->path_size] = 0;
    module->path = path;
    module->start = line->start;
    module->end = line->end;
    module->file_offset = line->offset;
    module->device = line->device;
    module->inode = line->inode;
    module->deleted = line->deleted;
    module->vdso = !strcmp(path, "[vdso]");
    module->anonymous = !module->vdso && line->inode == 0;
    module->image = module->vdso ? module->start : image;
    module->number = ++modules->last_number;
    module->until = OTP_MODULE_MAPPED;
    modules->stats.modules_made++;
    if (!module->anonymous)
        identify(module);
    return module;
}

/* ------------------------------------------------------------------------------------------------ scanning */

static bool unchanged(const struct otp_module *module, const struct otp_maps_line *line) {
    return module->start == line->start && module->end == line->end && module->file_offset == line->offset &&
           module->device == line->device && module->inode == line->inode &&
           (line->inode || !strncmp(module->path, line->path, line->path_size));
}

/* The scan at work: old modules in order of address, new list being made. */
struct scan {
    struct otp_modules *modules;
    struct list next;
    size_t old;          /* the first old module not yet passed */
    uint64_t base_start; /* where the first byte of the file last seen is mapped */
    uint64_t base_device, base_inode;
    bool changed;
    int result; /* 0, or what ended it before the end */
};

/* 0, or OTELPROF_E_MEMORY. */
static int take_executable(struct scan *scan, const struct otp_maps_line *line) {
    struct otp_modules *modules = scan->modules;
    if (scan->next.count == OTP_MODULES_MAX) {
        modules->stats.over_limit++;
        return 0;
    }
    if (!OTP_GROW(scan->next.items, scan->next.count, scan->next.capacity, 64))
        return OTELPROF_E_MEMORY;
    while (scan->old < modules->mapped.count && modules->mapped.items[scan->old]->start < line->start)
        scan->old++;
    struct otp_module *module = scan->old < modules->mapped.count ? modules->mapped.items[scan->old] : NULL;
    if (!module || !unchanged(module, line)) {
        bool own_base = scan->base_device == line->device && scan->base_inode == line->inode && line->inode;
        module = module_new(modules, line,
                            own_base                       ? scan->base_start
                            : line->offset || !line->inode ? 0
                                                           : line->start);
        if (!module)
            return OTELPROF_E_MEMORY;
        scan->changed = true;
    }
    module->deleted = line->deleted;
    scan->next.items[scan->next.count++] = module;
    return 0;
}

static bool take_line(void *user, const struct otp_maps_line *line) {
    struct scan *scan = user;
    if (line->offset == 0 && line->inode) {
        scan->base_start = line->start;
        scan->base_device = line->device;
        scan->base_inode = line->inode;
    }
    /* [vsyscall] lies above user addresses. */
    if (line->executable && line->end < (uint64_t)1 << 63)
        scan->result = take_executable(scan, line);
    return !scan->result;
}

static bool contains(const struct list *list, const struct otp_module *module) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list->items[middle]->start < module->start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->items[low] == module;
}

/* Gives back what a scan made that could not be finished. */
static void abandon(struct scan *scan) {
    for (size_t i = 0; i < scan->next.count; i++) {
        if (!contains(&scan->modules->mapped, scan->next.items[i]))
            module_free(scan->next.items[i]);
    }
    free(scan->next.items);
}

/* Old modules that are not in the new list end with `generation`. 0 or OTELPROF_E_MEMORY, before any change. */
static int retire(struct scan *scan, uint32_t generation) {
    struct otp_modules *modules = scan->modules;
    size_t gone = 0;
    for (size_t i = 0; i < modules->mapped.count; i++)
        gone += !contains(&scan->next, modules->mapped.items[i]);
    while (modules->gone.capacity < modules->gone.count + gone) {
        if (!OTP_GROW(modules->gone.items, modules->gone.capacity, modules->gone.capacity, 16))
            return OTELPROF_E_MEMORY;
    }
    for (size_t i = 0; i < modules->mapped.count; i++) {
        struct otp_module *module = modules->mapped.items[i];
        if (contains(&scan->next, module))
            continue;
        module->until = generation;
        modules->gone.items[modules->gone.count++] = module;
        scan->changed = true;
    }
    return 0;
}

int otp_modules_scan(struct otp_modules *modules, uint32_t generation, bool *changed) {
    struct scan scan = {.modules = modules};
    *changed = false;
    modules->stats.scans++;
    int number = otp_maps_scan(take_line, &scan, &modules->stats.lines_skipped);
    int result = number ? otp_error_errno(OTELPROF_E_SYSTEM, number, "/proc/thread-self/maps") : scan.result;
    if (!result)
        result = retire(&scan, generation);
    if (result) {
        modules->stats.scans_failed++;
        abandon(&scan);
        return result == OTELPROF_E_MEMORY ? otp_error(result, "no memory for the list of modules") : result;
    }
    for (size_t i = 0; i < scan.next.count; i++) {
        if (!contains(&modules->mapped, scan.next.items[i]))
            scan.next.items[i]->since = generation;
    }
    free(modules->mapped.items);
    modules->mapped = scan.next;
    modules->generation = generation;
    *changed = scan.changed;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ asking */

static bool in_force(const struct otp_module *module, uint32_t generation) {
    return generation >= module->since && generation < module->until;
}

const struct otp_module *otp_modules_below(const struct otp_modules *modules, uint64_t address) {
    const struct list *mapped = &modules->mapped;
    size_t low = 0, high = mapped->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (mapped->items[middle]->start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? mapped->items[low - 1] : NULL;
}

const struct otp_module *otp_modules_find(const struct otp_modules *modules, uint64_t address, uint32_t generation) {
    const struct otp_module *below = otp_modules_below(modules, address);
    if (below && address < below->end && in_force(below, generation))
        return below;
    for (size_t i = modules->gone.count; generation < modules->generation && i-- > 0;) {
        const struct otp_module *module = modules->gone.items[i];
        if (address >= module->start && address < module->end && in_force(module, generation))
            return module;
    }
    return NULL;
}

const struct otp_module *otp_modules_by_number(const struct otp_modules *modules, uint32_t number) {
    const struct list *lists[] = {&modules->mapped, &modules->gone};
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < lists[which]->count; i++) {
            if (lists[which]->items[i]->number == number)
                return lists[which]->items[i];
        }
    }
    return NULL;
}

size_t otp_modules_count(const struct otp_modules *modules) { return modules->mapped.count; }

const struct otp_module *otp_modules_at(const struct otp_modules *modules, size_t index) {
    return modules->mapped.items[index];
}

void otp_modules_forget(struct otp_modules *modules, uint32_t generation) {
    size_t kept = 0;
    for (size_t i = 0; i < modules->gone.count; i++) {
        if (modules->gone.items[i]->until <= generation)
            module_free(modules->gone.items[i]);
        else
            modules->gone.items[kept++] = modules->gone.items[i];
    }
    modules->gone.count = kept;
}

void otp_modules_stats(const struct otp_modules *modules, struct otp_modules_stats *stats) { *stats = modules->stats; }

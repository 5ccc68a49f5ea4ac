// SPDX-License-Identifier: Apache-2.0
/* The module list over this process's own mappings: identity, coming and going, and failing calls. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <otelprof/otelprof.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sha256.h"
#include "base/sys.h"
#include "failing_calls.h"
#include "test_main.h"
#include "unwind/elf_source.h"
#include "unwind/modules.h"

#define LIBRARY "libsqlite3.so.0" /* one that can be unloaded */

static struct otp_modules *scanned(void) {
    bool changed = false;
    struct otp_modules *modules = otp_modules_new();
    ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
    ck_assert(changed);
    return modules;
}

static bool rescan(struct otp_modules *modules, uint32_t generation) {
    bool changed = false;
    ck_assert_int_eq(otp_modules_scan(modules, generation, &changed), 0);
    return changed;
}

static uint64_t address_of(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

/* ----------------------------------------------------------------------------------------------------- identity */

/* What the loader says about each object is what the list says. */
static int check_object(struct dl_phdr_info *info, size_t size, void *user) {
    const struct otp_modules *modules = user;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        uint64_t address = info->dlpi_addr + header->p_vaddr + header->p_memsz / 2;
        const struct otp_module *module = otp_modules_find(modules, address, 1);
        ck_assert_msg(module != NULL, "%s", info->dlpi_name);
        ck_assert_uint_eq(module->bias, info->dlpi_addr);
        ck_assert(module->elf && module->in_memory && !module->anonymous);
        ck_assert_uint_ge(module->build_id_size, 8);
        char *path = module->vdso || !info->dlpi_name[0] ? NULL : realpath(info->dlpi_name, NULL);
        if (path)
            ck_assert_str_eq(module->path, path);
        free(path);
    }
    for (int i = 0; i < info->dlpi_phnum; i++) { /* the build id, by plain reads of the notes */
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uint8_t id[OTP_BUILD_ID_MAX];
        if (header->p_type != PT_NOTE)
            continue;
        size_t found =
            otp_elf_notes_build_id((const void *)(info->dlpi_addr + header->p_vaddr), header->p_filesz, id, 32);
        const struct otp_module *module = otp_modules_find(modules, address_of(check_object), 1);
        if (found && !info->dlpi_name[0]) {
            ck_assert_uint_eq(module->build_id_size, found);
            ck_assert_mem_eq(module->build_id, id, found);
        }
    }
    return 0;
}

START_TEST(objects_are_as_the_loader_has_them) {
    struct otp_modules *modules = scanned();
    ck_assert_int_eq(dl_iterate_phdr(check_object, modules), 0);
    const struct otp_module *own = otp_modules_find(modules, address_of(scanned), 1);
    char exe[512];
    ssize_t size = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    ck_assert_int_gt(size, 0);
    exe[size] = 0;
    ck_assert_str_eq(own->path, exe);
    bool vdso = false;
    for (size_t i = 0; i < otp_modules_count(modules); i++) {
        const struct otp_module *module = otp_modules_at(modules, i);
        vdso |= module->vdso && module->build_id_size && !module->htlhash[0];
        ck_assert(i == 0 || module->start >= otp_modules_at(modules, i - 1)->end);
        ck_assert_ptr_eq(otp_modules_by_number(modules, module->number), module);
    }
    ck_assert(vdso);
    otp_modules_free(modules);
}
END_TEST

/* The hash again, from the whole file in memory. */
static void whole_file_hash(const char *path, char hex[33]) {
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), part = size < 4096 ? size : 4096;
    uint8_t *bytes = malloc(size + 8), digest[OTP_SHA256_SIZE], length[8];
    rewind(file);
    ck_assert_uint_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    struct otp_sha256 hash;
    otp_sha256_init(&hash);
    otp_sha256_add(&hash, bytes, part);
    otp_sha256_add(&hash, bytes + size - part, part);
    otp_sha256_add(&hash, length, 8);
    otp_sha256_final(&hash, digest);
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    free(bytes);
}

START_TEST(hash_of_the_file) {
    struct otp_modules *modules = scanned();
    char hex[33];
    const struct otp_module *own = otp_modules_find(modules, address_of(scanned), 1);
    whole_file_hash(own->path, hex);
    ck_assert_str_eq(own->htlhash, hex);
    otp_modules_free(modules);
}
END_TEST

/* ---------------------------------------------------------------------------------------------- coming and going */

START_TEST(libraries_come_and_go) {
    struct otp_modules *modules = scanned();
    ck_assert(!rescan(modules, 2));
    void *handle = dlopen(LIBRARY, RTLD_NOW);
    if (!handle) {
        puts("skipped: no " LIBRARY);
        otp_modules_free(modules);
        return;
    }
    void *symbol = dlsym(handle, "sqlite3_libversion");
    uint64_t address = address_of(symbol);
    bool was_there = otp_modules_find(modules, address, 1) != NULL;
    ck_assert(rescan(modules, 2) == !was_there);
    const struct otp_module *module = otp_modules_find(modules, address, 2);
    ck_assert_ptr_nonnull(module);
    if (was_there) { /* linked into this program: nothing to see */
        otp_modules_free(modules);
        return;
    }
    uint32_t number = module->number;
    ck_assert_uint_eq(module->since, 2);
    ck_assert_uint_eq(module->until, OTP_MODULE_MAPPED);
    ck_assert_ptr_null(otp_modules_find(modules, address, 1));
    dlclose(handle);
    ck_assert(rescan(modules, 3));
    ck_assert_ptr_null(otp_modules_find(modules, address, 3));
    ck_assert_ptr_eq(otp_modules_find(modules, address, 2), module);
    ck_assert_uint_eq(module->until, 3);
    ck_assert_ptr_eq(otp_modules_by_number(modules, number), module);
    otp_modules_forget(modules, 2);
    ck_assert_ptr_eq(otp_modules_find(modules, address, 2), module);
    otp_modules_forget(modules, 3);
    ck_assert_ptr_null(otp_modules_find(modules, address, 2));
    ck_assert_ptr_null(otp_modules_by_number(modules, number));
    otp_modules_free(modules);
}
END_TEST

/* A copy of this program at `path`, mapped executable from its start at `at` (or anywhere). */
static void *map_copy(const char *path, void *at) {
    char command[1024];
    snprintf(command, sizeof(command), "cp /proc/%d/exe '%s'", (int)getpid(), path);
    ck_assert_int_eq(system(command), 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    void *memory = mmap(at, 65536, PROT_READ | PROT_EXEC, MAP_PRIVATE | (at ? MAP_FIXED : 0), fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    close(fd);
    return memory;
}

START_TEST(another_file_at_the_same_place_is_another_module) {
    char one[] = "/tmp/otp_modules_XXXXXX", two[] = "/tmp/otp_modules_XXXXXX";
    close(mkstemp(one));
    close(mkstemp(two));
    void *memory = map_copy(one, NULL);
    struct otp_modules *modules = scanned();
    const struct otp_module *first = otp_modules_find(modules, address_of(memory), 1);
    ck_assert_ptr_nonnull(first);
    ck_assert_str_eq(first->path, one);
    ck_assert(!first->deleted && first->htlhash[0]);
    unlink(one);
    ck_assert(!rescan(modules, 2)); /* deleted, but the same */
    ck_assert_ptr_eq(otp_modules_find(modules, address_of(memory), 2), first);
    ck_assert(first->deleted);
    ck_assert_str_eq(first->path, one);
    map_copy(two, memory);
    ck_assert(rescan(modules, 2));
    const struct otp_module *second = otp_modules_find(modules, address_of(memory), 2);
    ck_assert_ptr_ne(second, first);
    ck_assert_str_eq(second->path, two);
    ck_assert_uint_gt(second->number, first->number);
    ck_assert_ptr_eq(otp_modules_find(modules, address_of(memory), 1), first);
    munmap(memory, 65536);
    unlink(two);
    otp_modules_free(modules);
}
END_TEST

START_TEST(a_file_replaced_under_its_name_is_not_read) {
    char path[] = "/tmp/otp_modules_XXXXXX";
    close(mkstemp(path));
    void *memory = map_copy(path, NULL);
    unlink(path);
    FILE *file = fopen(path, "w"); /* another file of the same name: the maps file says "(deleted)" */
    fputs("something else", file);
    fclose(file);
    struct otp_modules *modules = scanned();
    const struct otp_module *module = otp_modules_find(modules, address_of(memory), 1);
    ck_assert(module->deleted && module->elf);
    ck_assert_str_eq(module->path, path);
    char other[33], own[33];
    whole_file_hash(path, other);
    whole_file_hash("/proc/self/exe", own);
    ck_assert_str_ne(module->htlhash, other);
    if (module->htlhash[0])
        ck_assert_str_eq(module->htlhash, own); /* map_files needs a capability */
    munmap(memory, 65536);
    unlink(path);
    otp_modules_free(modules);
}
END_TEST

START_TEST(anonymous_code) {
    void *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    struct otp_modules *modules = scanned();
    const struct otp_module *module = otp_modules_find(modules, address_of(memory), 1);
    ck_assert(module->anonymous && !module->elf && !module->build_id_size);
    munmap(memory, 8192);
    ck_assert(rescan(modules, 2));
    otp_modules_free(modules);
}
END_TEST

/* A library truncated under us by a deploy is an error, and no SIGBUS. */
START_TEST(a_truncated_file_is_an_error) {
    char path[] = "/tmp/otp_modules_XXXXXX";
    close(mkstemp(path));
    void *memory = map_copy(path, NULL);
    ck_assert_int_eq(truncate(path, 100), 0);
    struct otp_modules *modules = scanned();
    const struct otp_module *module = otp_modules_find(modules, address_of(memory), 1);
    ck_assert_ptr_nonnull(module);
    ck_assert_uint_eq(module->file_size, 100);
    struct otp_eh_bytes section;
    ck_assert_int_ne(otp_module_eh_frame(module, &section), 0);
    munmap(memory, 65536);
    unlink(path);
    otp_modules_free(modules);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- failing calls */

#ifdef OTP_SYS_SWAPPABLE

static int no_open(const char *path, int flags, mode_t mode) {
    (void)path, (void)flags, (void)mode;
    errno = ENOENT;
    return -1;
}

static ssize_t no_read_memory(const struct iovec *local, const struct iovec *remote) {
    (void)local, (void)remote;
    errno = EFAULT;
    return -1;
}

static ssize_t hostile_read(int fd, void *buffer, size_t size) {
    static const char text[] = "nonsense\n\n7f00-7fff r-xp 00000000 00:00 0\nffff";
    static bool given;
    (void)fd;
    given = !given;
    if (!given)
        return 0;
    ck_assert_uint_ge(size, sizeof(text));
    memcpy(buffer, text, sizeof(text) - 1);
    return sizeof(text) - 1;
}

START_TEST(without_proc_the_list_stays) {
    struct otp_modules *modules = scanned();
    size_t count = otp_modules_count(modules);
    bool changed = true;
    otp_sys.open = no_open;
    ck_assert_int_eq(otp_modules_scan(modules, 2, &changed), OTELPROF_E_SYSTEM);
    otp_sys = otp_sys_real;
    ck_assert(!changed);
    ck_assert_uint_eq(otp_modules_count(modules), count);
    ck_assert_ptr_nonnull(otp_modules_find(modules, address_of(scanned), 2));
    otp_modules_free(modules);
}
END_TEST

START_TEST(memory_that_cannot_be_read) {
    bool changed;
    struct otp_modules *modules = otp_modules_new();
    otp_sys.read_memory = no_read_memory;
    ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
    otp_sys = otp_sys_real;
    const struct otp_module *own = otp_modules_find(modules, address_of(scanned), 1);
    ck_assert(own->elf && !own->in_memory && own->build_id_size && own->htlhash[0]);
    struct otp_eh_bytes section;
    ck_assert_int_eq(otp_module_eh_frame(own, &section), 0); /* from the file */
    ck_assert_uint_gt(section.size, 100);
    ck_assert(!section.relocated);
    free(section.bytes);
    otp_modules_free(modules);
}
END_TEST

START_TEST(hostile_maps) {
    bool changed;
    struct otp_modules *modules = otp_modules_new();
    struct otp_modules_stats stats;
    otp_sys.read = hostile_read;
    ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
    otp_sys = otp_sys_real;
    ck_assert_uint_eq(otp_modules_count(modules), 1);
    otp_modules_stats(modules, &stats);
    ck_assert_uint_eq(stats.lines_skipped, 3);
    otp_modules_free(modules);
}
END_TEST

START_TEST(every_allocation_fails_once) {
    int failures = 0;
    for (int allowed_calls = 0;; allowed_calls++) {
        bool changed;
        struct otp_modules *modules = otp_modules_new();
        failing_calls_after(allowed_calls);
        int result = otp_modules_scan(modules, 1, &changed);
        bool all = failing_calls_end();
        ck_assert(result == 0 || result == OTELPROF_E_MEMORY);
        ck_assert(result == 0 || otp_modules_count(modules) == 0);
        failures += result != 0;
        ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
        otp_modules_free(modules);
        if (all)
            break;
    }
    ck_assert_int_gt(failures, 10);
}
END_TEST

#define SWAPPED , without_proc_the_list_stays, memory_that_cannot_be_read, hostile_maps, every_allocation_fails_once
#else
#define SWAPPED
#endif

OTP_TEST_MAIN("modules", 120, objects_are_as_the_loader_has_them, hash_of_the_file, libraries_come_and_go,
              another_file_at_the_same_place_is_another_module, a_file_replaced_under_its_name_is_not_read,
              anonymous_code, a_truncated_file_is_an_error SWAPPED)

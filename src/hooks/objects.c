// SPDX-License-Identifier: Apache-2.0
#include "hooks/objects.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

#define SPARE 16 /* objects that another thread may load between counting and listing */

struct listing {
    struct otp_objects *objects;
    size_t count, capacity;
    size_t name_bytes, name_capacity;
};

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *info) {
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr); /* NOLINT(performance-no-int-to-ptr) */
    return NULL;
}

/* Called under the loader's lock: counts and copies, allocates nothing. */
static int take(struct dl_phdr_info *info, size_t size, void *user) {
    struct listing *listing = user;
    struct otp_objects *objects = listing->objects;
    const char *name = info->dlpi_name ? info->dlpi_name : "";
    size_t length = strlen(name) + 1;
    (void)size;
    objects->loads = info->dlpi_adds;
    objects->unloads = info->dlpi_subs;
    if (listing->count < listing->capacity && listing->name_bytes + length <= listing->name_capacity) {
        char *copy = objects->names + listing->name_bytes;
        memcpy(copy, name, length);
        objects->items[listing->count] =
            (struct otp_object){info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, dynamic_of(info), copy};
    }
    listing->count++;
    listing->name_bytes += length;
    return 0;
}

int otp_objects_list(struct otp_objects *objects) {
    *objects = (struct otp_objects){0};
    for (;;) {
        struct listing listing = {.objects = objects};
        dl_iterate_phdr(take, &listing);
        listing.capacity = listing.count + SPARE;
        listing.name_capacity = listing.name_bytes + SPARE * (size_t)256;
        objects->items = otp_sys.calloc(listing.capacity, sizeof(objects->items[0]));
        objects->names = otp_sys.calloc(1, listing.name_capacity);
        if (!objects->items || !objects->names) {
            otp_objects_free(objects);
            return otp_error(OTELPROF_E_MEMORY, "no memory to list the loaded objects");
        }
        listing.count = listing.name_bytes = 0;
        dl_iterate_phdr(take, &listing);
        objects->count = listing.count;
        if (listing.count <= listing.capacity && listing.name_bytes <= listing.name_capacity)
            return 0;
        otp_objects_free(objects);
    }
}

void otp_objects_free(struct otp_objects *objects) {
    free(objects->items);
    free(objects->names);
    *objects = (struct otp_objects){0};
}

static int take_changes(struct dl_phdr_info *info, size_t size, void *user) {
    unsigned long long *changes = user;
    (void)size;
    changes[0] = info->dlpi_adds;
    changes[1] = info->dlpi_subs;
    return 1;
}

void otp_objects_changes(unsigned long long *loads, unsigned long long *unloads) {
    unsigned long long changes[2] = {0, 0};
    dl_iterate_phdr(take_changes, changes);
    *loads = changes[0];
    *unloads = changes[1];
}

bool otp_object_pin(const struct otp_object *object, void **pin) {
    struct link_map *map = NULL;
    *pin = NULL;
    if (!*object->name)
        return true; /* the program */
    void *handle = dlopen(object->name, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        return false;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) || map->l_addr != object->base || map->l_ld != object->dynamic) {
        dlclose(handle); /* another object, of the same name */
        return false;
    }
    *pin = handle;
    return true;
}

void otp_object_unpin(void *pin) {
    if (pin)
        dlclose(pin);
}

bool otp_object_has(const struct otp_object *object, uint64_t address, size_t size, uint32_t flags) {
    for (size_t i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        uint64_t start = object->base + header->p_vaddr;
        if (header->p_type == PT_LOAD && (header->p_flags & flags) == flags && address >= start &&
            size <= header->p_memsz && address - start <= header->p_memsz - size)
            return true;
    }
    return false;
}

/* As the loader rounds it: the page of the end stays writable (elf/dl-reloc.c of glibc, _dl_protect_relro). */
void otp_object_relro(const struct otp_object *object, uint64_t *start, size_t *size) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *start = *size = 0;
    for (size_t i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        if (header->p_type != PT_GNU_RELRO)
            continue;
        uint64_t from = (object->base + header->p_vaddr) & ~(page - 1);
        uint64_t to = (object->base + header->p_vaddr + header->p_memsz) & ~(page - 1);
        *start = from;
        *size = to > from ? to - from : 0;
    }
}

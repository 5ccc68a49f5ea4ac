// SPDX-License-Identifier: Apache-2.0
/*
 * The loaded objects of this process as the loader knows them, and their parts. Takes the loader's lock: on a thread of
 * the host only, never inside an allocation.
 */
#ifndef OTP_HOOKS_OBJECTS_H
#define OTP_HOOKS_OBJECTS_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_object {
    uint64_t base; /* what is added to the addresses in the file */
    const ElfW(Phdr) * headers;
    uint16_t header_count;
    const ElfW(Dyn) * dynamic; /* ends with DT_NULL */
    const char *name;          /* "" for the program */
};

struct otp_objects {
    struct otp_object *items;
    size_t count;
    char *names;
    unsigned long long loads, unloads; /* of the loader, so far */
};

/* Lists them: the program first. 0 or OTELPROF_E_MEMORY. */
int otp_objects_list(struct otp_objects *objects);
void otp_objects_free(struct otp_objects *objects);

/* How often objects were loaded and unloaded so far. */
void otp_objects_changes(unsigned long long *loads, unsigned long long *unloads);

/*
 * Keeps the object from being unloaded, and waits until the loader has finished with it, if another thread is loading
 * it. *pin is for otp_object_unpin(). False: it is gone.
 */
bool otp_object_pin(const struct otp_object *object, void **pin);
void otp_object_unpin(void *pin);

/* True if all `size` bytes at `address` belong to the object's segments with these flags (PF_R, PF_W, PF_X). */
bool otp_object_has(const struct otp_object *object, uint64_t address, size_t size, uint32_t flags);

/* The part that the loader has made read-only after relocating; `size` 0: none. */
void otp_object_relro(const struct otp_object *object, uint64_t *start, size_t *size);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Feeds bytes to the reader of a loaded object's tables. The input is an object as the loader leaves it, but for the
 * program headers, which the loader has checked: one writable segment that holds the whole input. It begins with the
 * count of its dynamic entries and where they end, which is what the format promises, is seen to here.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/object_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct object {
    uint8_t *image;
    size_t size;
    uint64_t sum;
    const struct otp_object *loaded;
};

/* All that a user of the words does: reads the word, compares the name, asks where a lazy slot leads. */
static void take(void *user, const struct otp_word *word) {
    struct object *object = user;
    const uint8_t *start = (const uint8_t *)word->address;
    if (start < object->image || start + sizeof(uint64_t) > object->image + object->size || (uintptr_t)start % 8)
        abort();
    object->sum += strlen(word->name) + *word->address + word->own + word->lazy;
    const char *version = otp_word_version(object->loaded, word);
    object->sum += version ? strlen(version) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8)
        return 0;
    size_t entries = data[0], room = (size - 8) / sizeof(ElfW(Dyn));
    struct object object = {.size = (size + 7) & ~(size_t)7};
    if (entries > room)
        entries = room;
    ElfW(Dyn) *dynamic = calloc(entries + 1, sizeof(*dynamic));
    object.image = calloc(1, object.size);
    if (!dynamic || !object.image)
        abort();
    memcpy(object.image, data, size);
    memcpy(dynamic, data + 8, entries * sizeof(*dynamic));
    dynamic[entries].d_tag = DT_NULL;
    const ElfW(Phdr) header = {.p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_memsz = object.size};
    const struct otp_object loaded = {(uint64_t)(uintptr_t)object.image, &header, 1, dynamic, "fuzz"};
    object.loaded = &loaded;
    otp_object_words(&loaded, take, &object);
    otp_dynamic_has_path(dynamic);
    free(object.image);
    free(dynamic);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_table.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <string.h>

#include "hooks/hook_functions.h"
#include "hooks/hook_state.h"
#include "hooks/objects.h"

#define ENTRY(name, types) [OTP_HOOK_##name] = {#name, (void (*)(void))otp_hook_##name, NULL, types, NULL},
#define HEAP_ENTRY(name) ENTRY(name, OTP_HOOK_HEAP)
#define LOCK_ENTRY(name) ENTRY(name, OTP_HOOK_LOCK)
#define LOADER_ENTRY(name) ENTRY(name, OTP_HOOK_HEAP | OTP_HOOK_LOCK)
struct otp_hook otp_hooks[OTP_HOOK_COUNT] = {OTP_HOOKS_OF_MALLOC(HEAP_ENTRY) OTP_HOOKS_OVER_MALLOC(HEAP_ENTRY)
                                                 OTP_HOOKS_OF_LOCKS(LOCK_ENTRY) OTP_HOOKS_OF_LOADER(LOADER_ENTRY)};
#undef ENTRY

/* A function's address, and the base of the object that defines it. */
struct found {
    void *address;
    uint64_t base;
};

/* A program that is not PIE and takes a function's address has a symbol of that name without defining it: its value is
 * a stub of the program's that calls what the loader has found. */
static bool defined_there(void *address, uint64_t *base) {
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    struct link_map *map = NULL;
    if (!dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol || symbol->st_shndx == SHN_UNDEF ||
        !dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP))
        return false;
    *base = map->l_addr;
    return true;
}

/* The first object in the loader's order that defines the name itself. */
static bool search(const struct otp_objects *objects, const char *name, struct found *found) {
    for (size_t i = 1; i < objects->count; i++) {
        void *pin;
        if (!otp_object_pin(&objects->items[i], &pin) || !pin)
            continue;
        found->address = dlsym(pin, name);
        bool own =
            found->address && defined_there(found->address, &found->base) && found->base == objects->items[i].base;
        otp_object_unpin(pin);
        if (own)
            return true;
    }
    return false;
}

static bool resolve(const struct otp_objects *objects, const char *name, struct found *found) {
    found->address = dlsym(RTLD_DEFAULT, name);
    if (!found->address)
        return false;
    return defined_there(found->address, &found->base) || search(objects, name, found);
}

static void set_real(struct otp_hook *hook, void *address) { *(void **)(void *)&hook->real = address; }

static bool over_malloc(enum otp_hook_number number) {
#define CASE(name)                                                                                                     \
    if (number == OTP_HOOK_##name)                                                                                     \
        return true;
    OTP_HOOKS_OVER_MALLOC(CASE)
#undef CASE
    return false;
}

static bool find_owner(const struct otp_objects *objects, struct otp_hook_owner *owner) {
    struct found found;
    uint64_t libc;
    if (!resolve(objects, "malloc", &found))
        return false;
    owner->base = found.base;
    owner->is_program = found.base == objects->items[0].base;
    owner->is_libc = defined_there((void *)(uintptr_t)gnu_get_libc_version, &libc) && libc == found.base;
    return true;
}

/*
 * Hooks of locks try first, by a function that is called by its name: it must be of the same kin as the one that waits,
 * or (one of the two is somebody's own) the lock is left alone. Kin by the beginning of the name.
 */
static const struct kin {
    const char *beginning, *trying;
} kins[] = {
    {"pthread_mutex_", "pthread_mutex_trylock"},
    {"pthread_rwlock_", "pthread_rwlock_tryrdlock"},
    {"pthread_spin_", "pthread_spin_trylock"},
    {"sem_", "sem_trywait"},
    {"mtx_", "mtx_trylock"},
};

static bool of_one_kin(const struct otp_objects *objects, const char *name, const struct found *found) {
    for (size_t i = 0; i < sizeof(kins) / sizeof(kins[0]); i++) {
        struct found trying;
        if (!strncmp(name, kins[i].beginning, strlen(kins[i].beginning)))
            return resolve(objects, kins[i].trying, &trying) && trying.base == found->base;
    }
    return true;
}

/* The two that glibc has had in another form: pthread_cond_wait@GLIBC_2.2.5 takes another struct. */
static void set_versions(void) {
    otp_hooks[OTP_HOOK_pthread_cond_wait].version = "GLIBC_2.3.2";
    otp_hooks[OTP_HOOK_pthread_cond_timedwait].version = "GLIBC_2.3.2";
}

static bool takes(const struct otp_objects *objects, const struct otp_hook_owner *owner, int number,
                  const struct found *found) {
    if (otp_hooks[number].types == OTP_HOOK_LOCK)
        return of_one_kin(objects, otp_hooks[number].name, found);
    return !over_malloc((enum otp_hook_number)number) || (found->base == owner->base && !owner->is_libc);
}

bool otp_hooks_resolve(struct otp_hook_owner *owner) {
    struct otp_objects objects;
    if (otp_objects_list(&objects) || !objects.count)
        return false;
    bool known = find_owner(&objects, owner);
    set_versions();
    for (int i = 0; known && i < OTP_HOOK_COUNT; i++) {
        struct found found;
        if (otp_hooks[i].real || !resolve(&objects, otp_hooks[i].name, &found))
            continue;
        if (takes(&objects, owner, i, &found))
            set_real(&otp_hooks[i], found.address);
    }
    dlerror(); /* what was not found is nobody's error */
    otp_objects_free(&objects);
    return known && otp_hooks[OTP_HOOK_malloc].real && otp_hooks[OTP_HOOK_free].real;
}

/* Objects have up to some 100,000 such names, and nearly all are none of ours. */
static bool may_be_one(const char *name) {
    static const char beginnings[][3] = {"ma", "me", "ca", "re", "fr", "al", "po", "pv",
                                         "va", "dl", "pt", "se", "mt", "cn", "th"};
    if (name[0] == '_')
        return name[1] == 'Z' && (name[2] == 'n' || name[2] == 'd');
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        if (name[0] == beginnings[i][0] && name[1] == beginnings[i][1])
            return true;
    return false;
}

const struct otp_hook *otp_hooks_find(const char *name) {
    if (!may_be_one(name))
        return NULL;
    for (int i = 0; i < OTP_HOOK_COUNT; i++)
        if (otp_hooks[i].real && !strcmp(otp_hooks[i].name, name))
            return &otp_hooks[i];
    return NULL;
}

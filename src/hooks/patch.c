// SPDX-License-Identifier: Apache-2.0
#include "hooks/patch.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/error.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "base/sys.h"
#include "hooks/hook_state.h"
#include "hooks/hook_table.h"
#include "hooks/object_words.h"
#include "hooks/objects.h"

#define OWN_PREFIX "libotelprof"
#define PATIENCE_STEPS 200 /* of a millisecond: for another thread's work on the words */

struct patched_word {
    uint64_t *address;
    const struct otp_hook *hook;
};

/* An object that was looked at. */
struct patched {
    uint64_t base;
    const ElfW(Dyn) * dynamic;
    struct patched_word *words; /* that may lead to hooks */
    size_t count, capacity;
    bool seen;
};

/* `busy` is held by whoever changes what is below it; `again` says that there is more to do. */
static struct {
    _Atomic uint32_t wanted; /* enum otp_hook_type: words of which hooks lead to them */
    _Atomic bool busy, again;
    bool resolved;
    struct otp_hook_owner owner;
    uint32_t applied; /* what was wanted when the words were written last */
    struct patched *objects;
    size_t count, capacity;
    _Atomic unsigned long long loads, unloads; /* of the loader, when it was last looked at */
    bool out_of_memory;
    _Atomic uint64_t counted_objects, counted_words, failed, foreign;
    _Atomic int reach;
} self;

static uint64_t hook_value(const struct otp_hook *hook) { return (uint64_t)(uintptr_t)hook->hook; }
static uint64_t real_value(const struct otp_hook *hook) { return (uint64_t)(uintptr_t)hook->real; }

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

/* ---------------------------------------------------------------------------------------- which objects */

static bool left_alone(const struct otp_object *object) {
    const char *slash = strrchr(object->name, '/');
    const char *file = slash ? slash + 1 : object->name;
    if (!object->dynamic || !strncmp(file, OWN_PREFIX, sizeof(OWN_PREFIX) - 1))
        return true;
#ifdef __SANITIZE_THREAD__
    /* A thread's start allocates in the C library before ThreadSanitizer knows the thread, and hooks are built with it.
     */
    if (!strcmp(file, "libc.so.6"))
        return true;
#endif
    return false;
}

/* What an allocator calls of its own kind is its own affair. */
static uint32_t types_in(const struct otp_object *object) {
    bool allocator = object->base == self.owner.base && !self.owner.is_libc && !self.owner.is_program;
    return allocator ? ~(uint32_t)OTP_HOOK_HEAP : UINT32_MAX;
}

static struct patched *find(const struct otp_object *object) {
    for (size_t i = 0; i < self.count; i++)
        if (self.objects[i].base == object->base && self.objects[i].dynamic == object->dynamic)
            return &self.objects[i];
    return NULL;
}

static struct patched *add(const struct otp_object *object) {
    if (self.count == self.capacity) {
        size_t capacity = self.capacity ? self.capacity * 2 : 32;
        void *larger = otp_sys.realloc(self.objects, capacity * sizeof(self.objects[0]));
        if (!larger) {
            self.out_of_memory = true;
            return NULL;
        }
        self.objects = larger;
        self.capacity = capacity;
    }
    self.objects[self.count] = (struct patched){.base = object->base, .dynamic = object->dynamic};
    return &self.objects[self.count++];
}

static void drop_unseen(void) {
    size_t kept = 0;
    for (size_t i = 0; i < self.count; i++) {
        if (self.objects[i].seen)
            self.objects[kept++] = self.objects[i];
        else
            free(self.objects[i].words);
    }
    self.count = kept;
}

/* ---------------------------------------------------------------------------------------------- the words */

struct scan {
    const struct otp_object *object;
    struct patched *patched;
};

static bool reserve(struct patched *patched) {
    if (patched->count < patched->capacity)
        return true;
    size_t capacity = patched->capacity ? patched->capacity * 2 : 8;
    void *larger = otp_sys.realloc(patched->words, capacity * sizeof(patched->words[0]));
    if (!larger) {
        self.out_of_memory = true;
        return false;
    }
    patched->words = larger;
    patched->capacity = capacity;
    return true;
}

static void take_word(void *user, const struct otp_word *word) {
    struct scan *scan = user;
    const struct otp_hook *hook = otp_hooks_find(word->name);
    if (!hook || !(hook->types & types_in(scan->object)))
        return;
    const char *version = hook->version ? otp_word_version(scan->object, word) : NULL;
    uint64_t value = load(word->address);
    bool stub = word->lazy && value != word->own && otp_object_has(scan->object, value, 1, PF_X);
    bool another = version && strcmp(version, hook->version) != 0;
    if (another || (value != hook_value(hook) && value != real_value(hook) && !stub)) {
        atomic_fetch_add(&self.foreign, 1);
        return;
    }
    if (reserve(scan->patched))
        scan->patched->words[scan->patched->count++] = (struct patched_word){word->address, hook};
}

/* False: another object has come to lie where that of the list was, and it is smaller. */
static bool there(const struct otp_object *object, const struct patched_word *word) {
    return otp_object_has(object, (uintptr_t)word->address, sizeof(*word->address), PF_W);
}

/* True if the word lies in what the loader has made read-only. */
static bool inside(const struct patched_word *word, uint64_t start, size_t size) {
    return (uintptr_t)word->address - start < size;
}

/*
 * Writes all words of an object that is pinned: the hook's address in those of the types that are wanted, the real
 * function's in the others. Other threads read the read-only part meanwhile, and go on doing so.
 */
static void write_words(const struct otp_object *object, const struct patched *patched, uint32_t wanted) {
    uint64_t start;
    size_t size;
    bool open = false, refused = false;
    otp_object_relro(object, &start, &size);
    for (size_t i = 0; i < patched->count; i++) {
        const struct patched_word *word = &patched->words[i];
        if (!there(object, word))
            continue;
        uint64_t value = load(word->address), hook = hook_value(word->hook);
        bool to_hook = (word->hook->types & wanted) != 0;
        if (to_hook ? value == hook : value != hook) /* also where somebody has put something else there */
            continue;
        if (inside(word, start, size) && !open && !refused) {
            open = !mprotect((void *)start, size, PROT_READ | PROT_WRITE); /* NOLINT(performance-no-int-to-ptr) */
            refused = !open;
        }
        if (inside(word, start, size) && refused)
            atomic_fetch_add(&self.failed, 1);
        else
            __atomic_store_n(word->address, to_hook ? hook : real_value(word->hook), __ATOMIC_RELEASE);
    }
    if (open)
        mprotect((void *)start, size, PROT_READ); /* NOLINT(performance-no-int-to-ptr) */
}

/* True if a word still leads to its hook: the object is the one that was looked at, and not loaded anew. */
static bool as_left(const struct otp_object *object, const struct patched *patched) {
    for (size_t i = 0; i < patched->count; i++) {
        const struct patched_word *word = &patched->words[i];
        if (word->hook->types & self.applied)
            return there(object, word) && load(word->address) == hook_value(word->hook);
    }
    return false;
}

static void scan_and_write(const struct otp_object *object, struct patched *patched, uint32_t wanted) {
    struct scan scan = {object, patched};
    if (!as_left(object, patched)) {
        patched->count = 0;
        otp_object_words(object, take_word, &scan);
    }
    write_words(object, patched, wanted);
}

/* `known` objects that were looked at are as they were. */
static void look_at(const struct otp_object *object, bool known, uint32_t wanted) {
    struct patched *patched = find(object);
    void *pin;
    if (patched && known) {
        patched->seen = true;
        return;
    }
    if (!otp_object_pin(object, &pin))
        return; /* it is gone already */
    if (!patched)
        patched = add(object);
    if (patched) {
        scan_and_write(object, patched, wanted);
        patched->seen = true;
    }
    otp_object_unpin(pin);
}

/* -------------------------------------------------------------------------------------- all objects at once */

static void show_counts(void) {
    uint64_t objects = 0, words = 0;
    for (size_t i = 0; i < self.count; i++) {
        uint64_t before = words;
        for (size_t j = 0; j < self.objects[i].count; j++)
            words += (self.objects[i].words[j].hook->types & self.applied) != 0;
        objects += words > before;
    }
    atomic_store(&self.counted_objects, objects);
    atomic_store(&self.counted_words, words);
}

static void put_all(uint32_t wanted) {
    struct otp_objects objects;
    if (otp_objects_list(&objects)) {
        self.out_of_memory = true;
        return;
    }
    bool known = objects.unloads == self.unloads && wanted == self.applied;
    self.loads = objects.loads;
    self.unloads = objects.unloads;
    for (size_t i = 0; i < self.count; i++)
        self.objects[i].seen = false;
    for (size_t i = 0; i < objects.count; i++)
        if (!left_alone(&objects.items[i]))
            look_at(&objects.items[i], known, wanted);
    self.applied = wanted;
    drop_unseen();
    otp_objects_free(&objects);
}

static void take_back_all(void) {
    struct otp_objects objects;
    if (otp_objects_list(&objects)) {
        self.out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < objects.count; i++) {
        struct patched *patched = find(&objects.items[i]);
        void *pin;
        if (patched && patched->count && otp_object_pin(&objects.items[i], &pin)) {
            write_words(&objects.items[i], patched, 0);
            otp_object_unpin(pin);
        }
    }
    for (size_t i = 0; i < self.count; i++)
        self.objects[i].seen = false;
    self.applied = 0;
    drop_unseen();
    otp_objects_free(&objects);
}

/*
 * Does what is wanted, unless another thread is at it: that one then does it once more. Waiting for it could be for
 * ever, if this thread holds the loader's lock (a constructor) and that one wants it.
 */
static void settle(void) {
    atomic_store(&self.again, true);
    while (atomic_load(&self.again) && !atomic_exchange(&self.busy, true)) {
        atomic_store(&self.again, false);
        if (!self.resolved)
            self.resolved = otp_hooks_resolve(&self.owner);
        uint32_t wanted = atomic_load(&self.wanted);
        if (self.resolved && wanted)
            put_all(wanted);
        else
            take_back_all();
        dlerror(); /* an object that went meanwhile is not the host's error */
        show_counts();
        atomic_store(&self.reach, !self.resolved          ? OTP_REACH_NOTHING
                                  : self.owner.is_program ? OTP_REACH_LIBRARIES
                                                          : OTP_REACH_ALL);
        atomic_store(&self.busy, false);
    }
}

static void wait_settled(void) {
    for (int i = 0; i < PATIENCE_STEPS && (atomic_load(&self.busy) || atomic_load(&self.again)); i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

int otp_patch_install(uint32_t types) {
    atomic_fetch_or(&self.wanted, types);
    settle();
    wait_settled();
    if (self.out_of_memory)
        return otp_error(OTELPROF_E_MEMORY, "no memory for the list of words that lead to hooks");
    if (otp_patch_reach() == OTP_REACH_NOTHING || !atomic_load(&self.counted_words))
        return otp_error(OTELPROF_E_KERNEL, "no call goes through a word that the loader fills: a static program");
    return 0;
}

void otp_patch_remove(uint32_t types) {
    if (!(atomic_fetch_and(&self.wanted, ~types) & types))
        return;
    settle();
    wait_settled();
}

void otp_patch_follow(void) {
    unsigned long long loads, unloads;
    otp_objects_changes(&loads, &unloads);
    if (loads == self.loads && unloads == self.unloads)
        return;
    atomic_store(&otp_hook_state()->objects_changed, true);
    settle();
}

bool otp_patch_follows(void) {
    return otp_fork_guard_mine() && atomic_load_explicit(&self.wanted, memory_order_relaxed) != 0;
}

enum otp_patch_reach otp_patch_reach(void) { return (enum otp_patch_reach)atomic_load(&self.reach); }

void otp_patch_counts(struct otp_patch_counts *counts) {
    *counts = (struct otp_patch_counts){
        atomic_load(&self.counted_objects),
        atomic_load(&self.counted_words),
        atomic_load(&self.failed),
        atomic_load(&self.foreign),
    };
}

void otp_patch_forked_child(void) {
    if (atomic_load(&self.busy)) { /* nobody knows in what state the list is: it is abandoned, the words stay */
        self.objects = NULL;
        self.count = self.capacity = 0;
        self.applied = 0;
    }
    atomic_store(&self.busy, false);
    atomic_store(&self.again, false);
    atomic_store(&self.wanted, 0);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * The words of a loaded object that the loader fills with the addresses of functions: what calls of other objects' go
 * through, and of its own that others may stand in for (JUMP_SLOT, GLOB_DAT) and where addresses were taken as data
 * (R_X86_64_64, R_AARCH64_ABS64). By the object's own tables in memory; nothing is read outside of its segments.
 */
#ifndef OTP_HOOKS_OBJECT_WORDS_H
#define OTP_HOOKS_OBJECT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "hooks/objects.h"

struct otp_word {
    uint64_t *address; /* aligned, inside the object */
    const char *name;  /* of the symbol; into the object */
    uint64_t own;      /* the object's own definition of it; 0: it has none */
    bool lazy;         /* a slot that the loader may not have filled yet: it then leads back into the object */
    uint64_t symbol;   /* its number */
};

/* Gets each word that belongs to a symbol. */
typedef void (*otp_word_fn)(void *user, const struct otp_word *word);

/* For an object that is pinned. False: it has no tables, or they make no sense. */
bool otp_object_words(const struct otp_object *object, otp_word_fn take, void *user);

/* The version of the symbol that the object asks for; NULL: any. Into the object. */
const char *otp_word_version(const struct otp_object *object, const struct otp_word *word);

/* True if the object tells the loader where to look for others (DT_RUNPATH, DT_RPATH). */
bool otp_dynamic_has_path(const ElfW(Dyn) * dynamic);

#endif

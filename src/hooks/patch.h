// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the words of loaded objects lead to the hooks, follows objects that come and go, and puts the words back. On
 * threads of the host, whose calls take the loader's lock; never waits for another thread for long: who finds somebody
 * at work leaves the wish to him.
 *
 * Left alone are our own objects, and in the object that brings an allocator (jemalloc) what allocates: its calls
 * within itself are its own affair. A word that holds neither the real function nor a hook belongs to somebody else,
 * and stays.
 */
#ifndef OTP_HOOKS_PATCH_H
#define OTP_HOOKS_PATCH_H

#include <stdbool.h>
#include <stdint.h>

struct otp_patch_counts {
    uint64_t objects; /* with words of ours in them, now */
    uint64_t words;   /* that lead to a hook, now */
    uint64_t failed;  /* could not be written, so far */
    uint64_t foreign; /* led elsewhere, so far */
};

/* What can be reached of this process's allocations. */
enum otp_patch_reach {
    OTP_REACH_ALL,
    OTP_REACH_LIBRARIES, /* the program brings an allocator of its own, and calls it directly */
    OTP_REACH_NOTHING,   /* no words at all: a static program */
};

/*
 * Words lead to the hooks of these types (enum otp_hook_type) from now on, also those of objects that are loaded later.
 * Must not be called before otp_hook_state_make() and the like: hooks run at once. 0; OTELPROF_E_MEMORY;
 * OTELPROF_E_KERNEL if nothing can be reached.
 */
int otp_patch_install(uint32_t types);

/* Puts their words back as they were. Addresses that the program has copied meanwhile still lead to the hooks. */
void otp_patch_remove(uint32_t types);

/* An object has come or gone. Nothing happens where nothing has changed. */
void otp_patch_follow(void);

/* True while words lead to hooks in this process. */
bool otp_patch_follows(void);

enum otp_patch_reach otp_patch_reach(void);

/* Any thread. */
void otp_patch_counts(struct otp_patch_counts *counts);

/* In a forked child, where another thread of the parent may have been at work. Async-signal-safe. */
void otp_patch_forked_child(void);

#endif

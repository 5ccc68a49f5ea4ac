// SPDX-License-Identifier: Apache-2.0
/* The sites of lock_truth: how each waits, who lets go of what it waits for, and how. */
#ifndef OTP_TESTS_LOCK_TRUTH_H
#define OTP_TESTS_LOCK_TRUTH_H

#include <stdbool.h>
#include <time.h>

struct lock_site {
    const char *name;           /* NAME; the functions are wait_NAME() and release_NAME() */
    const char *kind, *mode;    /* as profiles call them; mode "": none */
    const char *holder_mode;    /* how the holder has it; NULL: what is waited for has no holder */
    const char *lock_name;      /* what profiles call the lock; NULL: the name of no variable */
    void *(*lock)(void);        /* makes it, once; what wait and release get */
    int (*wait)(void *lock);    /* 0: it is there */
    void (*unwait)(void *lock); /* gives back what wait got; NULL: nothing */
    void (*take)(void *lock);   /* by the partner, before the waiter comes; NULL: nothing */
    void (*release)(void *lock);
    bool times_out; /* wait gives up before release */
    bool no_owner;  /* the lock does not tell who has it */
};

extern const struct lock_site lock_sites[];
extern const unsigned lock_site_count;

/* What wait() may last, for sites that time out. */
extern _Thread_local struct timespec lock_patience;

/* The site whose functions lie in a library that is loaded while the program runs. */
extern struct lock_site lock_module_site;

#endif

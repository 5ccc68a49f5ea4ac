// SPDX-License-Identifier: Apache-2.0
/*
 * What kind of program a file is: can the loader put the preload object into it? For `otelprof run`, and for the
 * preload object when the program executes another. Async-signal-safe.
 */
#ifndef OTP_PRELOAD_IMAGE_H
#define OTP_PRELOAD_IMAGE_H

#define OTP_IMAGE_HEAD 4096     /* of a file, enough for an ELF header or a line of a script */
#define OTP_IMAGE_SCRIPTS_MAX 5 /* scripts run by scripts; the kernel's own limit (fs/exec.c: exec_binprm) */

enum otp_image_kind {
    OTP_IMAGE_TAKES_US,     /* a program of this machine with a loader that preloads */
    OTP_IMAGE_SCRIPT,       /* "#!": what matters is its interpreter */
    OTP_IMAGE_TEXT,         /* no "#!", for a shell */
    OTP_IMAGE_SET_USER_ID,  /* the loader ignores preloaded objects in this and the next two */
    OTP_IMAGE_SET_GROUP_ID, /* */
    OTP_IMAGE_CAPABILITIES, /* file capabilities */
    OTP_IMAGE_STATIC,       /* no loader */
    OTP_IMAGE_MUSL,         /* its loader fails on objects for glibc */
    OTP_IMAGE_FOREIGN,      /* for another machine */
    OTP_IMAGE_UNREADABLE,   /* with errno */
    OTP_IMAGE_BINARY,       /* neither program nor text */
    OTP_IMAGE_SHORT,        /* the rest begins like a program and is none */
    OTP_IMAGE_OBJECT,
    OTP_IMAGE_DAMAGED,
};

struct otp_image {
    enum otp_image_kind kind;
    char *text; /* SCRIPT: the first line behind "#!"; MUSL: the loader. Within `head` */
    unsigned elf_class, elf_machine;
    char head[OTP_IMAGE_HEAD + 1];
};

/* Looks at an open file. */
enum otp_image_kind otp_image_look(struct otp_image *image, int fd);

/* The next word of a script's first line, or NULL; `*at` goes behind it. */
char *otp_image_word(char **at);

#endif

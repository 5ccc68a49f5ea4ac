// SPDX-License-Identifier: Apache-2.0
/* For tests: the tables of this process in plain memory, and its own threads' registers. */
#ifndef OTP_TEST_OWN_TABLES_H
#define OTP_TEST_OWN_TABLES_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "unwind/elf_source.h"
#include "unwind/modules.h"
#include "unwind/tables.h"
#include "unwind/walk.h"

static inline struct otp_tables_memory memory_new(size_t rows, size_t pages) {
    struct otp_tables_memory memory = {.row_capacity = rows, .page_capacity = pages};
    memory.rows = calloc(rows / 2 + 1, 8);
    memory.pages = calloc(pages / 2 + 1, 8);
    memory.rules = calloc(OTP_RULES_MAX, 8);
    memory.segments[0] = calloc(OTP_SEGMENTS_MAX, sizeof(struct otp_segment));
    memory.segments[1] = calloc(OTP_SEGMENTS_MAX, sizeof(struct otp_segment));
    memory.control = calloc(1, sizeof(struct otp_control));
    ck_assert(memory.rows && memory.pages && memory.rules && memory.segments[0] && memory.segments[1] &&
              memory.control);
    return memory;
}

static inline void memory_free(struct otp_tables_memory *memory) {
    free(memory->rows);
    free(memory->pages);
    free(memory->rules);
    free(memory->segments[0]);
    free(memory->segments[1]);
    free(memory->control);
}

struct own_tables {
    struct otp_modules *modules;
    struct otp_tables *tables;
    struct otp_tables_memory memory;
};

/* Scans and builds what has changed. */
static inline void own_build(struct own_tables *own) {
    bool changed;
    ck_assert_int_eq(otp_modules_scan(own->modules, otp_tables_generation(own->tables) + 1, &changed), 0);
    ck_assert_int_eq(otp_tables_build(own->tables, own->modules), 0);
}

/* All of it, in memory `factor` times as large as what is needed. */
static inline struct own_tables own_new(size_t factor) {
    size_t rows, pages;
    struct own_tables own = {otp_modules_new(), otp_tables_new(), {.rows = NULL}};
    own_build(&own);
    otp_tables_needs(own.tables, &rows, &pages);
    own.memory = memory_new(rows * factor, pages * factor);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), 0);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
    return own;
}

static inline void own_free(struct own_tables *own) {
    otp_tables_free(own->tables);
    otp_modules_free(own->modules);
    memory_free(&own->memory);
}

/* Reads the stack through the kernel, as sanitizers like it. */
static inline int read_stack(void *user, uint64_t address, uint64_t *word) {
    (void)user;
    return otp_memory_read(address, word, sizeof(*word)) == sizeof(*word) ? 0 : -1;
}

static inline struct otp_frame frame_of(const ucontext_t *context, uint32_t exact) {
#if defined(__x86_64__)
    const greg_t *reg = context->uc_mcontext.gregs;
    return (struct otp_frame){
        .pc = (uint64_t)reg[REG_RIP], .sp = (uint64_t)reg[REG_RSP], .fp = (uint64_t)reg[REG_RBP], .exact = exact};
#else
    return (struct otp_frame){.pc = context->uc_mcontext.pc,
                              .sp = context->uc_mcontext.sp,
                              .fp = context->uc_mcontext.regs[29],
                              .lr = context->uc_mcontext.regs[30],
                              .exact = exact};
#endif
}

#define WALK_MAX 512

struct walked {
    struct otp_walk_result result;
    uint64_t frames[WALK_MAX];
};

/* The calling function's stack; its first frame is that of this call. Fit for signal handlers. */
#define WALK_HERE(memory, walked, max)                                                                                 \
    do {                                                                                                               \
        ucontext_t here_;                                                                                              \
        getcontext(&here_);                                                                                            \
        struct otp_frame frame_ = frame_of(&here_, 0);                                                                 \
        (walked)->result = otp_walk((memory), &frame_, NULL, read_stack, NULL, (walked)->frames, (max));               \
    } while (0)

#endif

// SPDX-License-Identifier: Apache-2.0
/* The step by itself: each kind of rule over a small made-up stack, and every way in which it can end. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "test_main.h"

#define BASE 0x7000u
#define WORDS 64

struct otp_stack {
    uint64_t word[WORDS]; /* at BASE */
};

static int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    if (address < BASE || address >= BASE + sizeof(stack->word) || address % 8)
        return -1;
    *word = stack->word[(address - BASE) / 8];
    return 0;
}

#include "unwind_step.h"

/* A stack whose words tell where they are. */
static struct otp_stack filled(void) {
    struct otp_stack stack;
    for (uint64_t i = 0; i < WORDS; i++)
        stack.word[i] = 0x1000 + i;
    return stack;
}

static struct otp_frame leaf_frame(void) {
    return (struct otp_frame){.pc = 0x400, .sp = BASE, .fp = BASE + 0x40, .lr = 0x800, .exact = 1};
}

static int step(struct otp_frame *frame, struct otp_rule rule) {
    struct otp_stack stack = filled();
    return otp_unwind_step(&stack, frame, &rule, NULL);
}

/* The caller's registers after a step that must succeed. */
static struct otp_frame caller(struct otp_rule rule) {
    struct otp_frame frame = leaf_frame();
    ck_assert_int_eq(step(&frame, rule), -1);
    return frame;
}

static int stop(struct otp_rule rule, struct otp_frame frame) {
    const struct otp_frame before = frame;
    int reason = step(&frame, rule);
    ck_assert_int_ge(reason, 0);
    ck_assert_mem_eq(&frame, &before, sizeof(frame));
    return reason;
}

#define WORD(address) (0x1000u + ((address)-BASE) / 8)

#if defined(__x86_64__)

START_TEST(kinds) {
    struct otp_frame frame = caller((struct otp_rule){OTP_RULE_SP, OTP_FP_SAME, 0, 16});
    ck_assert_uint_eq(frame.sp, BASE + 16);
    ck_assert_uint_eq(frame.pc, WORD(BASE + 8));
    ck_assert_uint_eq(frame.fp, BASE + 0x40);
    ck_assert_uint_eq(frame.exact, 0);
    frame = caller((struct otp_rule){OTP_RULE_FP, OTP_FP_CFA, -16, 16});
    ck_assert_uint_eq(frame.sp, BASE + 0x50);
    ck_assert_uint_eq(frame.pc, WORD(BASE + 0x48));
    ck_assert_uint_eq(frame.fp, WORD(BASE + 0x40));
    frame = caller((struct otp_rule){OTP_RULE_FRAMEPTR, OTP_FP_CFA, -16, 16});
    ck_assert_uint_eq(frame.sp, BASE + 0x50);
    frame = caller((struct otp_rule){OTP_RULE_SP, OTP_FP_LOST, 0, 8});
    ck_assert_uint_eq(frame.fp_lost, 1);
    frame = caller((struct otp_rule){OTP_RULE_PLT, 0, 0, 11});
    ck_assert_uint_eq(frame.sp, BASE + 8);
}
END_TEST

START_TEST(plt_entries_push_at_their_threshold) {
    for (uint64_t offset = 0; offset < 16; offset++) {
        struct otp_frame frame = leaf_frame();
        frame.pc = 0x400 + offset;
        ck_assert_int_eq(step(&frame, (struct otp_rule){OTP_RULE_PLT, 0, 0, 10}), -1);
        ck_assert_uint_eq(frame.sp, BASE + (offset >= 10 ? 16 : 8));
    }
}
END_TEST

START_TEST(dereferences) {
    struct otp_stack stack = filled();
    struct otp_frame frame = leaf_frame();
    struct otp_rule rule = {OTP_RULE_DEREF_SP, OTP_FP_SAME, 0, OTP_RULE_OFFSET_PAIR(24, 8)};
    stack.word[3] = BASE + 0x60;
    ck_assert_int_eq(otp_unwind_step(&stack, &frame, &rule, NULL), -1);
    ck_assert_uint_eq(frame.sp, BASE + 0x68);
    frame = leaf_frame();
    rule = (struct otp_rule){OTP_RULE_DEREF_FP, OTP_FP_FP, 0, OTP_RULE_OFFSET_PAIR(-8, 0)};
    stack.word[7] = BASE + 0x80;
    ck_assert_int_eq(otp_unwind_step(&stack, &frame, &rule, NULL), -1);
    ck_assert_uint_eq(frame.sp, BASE + 0x80);
    ck_assert_uint_eq(frame.fp, WORD(BASE + 0x40));
    frame = leaf_frame();
    rule = (struct otp_rule){OTP_RULE_DEREF_SP, OTP_FP_SAME, 0, OTP_RULE_OFFSET_PAIR(24, -32)};
    ck_assert_int_eq(otp_unwind_step(&stack, &frame, &rule, NULL), -1);
    ck_assert_uint_eq(frame.sp, BASE + 0x40);
}
END_TEST

START_TEST(another_register_in_the_leaf_only) {
    struct otp_stack stack = filled();
    struct otp_frame frame = leaf_frame();
    struct otp_leaf_registers leaf = {.reg = {[10] = BASE + 0x20}};
    const struct otp_rule rule = {OTP_RULE_REG, OTP_FP_SAME | 10 << OTP_RULE_REG_SHIFT, 0, 8};
    ck_assert_int_eq(otp_unwind_step(&stack, &frame, &rule, &leaf), -1);
    ck_assert_uint_eq(frame.sp, BASE + 0x28);
    ck_assert_int_eq(stop(rule, leaf_frame()), OTP_STOP_UNSUPPORTED);
}
END_TEST

START_TEST(a_signal_frame_gives_all_registers_back) {
    struct otp_frame frame = caller((struct otp_rule){OTP_RULE_SIGNAL, 0, 0, 8});
    ck_assert_uint_eq(frame.pc, WORD(BASE + 8 + 168));
    ck_assert_uint_eq(frame.sp, WORD(BASE + 8 + 160));
    ck_assert_uint_eq(frame.fp, WORD(BASE + 8 + 120));
    ck_assert_uint_eq(frame.exact, 1);
    frame = leaf_frame();
    frame.fp_lost = 1;
    ck_assert_int_eq(step(&frame, (struct otp_rule){OTP_RULE_SIGNAL, 0, 0, 0}), -1);
    ck_assert_uint_eq(frame.fp_lost, 0);
    frame.sp = BASE + sizeof(struct otp_stack) - 8;
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SIGNAL, 0, 0, 0}, frame), OTP_STOP_READ_FAULT);
}
END_TEST

START_TEST(ends) {
    struct otp_frame frame = leaf_frame(), lost = leaf_frame();
    lost.fp_lost = 1;
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_STOP, 0, 0, 0}, frame), OTP_STOP_COMPLETE);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_NONE, 0, 0, 0}, frame), OTP_STOP_NO_ROWS);
    ck_assert_int_eq(stop((struct otp_rule){200, 0, 0, 0}, frame), OTP_STOP_NO_ROWS);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_UNSUPPORTED, 0, 0, 0}, frame), OTP_STOP_UNSUPPORTED);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_FP, 0, 0, 16}, lost), OTP_STOP_UNSUPPORTED);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_DEREF_FP, 0, 0, 16}, lost), OTP_STOP_UNSUPPORTED);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, OTP_FP_FP, 0, 16}, lost), OTP_STOP_UNSUPPORTED);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, 0, 0, 0}, frame), OTP_STOP_BAD_FRAME);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, 0, 0, -8}, frame), OTP_STOP_BAD_FRAME);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, 0, 0, 20}, frame), OTP_STOP_BAD_FRAME);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, 0, 0, 8 * WORDS + 16}, frame), OTP_STOP_READ_FAULT);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, OTP_FP_CFA, -64, 16}, frame), OTP_STOP_READ_FAULT);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_DEREF_SP, 0, 0, OTP_RULE_OFFSET_PAIR(-8, 0)}, frame),
                     OTP_STOP_READ_FAULT);
    frame.fp = 0;
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_FRAMEPTR, OTP_FP_CFA, -16, 16}, frame), OTP_STOP_NO_ROWS);
}
END_TEST

/* Whatever a damaged table or stack says, the stack pointer goes up or the walk ends. */
START_TEST(random_rules_and_stacks) {
    srandom(7);
    for (int i = 0; i < 2000000; i++) {
        struct otp_stack stack;
        for (size_t word = 0; word < WORDS; word++)
            stack.word[word] = random() % 3 ? BASE + (uint64_t)(random() % 640) : (uint64_t)random() << 20;
        struct otp_rule rule = {(uint8_t)(random() % 12), (uint8_t)random(), (int16_t)(random() % 256 - 128),
                                (int32_t)(random() % 512 - 64)};
        struct otp_leaf_registers leaf;
        memcpy(leaf.reg, stack.word, sizeof(leaf.reg));
        struct otp_frame frame = leaf_frame(), before = frame;
        int reason = otp_unwind_step(&stack, &frame, &rule, i % 2 ? &leaf : NULL);
        ck_assert(reason >= -1 && reason < OTP_STOP_COUNT);
        if (reason >= 0)
            ck_assert_mem_eq(&frame, &before, sizeof(frame));
        else if (rule.kind != OTP_RULE_SIGNAL)
            ck_assert(frame.sp > before.sp || (frame.sp == before.sp && (rule.flags & OTP_RA_MASK) == OTP_RA_LR));
    }
}
END_TEST

OTP_TEST_MAIN("unwind_step", 120, kinds, plt_entries_push_at_their_threshold, dereferences,
              another_register_in_the_leaf_only, a_signal_frame_gives_all_registers_back, ends, random_rules_and_stacks)

#else

START_TEST(link_register_and_frame_record) {
    struct otp_frame frame = caller((struct otp_rule){OTP_RULE_SP, OTP_FP_SAME | OTP_RA_LR, 0, 0});
    ck_assert_uint_eq(frame.pc, 0x800);
    ck_assert_uint_eq(frame.sp, BASE);
    ck_assert_int_eq(stop((struct otp_rule){OTP_RULE_SP, OTP_FP_SAME | OTP_RA_LR, 0, 0}, frame), OTP_STOP_BAD_FRAME);
    frame = caller((struct otp_rule){OTP_RULE_SP, OTP_FP_CFA | OTP_RA_BY_FP, -32, 32});
    ck_assert_uint_eq(frame.pc, WORD(BASE + 8));
    ck_assert_uint_eq(frame.fp, WORD(BASE));
}
END_TEST

OTP_TEST_MAIN("unwind_step", 120, link_register_and_frame_record)

#endif

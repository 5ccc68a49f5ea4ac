// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of real objects against libdw, an implementation of its own: at both ends of every row and at random
 * addresses, the step by our rule and the evaluation of libdw's expressions, on the same made-up registers and
 * memory, must give the same caller.
 */
#include <check.h>
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_main.h"
#include "unwind/eh_rows.h"
#include "unwind/elf_source.h"
#include "unwind/modules.h"
#include "unwind/rule_pool.h"

#define STACK 0x7ff000000000ull
#define RANDOM_ADDRESSES 20000

struct otp_stack {
    int unused;
};

/* Memory whose every word is known: aligned, and above all registers, so that no sanity check of the step objects. */
static uint64_t word_at(uint64_t address) {
    uint64_t mix = address * 0x9e3779b97f4a7c15ull;
    return STACK + 0x100000000ull + ((mix >> 20) & 0xfffffff8ull);
}

static int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    (void)stack;
    *word = word_at(address);
    return 0;
}

#include "unwind_step.h"

#if defined(__x86_64__)

/* ---------------------------------------------------------------- an evaluator of DWARF expressions, for libdw's side
 */

struct machine {
    uint64_t reg[17];
    uint64_t cfa;
};

struct value {
    bool ok;
    bool is_value; /* and no address of a value */
    uint64_t word;
};

#define DEPTH 16

static bool binary(uint64_t *stack, int *depth, int op) {
    if (*depth < 2)
        return false;
    uint64_t b = stack[--*depth], a = stack[*depth - 1];
    switch (op) {
    case DW_OP_plus:
        a += b;
        break;
    case DW_OP_minus:
        a -= b;
        break;
    case DW_OP_and:
        a &= b;
        break;
    case DW_OP_shl:
        a <<= b & 63;
        break;
    case DW_OP_ge:
        a = (int64_t)a >= (int64_t)b;
        break;
    default:
        return false;
    }
    stack[*depth - 1] = a;
    return true;
}

static struct value evaluate(const struct machine *machine, const Dwarf_Op *ops, size_t count) {
    uint64_t stack[DEPTH];
    int depth = 0;
    struct value value = {false, false, 0};
    for (size_t i = 0; i < count; i++) {
        int op = ops[i].atom;
        if (depth == DEPTH)
            return value;
        if (op >= DW_OP_breg0 && op <= DW_OP_breg16)
            stack[depth++] = machine->reg[op - DW_OP_breg0] + ops[i].number;
        else if (op == DW_OP_bregx && ops[i].number <= 16)
            stack[depth++] = machine->reg[ops[i].number] + ops[i].number2;
        else if (op == DW_OP_call_frame_cfa)
            stack[depth++] = machine->cfa;
        else if (op >= DW_OP_lit0 && op <= DW_OP_lit31)
            stack[depth++] = (uint64_t)(op - DW_OP_lit0);
        else if (op == DW_OP_plus_uconst && depth)
            stack[depth - 1] += ops[i].number;
        else if (op == DW_OP_deref && depth)
            stack[depth - 1] = word_at(stack[depth - 1]);
        else if (op == DW_OP_stack_value)
            value.is_value = true;
        else if (!binary(stack, &depth, op))
            return value;
    }
    value.ok = depth > 0; /* a register's expression starts with the CFA below it */
    value.word = depth ? stack[depth - 1] : 0;
    return value;
}

/* A register of the caller as libdw sees it. */
enum what { KNOWN, UNDEFINED, NOT_EVALUATED };

static enum what caller_register(Dwarf_Frame *frame, const struct machine *machine, int reg, uint64_t *word) {
    Dwarf_Op memory[3], *ops;
    size_t count;
    if (dwarf_frame_register(frame, reg, memory, &ops, &count))
        return NOT_EVALUATED;
    if (!count && ops)
        return UNDEFINED;
    if (!count) {
        *word = machine->reg[reg];
        return KNOWN;
    }
    struct value value = evaluate(machine, ops, count);
    if (!value.ok)
        return NOT_EVALUATED;
    *word = value.is_value ? value.word : word_at(value.word);
    return KNOWN;
}

/* -------------------------------------------------------------------------------------------------- one address */

struct tally {
    const char *name;
    uint64_t compared, unsupported, fp_lost, stops, not_covered, disagreements;
};

struct object {
    struct otp_eh_rows rows;
    struct otp_rule_pool *pool;
    uint64_t text_start, text_end;
    Dwarf_CFI *cfi;
    struct tally tally;
};

static const struct otp_rule *our_rule(const struct object *object, uint64_t address) {
    uint32_t offset = (uint32_t)(address - object->text_start), count;
    uint32_t low = object->rows.pages[offset >> 12], high = object->rows.pages[(offset >> 12) + 1];
    while (low < high && OTP_ROW_PC(object->rows.rows[low]) <= (offset & 0xfff))
        low++;
    if (!low)
        ck_abort_msg("no row at the start");
    return &otp_rule_pool_rules(object->pool, &count)[OTP_ROW_RULE(object->rows.rows[low - 1])];
}

static void disagree(struct object *object, uint64_t address, const char *what, uint64_t ours, uint64_t theirs) {
    if (object->tally.disagreements++ < 10)
        fprintf(stderr, "%s +0x%llx: %s is 0x%llx, libdw says 0x%llx\n", object->tally.name,
                (unsigned long long)address, what, (unsigned long long)ours, (unsigned long long)theirs);
}

static bool covered_soon(const struct object *object, uint64_t address) {
    for (uint64_t next = address + 1; next <= address + 16; next++) {
        Dwarf_Frame *frame;
        if (!dwarf_cfi_addrframe(object->cfi, next, &frame)) {
            free(frame);
            return true;
        }
    }
    return false;
}

static void compare_frame(struct object *object, uint64_t address, const struct otp_rule *rule, Dwarf_Frame *frame) {
    struct tally *tally = &object->tally;
    struct machine machine = {.cfa = 0};
    struct otp_leaf_registers leaf;
    for (unsigned i = 0; i < 17; i++)
        machine.reg[i] = STACK + 0x100000 + i * 0x10000;
    machine.reg[7] = STACK;
    machine.reg[16] = address;
    memcpy(leaf.reg, machine.reg, sizeof(leaf.reg));
    uint64_t ra, fp;
    enum what ra_known = caller_register(frame, &machine, 16, &ra);
    if (rule->kind == OTP_RULE_STOP || ra_known == UNDEFINED) {
        tally->stops++;
        if (rule->kind != OTP_RULE_STOP || ra_known != UNDEFINED)
            disagree(object, address, "end of the stack", rule->kind, ra_known);
        return;
    }
    if (rule->kind == OTP_RULE_UNSUPPORTED) {
        tally->unsupported++;
        return;
    }
    Dwarf_Op *ops;
    size_t count;
    if (dwarf_frame_cfa(frame, &ops, &count))
        ck_abort_msg("dwarf_frame_cfa");
    struct value cfa = evaluate(&machine, ops, count);
    machine.cfa = cfa.word;
    ra_known = caller_register(frame, &machine, 16, &ra);
    enum what fp_known = caller_register(frame, &machine, 6, &fp);
    struct otp_frame ours = {.pc = address, .sp = machine.reg[7], .fp = machine.reg[6], .exact = 1};
    struct otp_stack stack = {0};
    int stop = otp_unwind_step(&stack, &ours, rule, &leaf);
    tally->compared++;
    if (stop != -1 || !cfa.ok || ra_known != KNOWN) {
        disagree(object, address, "step", (uint64_t)stop, cfa.ok);
        return;
    }
    if (ours.sp != cfa.word)
        disagree(object, address, "CFA", ours.sp, cfa.word);
    if (ours.pc != ra)
        disagree(object, address, "return address", ours.pc, ra);
    if (ours.fp_lost)
        tally->fp_lost++;
    else if (fp_known != KNOWN || ours.fp != fp)
        disagree(object, address, "rbp", ours.fp, fp);
}

static void compare_at(struct object *object, uint64_t address) {
    const struct otp_rule *rule = our_rule(object, address);
    Dwarf_Frame *frame;
    if (!dwarf_cfi_addrframe(object->cfi, address, &frame)) {
        compare_frame(object, address, rule, frame);
        free(frame);
        return;
    }
    object->tally.not_covered++;
    if (rule->kind != OTP_RULE_NONE && rule->kind != OTP_RULE_FRAMEPTR && !covered_soon(object, address))
        disagree(object, address, "rule without an entry", rule->kind, 0);
}

static void compare_all(struct object *object) {
    const struct otp_eh_rows *rows = &object->rows;
    uint64_t previous = 0;
    for (size_t page = 0; page + 1 < rows->page_count; page++) {
        for (uint32_t row = rows->pages[page]; row < rows->pages[page + 1]; row++) {
            uint64_t address = object->text_start + (page << 12) + OTP_ROW_PC(rows->rows[row]);
            if (row && address <= previous)
                disagree(object, address, "order of rows", address, previous);
            if (row)
                compare_at(object, address - 1);
            compare_at(object, address);
            previous = address;
        }
    }
    for (int i = 0; i < RANDOM_ADDRESSES; i++)
        compare_at(object, object->text_start + (uint64_t)random() % (object->text_end - object->text_start));
}

/* --------------------------------------------------------------------------------------------------- one object */

static Elf *open_elf(const struct otp_module *module, int *fd, void **copy) {
    if (!module->vdso) {
        *fd = open(module->path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(*fd, 0);
        return elf_begin(*fd, ELF_C_READ, NULL);
    }
    size_t size = module->end - module->start;
    *copy = malloc(size);
    ck_assert_ptr_nonnull(*copy);
    ck_assert_uint_eq(otp_memory_read(module->start, *copy, size), size);
    return elf_memory(*copy, size);
}

static struct tally compare_module(const struct otp_module *module) {
    const char *slash = strrchr(module->path, '/');
    struct object object = {.tally.name = slash ? slash + 1 : module->path};
    struct otp_eh_bytes section;
    int fd = -1;
    void *copy = NULL;
    ck_assert_int_eq(otp_module_eh_frame(module, &section), 0);
    object.text_start = module->start - module->bias;
    object.text_end = module->end - module->bias;
    object.pool = otp_rule_pool_new();
    const struct otp_eh_input input = {.section = section.bytes,
                                       .size = section.size,
                                       .address = section.address,
                                       .absolute = section.relocated ? module->bias : 0,
                                       .text_start = object.text_start,
                                       .text_end = object.text_end,
                                       .machine = section.machine};
    ck_assert_int_eq(otp_eh_rows_build(&input, object.pool, &object.rows), 0);
    ck_assert_uint_eq(object.rows.pages[object.rows.page_count - 1], object.rows.row_count);
    Elf *elf = open_elf(module, &fd, &copy);
    ck_assert_ptr_nonnull(elf);
    object.cfi = dwarf_getcfi_elf(elf);
    ck_assert_ptr_nonnull(object.cfi);
    compare_all(&object);
    const struct tally *t = &object.tally;
    printf(
        "%-28s rows %7zu bad %u  compared %8llu  unsupported %5llu  rbp lost %4llu  stops %4llu  disagreements %llu\n",
        t->name, object.rows.row_count, object.rows.bad, (unsigned long long)t->compared,
        (unsigned long long)t->unsupported, (unsigned long long)t->fp_lost, (unsigned long long)t->stops,
        (unsigned long long)t->disagreements);
    ck_assert_uint_eq(object.rows.bad, 0);
    dwarf_cfi_end(object.cfi);
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    free(copy);
    free(section.bytes);
    otp_eh_rows_free(&object.rows);
    otp_rule_pool_free(object.pool);
    return object.tally;
}

static bool wanted(const char *path) {
    static const char *const parts[] = {"/libc.so", "/libcrypto.so", "/libstdc++.so", "/ld-linux", "eh_libdw_test",
                                        "[vdso]",   "/libm.so",      "/libgcc_s",     "/libdw"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(path, parts[i]))
            return true;
    return false;
}

START_TEST(rows_say_what_libdw_says) {
    bool changed;
    uint64_t compared = 0, disagreements = 0, unsupported = 0;
    unsigned objects = 0;
    elf_version(EV_CURRENT);
    srandom(20261123);
    ck_assert_ptr_nonnull(dlopen("libcrypto.so.3", RTLD_NOW));
    ck_assert_ptr_nonnull(dlopen("libstdc++.so.6", RTLD_NOW));
    struct otp_modules *modules = otp_modules_new();
    ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
    for (size_t i = 0; i < otp_modules_count(modules); i++) {
        const struct otp_module *module = otp_modules_at(modules, i);
        if (!wanted(module->path))
            continue;
        struct tally tally = compare_module(module);
        ck_assert_uint_gt(tally.compared, 0);
        compared += tally.compared;
        disagreements += tally.disagreements;
        unsupported += tally.unsupported;
        objects++;
    }
    otp_modules_free(modules);
    printf("%u objects: %llu addresses compared with libdw, %llu disagreements, %llu unsupported\n", objects,
           (unsigned long long)compared, (unsigned long long)disagreements, (unsigned long long)unsupported);
    fflush(stdout);
    ck_assert_uint_ge(objects, 8);
    ck_assert_uint_gt(compared, 400000);
    ck_assert_uint_eq(disagreements, 0);
    ck_assert_uint_lt(unsupported * 500, compared);
}
END_TEST

OTP_TEST_MAIN("eh_libdw", 280, rows_say_what_libdw_says)

#else

START_TEST(only_on_x86_64) { puts("skipped: libdw's side knows x86-64 only"); }
END_TEST

OTP_TEST_MAIN("eh_libdw", 280, only_on_x86_64)

#endif

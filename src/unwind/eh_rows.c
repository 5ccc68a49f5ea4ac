// SPDX-License-Identifier: Apache-2.0
#include "unwind/eh_rows.h"

#include <otelprof/otelprof.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "unwind/cfi.h"
#include "unwind/eh_collect.h"
#include "unwind/grow.h"
#include "unwind/rule_pool.h"

#define PADDING_MAX 16           /* bytes between two functions that are alignment and no gap */
#define FRAMEPTR_GAP (16u << 10) /* bytes without entries that are code all the same, in objects with few entries */

struct builder {
    const struct otp_eh_input *input;
    const struct otp_cfi_machine *machine;
    struct otp_rule_pool *pool;
    struct otp_eh_rows *out;
    uint32_t last_address; /* of the last row */
    uint32_t last_rule;
    size_t next_page;      /* first page entry that is not set */
    bool sparse;           /* entries speak for less than a third of the range */
    bool failed;           /* out of memory or over the limit: out->row_capacity tells which */
    struct otp_rule known; /* the rule interned last, and its number */
    uint32_t known_number;
    struct otp_cfi_run run;
};

static void append(struct builder *builder, uint32_t address, uint32_t rule) {
    struct otp_eh_rows *out = builder->out;
    if (out->row_count == OTP_EH_ROWS_MAX || !OTP_GROW(out->rows, out->row_count, out->row_capacity, 1024)) {
        builder->failed = true;
        return;
    }
    for (; builder->next_page <= address >> OTP_PAGE_SHIFT; builder->next_page++)
        out->pages[builder->next_page] = (uint32_t)out->row_count;
    out->rows[out->row_count++] = OTP_ROW(address, rule);
    builder->last_address = address;
    builder->last_rule = rule;
}

/* From `address` on, which never goes down, `rule` holds. Rows that say nothing new are left out. */
static void add_row(struct builder *builder, uint32_t address, uint32_t rule) {
    struct otp_eh_rows *out = builder->out;
    if (builder->failed || (out->row_count && rule == builder->last_rule))
        return;
    if (!out->row_count || address != builder->last_address) {
        append(builder, address, rule);
        return;
    }
    /* A row of no length: the new one takes its place, unless the one before says the same. */
    size_t last = out->row_count - 1;
    if (last && OTP_ROW_RULE(out->rows[last - 1]) == rule) {
        out->row_count = last;
        builder->last_address = address - 1;
    } else {
        out->rows[last] = OTP_ROW(address, rule);
    }
    builder->last_rule = rule;
}

static void add_state(struct builder *builder, uint32_t address, const struct otp_cfi_state *state, bool signal) {
    struct otp_rule rule = otp_cfi_rule(builder->machine, state, signal);
    if (memcmp(&rule, &builder->known, sizeof(rule))) {
        builder->known = rule;
        builder->known_number = otp_rule_pool_intern(builder->pool, &rule);
    }
    add_row(builder, address, builder->known_number);
}

/* Nothing speaks for [from, to). */
static void add_gap(struct builder *builder, uint32_t from, uint32_t to) {
    bool code = builder->sparse && to - from > FRAMEPTR_GAP;
    add_row(builder, from, code ? OTP_RULE_INDEX_FRAMEPTR : OTP_RULE_INDEX_NONE);
}

/* The rows of one function, up to `limit`. */
static void add_function(struct builder *builder, const struct otp_eh_function *function, const struct otp_cie *cie,
                         uint32_t limit) {
    const uint8_t *section = builder->input->section;
    const uint64_t base = builder->input->text_start, first = base + function->start;
    struct otp_cfi_run *run = &builder->run;
    run->bytes = otp_bytes(section + function->program, function->program_size);
    run->cie = cie;
    run->code_align = cie->code_align;
    run->data_align = cie->data_align;
    run->fde_encoding = cie->fde_encoding;
    run->location = first - function->before;
    run->state = cie->initial;
    run->remembered = 0;
    for (;;) {
        enum otp_cfi_step step = otp_cfi_next(run);
        uint64_t from = run->location > first ? run->location : first;
        uint32_t address = (uint32_t)(from - base);
        if (step == OTP_CFI_ERROR) {
            builder->out->bad++;
            add_row(builder, address, OTP_RULE_INDEX_UNSUPPORTED);
            return;
        }
        if (step == OTP_CFI_END || run->next > from)
            add_state(builder, address, &run->state, cie->signal);
        if (step == OTP_CFI_END || run->next >= base + limit || builder->failed)
            return;
        run->location = run->next;
    }
}

static void add_functions(struct builder *builder, const struct otp_eh_functions *list) {
    const uint32_t end = (uint32_t)(builder->input->text_end - builder->input->text_start);
    uint32_t at = 0; /* rows are complete up to here */
    add_gap(builder, 0, list->count ? list->functions[0].start : end);
    for (size_t i = 0; i < list->count && !builder->failed; i++) {
        const struct otp_eh_function *function = &list->functions[i];
        uint32_t next = i + 1 < list->count ? list->functions[i + 1].start : end;
        uint32_t limit = function->end < next ? function->end : next;
        if (limit <= function->start) /* another entry for the same start */
            continue;
        add_function(builder, function, &list->cies[function->cie], limit);
        at = limit;
        if (next - at > PADDING_MAX)
            add_gap(builder, at, next);
    }
}

static void finish(struct builder *builder) {
    struct otp_eh_rows *out = builder->out;
    for (; builder->next_page < out->page_count; builder->next_page++)
        out->pages[builder->next_page] = (uint32_t)out->row_count;
    for (size_t i = 0; i < out->row_count; i++)
        out->unsupported += OTP_ROW_RULE(out->rows[i]) == OTP_RULE_INDEX_UNSUPPORTED;
    uint32_t *fitting = otp_sys.realloc(out->rows, out->row_count * sizeof(*fitting));
    if (fitting) {
        out->rows = fitting;
        out->row_capacity = out->row_count;
    }
}

static int build(const struct otp_eh_input *input, const struct otp_cfi_machine *machine, struct otp_rule_pool *pool,
                 const struct otp_eh_functions *list, struct otp_eh_rows *out) {
    const struct otp_cfi_bases bases = {input->address, input->data, input->absolute};
    struct builder *builder = otp_sys.calloc(1, sizeof(*builder));
    if (!builder)
        return OTELPROF_E_MEMORY;
    *builder = (struct builder){.input = input, .machine = machine, .pool = pool, .out = out};
    builder->sparse = list->covered < (input->text_end - input->text_start) / 3;
    builder->run.machine = machine;
    builder->run.bases = &bases;
    builder->run.section = input->section;
    out->functions = (uint32_t)list->count;
    out->bad += list->bad;
    out->covered = list->covered;
    add_functions(builder, list);
    int error = 0;
    if (builder->failed)
        error = out->row_count == OTP_EH_ROWS_MAX ? OTELPROF_E_LIMIT : OTELPROF_E_MEMORY;
    else
        finish(builder);
    free(builder);
    return error;
}

int otp_eh_rows_build(const struct otp_eh_input *input, struct otp_rule_pool *pool, struct otp_eh_rows *out) {
    const struct otp_cfi_machine *machine = otp_cfi_machine(input->machine);
    uint64_t length = input->text_end - input->text_start;
    if (!machine || input->text_end <= input->text_start || length > UINT32_MAX ||
        input->text_start & ((1u << OTP_PAGE_SHIFT) - 1) || input->size > OTP_EH_SECTION_MAX)
        return OTELPROF_E_INVALID;
    struct otp_eh_functions list = {0};
    out->page_count = (size_t)((length + (1u << OTP_PAGE_SHIFT) - 1) >> OTP_PAGE_SHIFT) + 1;
    out->pages = otp_sys.malloc(out->page_count * sizeof(*out->pages));
    int error = out->pages ? otp_eh_collect(input, machine, &list) : OTELPROF_E_MEMORY;
    if (!error)
        error = build(input, machine, pool, &list, out);
    otp_eh_functions_free(&list);
    if (error)
        otp_eh_rows_free(out);
    return error;
}

void otp_eh_rows_free(struct otp_eh_rows *rows) {
    free(rows->rows);
    free(rows->pages);
    memset(rows, 0, sizeof(*rows));
}

// SPDX-License-Identifier: Apache-2.0
#include "unwind/eh_collect.h"

#include <otelprof/otelprof.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "unwind/dwarf_codes.h"
#include "unwind/grow.h"

#define CIES_MAX 65536

/* One record of the section: its bytes after the length, and where those begin. */
struct record {
    struct otp_bytes body;
    uint32_t body_at;
    uint32_t at;
};

/* Takes the next record. false at the terminator, at the end, and where a length makes no sense. */
static bool next_record(struct otp_bytes *bytes, const uint8_t *section, struct record *record) {
    record->at = (uint32_t)(bytes->at - section);
    uint64_t length = otp_bytes_u32(bytes);
    if (length == UINT32_MAX)
        length = otp_bytes_u64(bytes);
    record->body_at = (uint32_t)(bytes->at - section);
    if (length < 4)
        return false;
    const uint8_t *body = otp_bytes_take(bytes, length);
    if (!body)
        return false;
    record->body = otp_bytes(body, length);
    return true;
}

size_t otp_eh_section_extent(const void *section, size_t size, uint64_t *needs) {
    struct otp_bytes bytes = otp_bytes(section, size);
    for (;;) {
        const uint8_t *at = bytes.at;
        size_t left = otp_bytes_left(&bytes);
        uint64_t length = otp_bytes_u32(&bytes), header = 4;
        if (length == UINT32_MAX && !bytes.bad) {
            length = otp_bytes_u64(&bytes);
            header = 12;
        }
        *needs = left < header ? header - left : 0;
        if (bytes.bad || length < 4)
            return (size_t)(at - (const uint8_t *)section);
        if (!otp_bytes_take(&bytes, length)) {
            *needs = length - (left - header);
            return (size_t)(at - (const uint8_t *)section);
        }
    }
}

static int add_cie(struct otp_eh_functions *list, const struct record *record, struct otp_bytes body,
                   const struct otp_cfi_machine *machine) {
    if (list->cie_count == CIES_MAX) {
        list->bad++;
        return 0;
    }
    if (!OTP_GROW(list->cies, list->cie_count, list->cie_capacity, 16))
        return OTELPROF_E_MEMORY;
    struct otp_cie *cie = &list->cies[list->cie_count];
    cie->at = record->at;
    if (otp_cie_read(body, machine, cie))
        list->cie_count++;
    else
        list->bad++;
    return 0;
}

/* Common entries stand in the order of their offsets, and before the frame entries that use them. */
static const struct otp_cie *find_cie(const struct otp_eh_functions *list, uint32_t at) {
    size_t low = 0, high = list->cie_count;
    if (high && list->cies[high - 1].at == at)
        return &list->cies[high - 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->cies[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->cie_count && list->cies[low].at == at ? &list->cies[low] : NULL;
}

/* The part of [start, start + length) that lies in the range, as offsets in it. */
static bool clip(const struct otp_eh_input *input, uint64_t start, uint64_t length, struct otp_eh_function *function) {
    uint64_t end = start + length;
    if (end < start)
        end = UINT64_MAX;
    if (start >= input->text_end || end <= input->text_start)
        return false;
    if (start < input->text_start) {
        if (input->text_start - start > UINT32_MAX)
            return false;
        function->before = (uint32_t)(input->text_start - start);
        start = input->text_start;
    }
    if (end > input->text_end)
        end = input->text_end;
    function->start = (uint32_t)(start - input->text_start);
    function->end = (uint32_t)(end - input->text_start);
    return true;
}

static int add_function(struct otp_eh_functions *list, const struct otp_eh_input *input, struct otp_bytes body,
                        uint32_t cie_at) {
    const uint8_t *section = input->section;
    const struct otp_cfi_bases bases = {input->address, input->data, input->absolute};
    const struct otp_cie *cie = find_cie(list, cie_at);
    if (!cie) {
        list->bad++;
        return 0;
    }
    uint64_t address = input->address + (uint64_t)(body.at - section);
    uint64_t start = otp_cfi_pointer(&body, cie->fde_encoding, address, &bases);
    const struct otp_cfi_bases no_bases = {0, 0, 0};
    uint64_t length = otp_cfi_pointer(&body, cie->fde_encoding & 0x0f, 0, &no_bases);
    if (cie->sized)
        otp_bytes_take(&body, otp_bytes_uleb(&body));
    if (body.bad) {
        list->bad++;
        return 0;
    }
    struct otp_eh_function function = {
        0, 0, 0, (uint32_t)(cie - list->cies), (uint32_t)(body.at - section), (uint32_t)otp_bytes_left(&body)};
    if (!length || !clip(input, start, length, &function))
        return 0;
    if (!OTP_GROW(list->functions, list->count, list->capacity, input->size / 64 + 16))
        return OTELPROF_E_MEMORY;
    list->functions[list->count++] = function;
    list->covered += function.end - function.start;
    return 0;
}

static bool sorted(const struct otp_eh_functions *list) {
    for (size_t i = 1; i < list->count; i++)
        if (list->functions[i].start < list->functions[i - 1].start)
            return false;
    return true;
}

struct key {
    uint32_t start;
    uint32_t index;
};

/* One pass of a radix sort by 11 bits, stable. */
static void radix_pass(const struct key *from, struct key *to, size_t count, unsigned shift) {
    size_t place[2048] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        place[from[i].start >> shift & 2047]++;
    for (size_t i = 0; i < 2048; i++) {
        size_t here = place[i];
        place[i] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        to[place[from[i].start >> shift & 2047]++] = from[i];
}

/* By start, in a time that foreign bytes cannot make long. */
static int sort_functions(struct otp_eh_functions *list) {
    if (sorted(list))
        return 0;
    struct key *keys = otp_sys.malloc(2 * list->count * sizeof(*keys));
    struct otp_eh_function *functions = otp_sys.malloc(list->count * sizeof(*functions));
    if (!keys || !functions) {
        free(keys);
        free(functions);
        return OTELPROF_E_MEMORY;
    }
    struct key *other = keys + list->count;
    for (size_t i = 0; i < list->count; i++)
        keys[i] = (struct key){list->functions[i].start, (uint32_t)i};
    radix_pass(keys, other, list->count, 0);
    radix_pass(other, keys, list->count, 11);
    radix_pass(keys, other, list->count, 22);
    for (size_t i = 0; i < list->count; i++)
        functions[i] = list->functions[other[i].index];
    free(keys);
    free(list->functions);
    list->functions = functions;
    list->capacity = list->count;
    return 0;
}

int otp_eh_collect(const struct otp_eh_input *input, const struct otp_cfi_machine *machine,
                   struct otp_eh_functions *list) {
    const uint8_t *section = input->section;
    struct otp_bytes bytes = otp_bytes(section, input->size);
    struct record record;
    int error = 0;
    while (!error && next_record(&bytes, section, &record)) {
        struct otp_bytes body = record.body;
        uint32_t id = otp_bytes_u32(&body); /* 4 bytes also after a 64-bit length */
        if (!id)
            error = add_cie(list, &record, body, machine);
        else if (id <= record.body_at)
            error = add_function(list, input, body, record.body_at - id);
        else
            list->bad++;
    }
    return error ? error : sort_functions(list);
}

void otp_eh_functions_free(struct otp_eh_functions *list) {
    free(list->cies);
    free(list->functions);
    memset(list, 0, sizeof(*list));
}

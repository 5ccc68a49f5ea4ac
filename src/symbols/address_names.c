// SPDX-License-Identifier: Apache-2.0
#include "symbols/address_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

void otp_address_names_init(struct otp_address_names *table, size_t limit) {
    *table = (struct otp_address_names){.limit = limit};
}

void otp_address_names_clear(struct otp_address_names *table) {
    free(table->entries);
    free(table->names);
    otp_address_names_init(table, table->limit);
}

size_t otp_address_names_size(const struct otp_address_names *table) {
    return table->capacity * sizeof(*table->entries) + table->names_capacity;
}

/* Makes room for `wanted` elements in an array, half as much again, within the limit. */
static bool reserve(struct otp_address_names *table, void **array, size_t *capacity, size_t element, size_t wanted) {
    if (wanted <= *capacity)
        return true;
    size_t others = otp_address_names_size(table) - *capacity * element;
    size_t most = table->limit > others ? (table->limit - others) / element : 0;
    size_t grown = wanted + wanted / 2 < 64 ? 64 : wanted + wanted / 2;
    if (grown > most)
        grown = most;
    void *block = grown < wanted ? NULL : otp_sys.realloc(*array, grown * element);
    if (!block)
        return false;
    *array = block;
    *capacity = grown;
    return true;
}

bool otp_address_names_add(struct otp_address_names *table, uint64_t start, uint32_t size, const char *name,
                           size_t length) {
    void *entries = table->entries;
    bool room = reserve(table, &entries, &table->capacity, sizeof(*table->entries), table->count + 1);
    table->entries = entries;
    void *names = table->names;
    room = room && table->names_size + length < UINT32_MAX &&
           reserve(table, &names, &table->names_capacity, 1, table->names_size + length + 1);
    table->names = names;
    if (!room)
        return false;
    memcpy(table->names + table->names_size, name, length);
    table->names[table->names_size + length] = 0;
    table->entries[table->count++] = (struct otp_address_name){start, size, (uint32_t)table->names_size};
    table->names_size += length + 1;
    return true;
}

/* Later names lie behind earlier ones: of equal starts the last comes first. */
static int compare(const void *left, const void *right) {
    const struct otp_address_name *one = left;
    const struct otp_address_name *other = right;
    if (one->start != other->start)
        return one->start < other->start ? -1 : 1;
    return one->name > other->name ? -1 : one->name < other->name;
}

void otp_address_names_sort(struct otp_address_names *table, uint32_t size_max) {
    if (!table->count)
        return;
    qsort(table->entries, table->count, sizeof(*table->entries), compare);
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (!kept || table->entries[i].start != table->entries[kept - 1].start)
            table->entries[kept++] = table->entries[i];
    }
    table->count = kept;
    for (size_t i = 0; i < kept; i++) {
        uint64_t gap = i + 1 < kept ? table->entries[i + 1].start - table->entries[i].start : size_max;
        if (!table->entries[i].size)
            table->entries[i].size = gap < size_max ? (uint32_t)gap : size_max;
    }
}

const struct otp_address_name *otp_address_names_entry(const struct otp_address_names *table, uint64_t address) {
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address - table->entries[low - 1].start < table->entries[low - 1].size ? &table->entries[low - 1]
                                                                                         : NULL;
}

const char *otp_address_names_find(const struct otp_address_names *table, uint64_t address, uint64_t *start) {
    const struct otp_address_name *entry = otp_address_names_entry(table, address);
    if (!entry)
        return NULL;
    *start = entry->start;
    return table->names + entry->name;
}

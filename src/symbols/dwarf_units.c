// SPDX-License-Identifier: Apache-2.0
/* Units and functions of a file's DWARF: found once, sorted by address. .debug_aranges is not relied on: clang leaves
 * it out. */
#include <dwarf.h>
#include <stdlib.h>

#include "base/sys.h"
#include "symbols/dwarf_private.h"

#define WALK_BACK 64
#define UNIT_BUDGET ((uint64_t)4 << 20)
#define UNIT_COST 1024 /* what libdw keeps for a unit and its abbreviations */

/* Makes room for one more element. False: over the limit, or out of memory. */
static bool reserve(struct otp_dwarf *dwarf, void **array, size_t *capacity, size_t count, size_t element) {
    if (count < *capacity)
        return true;
    size_t grown = *capacity ? *capacity + *capacity / 2 : 16;
    size_t more = (grown - *capacity) * element;
    if (dwarf->held > dwarf->limit || more > dwarf->limit - dwarf->held)
        return false;
    void *block = otp_sys.realloc(*array, grown * element);
    if (!block)
        return false;
    *array = block;
    *capacity = grown;
    dwarf->held += more;
    return true;
}

static bool add_range(struct otp_dwarf *dwarf, uint64_t low, uint64_t high, uint32_t unit) {
    void *array = dwarf->ranges;
    bool room = reserve(dwarf, &array, &dwarf->range_capacity, dwarf->range_count, sizeof(*dwarf->ranges));
    dwarf->ranges = array;
    if (room)
        dwarf->ranges[dwarf->range_count++] = (struct otp_dwarf_range){low, high, unit};
    return room;
}

static bool add_function(struct otp_dwarf *dwarf, struct otp_dwarf_unit *unit, uint64_t low, uint64_t high,
                         Dwarf_Off die) {
    void *array = unit->functions;
    size_t capacity = unit->capacity;
    bool room = reserve(dwarf, &array, &capacity, unit->count, sizeof(*unit->functions));
    unit->functions = array;
    unit->capacity = (uint32_t)capacity;
    if (room)
        unit->functions[unit->count++] = (struct otp_dwarf_function){low, high, die};
    return room;
}

/* Linkers leave ranges at 0 or 1 for functions that they threw out. */
static bool alive(uint64_t low, uint64_t high) { return low > 1 && low < high; }

static bool add_die(struct otp_dwarf *dwarf, struct otp_dwarf_unit *unit, Dwarf_Die *die) {
    Dwarf_Addr base;
    Dwarf_Addr low;
    Dwarf_Addr high;
    ptrdiff_t at = 0;
    while (otp_dwarf_spend(dwarf) && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
        if (alive(low, high) && !add_function(dwarf, unit, low, high, dwarf_dieoffset(die)))
            return false;
    }
    return true;
}

static bool has_functions(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_lexical_block ||
           tag == DW_TAG_structure_type || tag == DW_TAG_class_type;
}

static bool walk(struct otp_dwarf *dwarf, struct otp_dwarf_unit *unit, Dwarf_Die *parent, unsigned depth) {
    Dwarf_Die die;
    if (depth == OTP_DWARF_DEPTH || dwarf_child(parent, &die))
        return true;
    do {
        if (!otp_dwarf_spend(dwarf))
            return false;
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram && !add_die(dwarf, unit, &die))
            return false;
        if (has_functions(tag) && !walk(dwarf, unit, &die, depth + 1))
            return false;
    } while (!dwarf_siblingof(&die, &die));
    return true;
}

static int compare_functions(const void *left, const void *right) {
    const struct otp_dwarf_function *one = left;
    const struct otp_dwarf_function *other = right;
    if (one->low != other->low)
        return one->low < other->low ? -1 : 1;
    return one->high > other->high ? -1 : one->high < other->high; /* the narrower one last: found first */
}

/* An index that would not be complete is none: an enclosing function would answer for a nested one. */
static void index_unit(struct otp_dwarf *dwarf, struct otp_dwarf_unit *unit) {
    Dwarf_Die die;
    unit->indexed = true;
    dwarf->budget = UNIT_BUDGET;
    if (!dwarf_offdie(dwarf->dwarf, unit->die, &die) || !walk(dwarf, unit, &die, 0))
        unit->count = 0;
    if (unit->count)
        qsort(unit->functions, unit->count, sizeof(*unit->functions), compare_functions);
}

static bool is_split(Dwarf_Die *die, uint8_t type) {
    return type == DW_UT_skeleton || type == DW_UT_split_compile || type == DW_UT_split_type ||
           dwarf_hasattr(die, DW_AT_dwo_name) || dwarf_hasattr(die, DW_AT_GNU_dwo_name);
}

/* A unit without ranges of its own has those of its functions. */
static bool add_unit(struct otp_dwarf *dwarf, Dwarf_Die *die) {
    void *array = dwarf->units;
    bool room = reserve(dwarf, &array, &dwarf->unit_capacity, dwarf->unit_count, sizeof(*dwarf->units));
    dwarf->units = array;
    if (!room)
        return false;
    uint32_t number = (uint32_t)dwarf->unit_count++;
    struct otp_dwarf_unit *unit = &dwarf->units[number];
    *unit = (struct otp_dwarf_unit){.die = dwarf_dieoffset(die)};
    dwarf->held += UNIT_COST;
    Dwarf_Addr base;
    Dwarf_Addr low;
    Dwarf_Addr high;
    ptrdiff_t at = 0;
    size_t before = dwarf->range_count;
    while (otp_dwarf_spend(dwarf) && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
        if (alive(low, high) && !add_range(dwarf, low, high, number))
            return false;
    }
    if (dwarf->range_count > before)
        return true;
    uint64_t budget = dwarf->budget;
    index_unit(dwarf, unit);
    dwarf->budget = budget < UNIT_BUDGET - dwarf->budget ? 0 : budget - (UNIT_BUDGET - dwarf->budget);
    for (uint32_t i = 0; i < unit->count; i++) {
        if (!add_range(dwarf, unit->functions[i].low, unit->functions[i].high, number))
            return false;
    }
    return true;
}

static int compare_ranges(const void *left, const void *right) {
    const struct otp_dwarf_range *one = left;
    const struct otp_dwarf_range *other = right;
    if (one->low != other->low)
        return one->low < other->low ? -1 : 1;
    return one->high > other->high ? -1 : one->high < other->high;
}

bool otp_dwarf_units_read(struct otp_dwarf *dwarf) {
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    uint8_t type;
    dwarf->budget = 4 * UNIT_BUDGET;
    /* The last argument stays NULL: asked for it, libdw would open and map the .dwo file. */
    while (otp_dwarf_spend(dwarf) && !dwarf_get_units(dwarf->dwarf, unit, &unit, NULL, &type, &die, NULL)) {
        int tag = dwarf_tag(&die);
        if ((tag != DW_TAG_compile_unit && tag != DW_TAG_skeleton_unit) || is_split(&die, type))
            continue;
        if (!add_unit(dwarf, &die))
            return false;
    }
    if (dwarf->range_count)
        qsort(dwarf->ranges, dwarf->range_count, sizeof(*dwarf->ranges), compare_ranges);
    return dwarf->range_count != 0;
}

static struct otp_dwarf_unit *unit_at(struct otp_dwarf *dwarf, uint64_t address) {
    size_t low = 0;
    size_t high = dwarf->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dwarf->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 0; back < WALK_BACK && back < low; back++) {
        const struct otp_dwarf_range *range = &dwarf->ranges[low - 1 - back];
        if (address < range->high)
            return &dwarf->units[range->unit];
    }
    return NULL;
}

struct otp_dwarf_unit *otp_dwarf_units_find(struct otp_dwarf *dwarf, uint64_t address,
                                            const struct otp_dwarf_function **function) {
    *function = NULL;
    struct otp_dwarf_unit *unit = unit_at(dwarf, address);
    if (!unit)
        return NULL;
    if (!unit->indexed)
        index_unit(dwarf, unit);
    size_t low = 0;
    size_t high = unit->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (unit->functions[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 0; back < WALK_BACK && back < low; back++) {
        if (address < unit->functions[low - 1 - back].high) {
            *function = &unit->functions[low - 1 - back];
            break;
        }
    }
    return unit;
}

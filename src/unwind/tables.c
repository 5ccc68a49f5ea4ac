// SPDX-License-Identifier: Apache-2.0
#include "unwind/tables.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "unwind/eh_rows.h"
#include "unwind/elf_source.h"
#include "unwind/grow.h"
#include "unwind/modules.h"
#include "unwind/rule_pool.h"

enum set_kind {
    SET_ROWS,      /* rows made */
    SET_FRAMEPTR,  /* nothing to make rows of: frame pointers are followed */
    SET_UNCOVERED, /* rows could not be made */
};

/* The rows of one executable range. Kept when its module goes: a library that comes again finds them. */
struct set {
    uint8_t id[OTP_BUILD_ID_MAX];
    uint8_t id_size;
    uint64_t device, inode; /* where there is no build id; 0: anonymous memory, never found again */
    int64_t modified_ns;
    uint64_t offset, size; /* of the range */
    enum set_kind kind;
    bool used;               /* by a module that is mapped now */
    bool copied;             /* to the memory bound */
    struct otp_eh_rows made; /* until they are copied */
    size_t row_count, page_count;
    size_t first_row, first_page; /* in the memory bound */
};

/* Which set a mapped module has. */
struct link {
    uint32_t module;
    struct set *set;
};

struct otp_tables {
    struct otp_rule_pool *pool;
    struct otp_tables_memory memory;
    bool bound;
    struct set **sets;
    size_t set_count, set_capacity;
    struct link *links; /* in the order of the modules */
    size_t link_count;
    size_t rows_used, pages_used;
    uint32_t rules_copied;
    uint32_t generation;
    struct otp_tables_stats stats;
};

struct otp_tables *otp_tables_new(void) {
    struct otp_tables *tables = otp_sys.calloc(1, sizeof(*tables));
    if (!tables)
        return NULL;
    tables->pool = otp_rule_pool_new();
    if (!tables->pool) {
        free(tables);
        return NULL;
    }
    return tables;
}

void otp_tables_free(struct otp_tables *tables) {
    if (!tables)
        return;
    for (size_t i = 0; i < tables->set_count; i++) {
        otp_eh_rows_free(&tables->sets[i]->made);
        free(tables->sets[i]);
    }
    free(tables->sets);
    free(tables->links);
    otp_rule_pool_free(tables->pool);
    free(tables);
}

/* ------------------------------------------------------------------------------------------------ building */

static bool same_content(const struct set *set, const struct otp_module *module) {
    if (module->anonymous || set->offset != module->file_offset || set->size != module->end - module->start)
        return false;
    if (module->build_id_size)
        return set->id_size == module->build_id_size && !memcmp(set->id, module->build_id, set->id_size);
    return !set->id_size && module->inode && set->device == module->device && set->inode == module->inode &&
           set->modified_ns == module->modified_ns;
}

static struct set *find_set(const struct otp_tables *tables, const struct otp_module *module) {
    for (size_t i = 0; i < tables->set_count; i++) {
        if (same_content(tables->sets[i], module))
            return tables->sets[i];
    }
    return NULL;
}

static void make_rows(struct otp_tables *tables, struct set *set, const struct otp_module *module) {
    struct otp_eh_bytes section;
    set->kind = SET_FRAMEPTR;
    if (module->anonymous || !module->elf)
        return;
    int result = otp_module_eh_frame(module, &section);
    if (result == OTELPROF_E_STATE)
        return;
    if (!result) {
        const struct otp_eh_input input = {
            .section = section.bytes,
            .size = section.size,
            .address = section.address,
            .absolute = section.relocated ? module->bias : 0,
            .text_start = module->start - module->bias,
            .text_end = module->end - module->bias,
            .machine = section.machine,
        };
        result = otp_eh_rows_build(&input, tables->pool, &set->made);
        free(section.bytes);
    }
    if (result) {
        set->kind = SET_UNCOVERED;
        return;
    }
    tables->stats.unsupported_rows += set->made.unsupported;
    tables->stats.bad_entries += set->made.bad;
    if (!set->made.functions) {
        otp_eh_rows_free(&set->made);
        return;
    }
    set->kind = SET_ROWS;
    set->row_count = set->made.row_count;
    set->page_count = set->made.page_count;
}

static struct set *make_set(struct otp_tables *tables, const struct otp_module *module) {
    if (!OTP_GROW(tables->sets, tables->set_count, tables->set_capacity, 32))
        return NULL;
    struct set *set = otp_sys.calloc(1, sizeof(*set));
    if (!set)
        return NULL;
    memcpy(set->id, module->build_id, module->build_id_size);
    set->id_size = module->build_id_size;
    set->device = module->device;
    set->inode = module->inode;
    set->modified_ns = module->modified_ns;
    set->offset = module->file_offset;
    set->size = module->end - module->start;
    uint64_t start = otp_clock_ns(CLOCK_MONOTONIC);
    make_rows(tables, set, module);
    tables->stats.build_ns += otp_clock_ns(CLOCK_MONOTONIC) - start;
    tables->stats.modules_built++;
    tables->sets[tables->set_count++] = set;
    return set;
}

static struct set *linked_set(const struct otp_tables *tables, uint32_t module) {
    for (size_t i = 0; i < tables->link_count; i++) {
        if (tables->links[i].module == module)
            return tables->links[i].set;
    }
    return NULL;
}

/* Sets that no module uses and that only we hold are of no more use: anonymous memory comes back as something else. */
static void drop_unused(struct otp_tables *tables) {
    size_t kept = 0;
    for (size_t i = 0; i < tables->set_count; i++) {
        struct set *set = tables->sets[i];
        if (set->used || (set->copied && set->inode)) {
            tables->sets[kept++] = set;
            continue;
        }
        otp_eh_rows_free(&set->made);
        free(set);
    }
    tables->set_count = kept;
}

int otp_tables_build(struct otp_tables *tables, const struct otp_modules *modules) {
    size_t count = otp_modules_count(modules), made = 0;
    struct link *links = otp_sys.calloc(count + 1, sizeof(*links));
    if (!links)
        return otp_error(OTELPROF_E_MEMORY, "no memory for unwind tables");
    for (size_t i = 0; i < tables->set_count; i++)
        tables->sets[i]->used = false;
    for (size_t i = 0; i < count; i++) {
        const struct otp_module *module = otp_modules_at(modules, i);
        struct set *set = linked_set(tables, module->number);
        if (!set && (set = find_set(tables, module)))
            tables->stats.modules_reused++;
        if (!set)
            set = make_set(tables, module);
        if (!set)
            continue; /* found missing by the publisher: uncovered */
        set->used = true;
        links[made++] = (struct link){module->number, set};
    }
    free(tables->links);
    tables->links = links;
    tables->link_count = made;
    drop_unused(tables);
    return made == count ? 0 : otp_error(OTELPROF_E_MEMORY, "no memory for unwind tables");
}

void otp_tables_needs(const struct otp_tables *tables, size_t *rows, size_t *pages) {
    *rows = *pages = 0;
    for (size_t i = 0; i < tables->set_count; i++) {
        if (tables->sets[i]->used) {
            *rows += tables->sets[i]->row_count;
            *pages += tables->sets[i]->page_count;
        }
    }
}

/* ------------------------------------------------------------------------------------------------- copying */

/* Two 32-bit entries are one 64-bit value, the even one in its low half: on little-endian machines a plain array. */
static uint32_t *halves(uint64_t *values) { return (uint32_t *)(void *)values; }

/* Puts rows and pages behind what is there. False: no room. */
static bool append(struct otp_tables *tables, struct set *set, const uint32_t *rows, const uint32_t *pages,
                   size_t rows_before) {
    const struct otp_tables_memory *memory = &tables->memory;
    if (tables->rows_used + set->row_count > memory->row_capacity ||
        tables->pages_used + set->page_count > memory->page_capacity)
        return false;
    memcpy(halves(memory->rows) + tables->rows_used, rows, set->row_count * sizeof(*rows));
    uint32_t *to = halves(memory->pages) + tables->pages_used;
    for (size_t i = 0; i < set->page_count; i++)
        to[i] = (uint32_t)(pages[i] - rows_before + tables->rows_used);
    set->first_row = tables->rows_used;
    set->first_page = tables->pages_used;
    set->copied = true;
    tables->rows_used += set->row_count;
    tables->pages_used += set->page_count;
    return true;
}

static bool copy_made(struct otp_tables *tables, struct set *set) {
    if (!append(tables, set, set->made.rows, set->made.pages, 0))
        return false;
    otp_eh_rows_free(&set->made);
    return true;
}

static void copy_rules(struct otp_tables *tables) {
    uint32_t count;
    const struct otp_rule *rules = otp_rule_pool_rules(tables->pool, &count);
    if (count > tables->rules_copied)
        memcpy(tables->memory.rules + tables->rules_copied, rules + tables->rules_copied,
               (count - tables->rules_copied) * sizeof(*rules));
    tables->rules_copied = count;
}

/* Links to sets that are about to go. */
static void drop_links(struct otp_tables *tables) {
    size_t kept = 0;
    for (size_t i = 0; i < tables->link_count; i++)
        if (tables->links[i].set->used)
            tables->links[kept++] = tables->links[i];
    tables->link_count = kept;
}

int otp_tables_bind(struct otp_tables *tables, const struct otp_tables_memory *memory) {
    const struct otp_tables_memory old = tables->memory;
    int result = 0;
    tables->memory = *memory;
    tables->bound = true;
    tables->rows_used = tables->pages_used = tables->rules_copied = 0;
    memory->control->segment_count[0] = memory->control->segment_count[1] = 0;
    atomic_store_explicit((_Atomic uint32_t *)&memory->control->directory, 0, memory_order_release);
    for (size_t i = 0; i < tables->set_count; i++) {
        struct set *set = tables->sets[i];
        bool was_copied = set->copied;
        size_t row = set->first_row, page = set->first_page;
        set->copied = false;
        if (!set->used || set->kind != SET_ROWS)
            continue;
        bool done = was_copied ? append(tables, set, halves(old.rows) + row, halves(old.pages) + page, row)
                               : copy_made(tables, set);
        if (!done) {
            set->used = !was_copied; /* rows that stay behind are lost: the next build makes them anew */
            result = OTELPROF_E_LIMIT;
        }
    }
    drop_links(tables);
    drop_unused(tables);
    copy_rules(tables);
    return result ? otp_error(result, "unwind tables do not fit the memory bound") : 0;
}

/* ---------------------------------------------------------------------------------------------- publishing */

static struct otp_segment segment_of(struct otp_tables *tables, const struct otp_module *module, bool *limit) {
    struct otp_segment segment = {.start = module->start, .end = module->end, .module = module->number};
    struct set *set = linked_set(tables, module->number);
    if (set && set->kind == SET_ROWS && !set->copied && !copy_made(tables, set))
        *limit = true;
    if (set && set->kind == SET_ROWS && set->copied) {
        segment.first_page = (uint32_t)set->first_page;
    } else if (set && set->kind == SET_FRAMEPTR) {
        segment.flags = OTP_SEGMENT_FRAMEPTR;
        tables->stats.modules_frameptr++;
    } else {
        segment.flags = OTP_SEGMENT_UNCOVERED;
        tables->stats.modules_uncovered++;
    }
    return segment;
}

/* Readers may be at work in this directory since two publications ago: see find_segment() of walk.c. */
static void store_segment(struct otp_segment *to, const struct otp_segment *segment) {
    atomic_store_explicit((_Atomic uint64_t *)&to->start, segment->start, memory_order_release);
    atomic_store_explicit((_Atomic uint64_t *)&to->end, segment->end, memory_order_release);
    atomic_store_explicit((_Atomic uint32_t *)&to->first_page, segment->first_page, memory_order_release);
    atomic_store_explicit((_Atomic uint32_t *)&to->flags, segment->flags, memory_order_release);
    atomic_store_explicit((_Atomic uint32_t *)&to->module, segment->module, memory_order_release);
}

int otp_tables_publish(struct otp_tables *tables, const struct otp_modules *modules) {
    if (!tables->bound)
        return otp_error(OTELPROF_E_STATE, "no memory is bound to the unwind tables");
    struct otp_control *control = tables->memory.control;
    uint32_t other = (control->directory & 1) ^ 1;
    size_t modules_count = otp_modules_count(modules), count = 0;
    size_t too_many = modules_count > OTP_SEGMENTS_MAX ? modules_count - OTP_SEGMENTS_MAX : 0, left_out = 0;
    bool limit = false;
    tables->stats.modules_frameptr = 0;
    tables->stats.modules_uncovered = tables->stats.modules_left_out = too_many;
    for (size_t i = 0; i < modules_count && count < OTP_SEGMENTS_MAX; i++) {
        const struct otp_module *module = otp_modules_at(modules, i);
        if (left_out < too_many && module->anonymous) { /* files first: what has no file has no names either */
            left_out++;
            continue;
        }
        struct otp_segment segment = segment_of(tables, module, &limit);
        store_segment(&tables->memory.segments[other][count++], &segment);
    }
    copy_rules(tables);
    atomic_store_explicit((_Atomic uint32_t *)&control->segment_count[other], (uint32_t)count, memory_order_release);
    tables->generation++;
    tables->stats.publications++;
    tables->stats.segments = count;
    atomic_store_explicit((_Atomic uint32_t *)&control->directory, tables->generation << 1 | other,
                          memory_order_release);
    return limit ? otp_error(OTELPROF_E_LIMIT, "unwind tables are full") : 0;
}

uint32_t otp_tables_generation(const struct otp_tables *tables) { return tables->generation; }

void otp_tables_stats(const struct otp_tables *tables, struct otp_tables_stats *stats) {
    *stats = tables->stats;
    stats->rows = tables->rows_used;
    stats->row_capacity = tables->memory.row_capacity;
    stats->pages = tables->pages_used;
    stats->page_capacity = tables->memory.page_capacity;
    uint32_t rules;
    otp_rule_pool_rules(tables->pool, &rules);
    stats->rules = rules;
}

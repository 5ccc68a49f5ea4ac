// SPDX-License-Identifier: Apache-2.0
/* Tables in plain memory: what they say, growth, reuse, limits, and readers at work while they change. */
#include <check.h>
#include <dlfcn.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "failing_calls.h"
#include "own_tables.h"
#include "test_main.h"
#include "unwind/eh_rows.h"
#include "unwind/rule_pool.h"

#define LIBRARY "libsqlite3.so.0" /* one that can be unloaded */

static struct otp_tables_stats stats_of(const struct own_tables *own) {
    struct otp_tables_stats stats;
    otp_tables_stats(own->tables, &stats);
    return stats;
}

/* Rows of one module made apart, and asked in the plainest way. */
struct plain {
    struct otp_eh_rows rows;
    struct otp_rule_pool *pool;
};

static bool plain_new(struct plain *plain, const struct otp_module *module) {
    struct otp_eh_bytes section;
    if (module->anonymous || otp_module_eh_frame(module, &section))
        return false;
    *plain = (struct plain){.pool = otp_rule_pool_new()};
    const struct otp_eh_input input = {.section = section.bytes,
                                       .size = section.size,
                                       .address = section.address,
                                       .absolute = section.relocated ? module->bias : 0,
                                       .text_start = module->start - module->bias,
                                       .text_end = module->end - module->bias,
                                       .machine = section.machine};
    ck_assert_int_eq(otp_eh_rows_build(&input, plain->pool, &plain->rows), 0);
    free(section.bytes);
    return plain->rows.functions > 0;
}

static void plain_free(struct plain *plain) {
    otp_eh_rows_free(&plain->rows);
    otp_rule_pool_free(plain->pool);
}

/* The tables say for every row and between what the module's own rows say. Returns the addresses compared. */
static size_t compare_module(const struct own_tables *own, const struct otp_module *module) {
    struct plain plain;
    size_t compared = 0, wrong = 0; /* counted: Check's own assertions cost a system call each */
    if (!plain_new(&plain, module))
        return 0;
    uint32_t count, row = 0, directory = own->memory.control->directory;
    const struct otp_rule *rules = otp_rule_pool_rules(plain.pool, &count);
    for (uint64_t address = module->start; address < module->end; address += 1 + (address % 7)) {
        uint32_t offset = (uint32_t)(address - module->start), flags = 99;
        for (;; row++) {
            uint32_t page = offset >> 12;
            bool same_page = row + 1 >= plain.rows.pages[page] && row + 1 < plain.rows.pages[page + 1];
            bool before = row + 1 < plain.rows.pages[page];
            if (!before && !(same_page && OTP_ROW_PC(plain.rows.rows[row + 1]) <= (offset & 0xfff)))
                break;
        }
        struct otp_rule rule;
        enum otp_stop found = otp_tables_lookup(&own->memory, directory, address, &rule, &flags);
        wrong += found != OTP_STOP_COMPLETE || flags || memcmp(&rule, &rules[OTP_ROW_RULE(plain.rows.rows[row])], 8);
        compared++;
    }
    plain_free(&plain);
    ck_assert_uint_eq(wrong, 0);
    return compared;
}

static size_t compare_all(const struct own_tables *own) {
    size_t compared = 0;
    for (size_t i = 0; i < otp_modules_count(own->modules); i++)
        compared += compare_module(own, otp_modules_at(own->modules, i));
    return compared;
}

START_TEST(they_say_what_the_rows_say) {
    struct own_tables own = own_new(1);
    struct otp_tables_stats stats = stats_of(&own);
    ck_assert_uint_gt(compare_all(&own), 100000);
    ck_assert_uint_eq(otp_tables_generation(own.tables), 1);
    ck_assert_uint_eq(own.memory.control->directory >> 1, 1);
    ck_assert_uint_eq(stats.rows, stats.row_capacity);
    ck_assert_uint_eq(stats.segments, otp_modules_count(own.modules));
    ck_assert_uint_eq(stats.modules_uncovered, 0);
    ck_assert_uint_eq(stats.bad_entries, 0);
    ck_assert_uint_gt(stats.build_ns, 0);
    struct otp_rule rule;
    ck_assert_int_eq(otp_tables_lookup(&own.memory, own.memory.control->directory, 16, &rule, NULL),
                     OTP_STOP_UNKNOWN_MODULE);
    ck_assert_int_eq(otp_tables_lookup(&own.memory, 0, 16, &rule, NULL), OTP_STOP_NO_TABLES);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
    ck_assert_uint_eq(own.memory.control->directory >> 1, 2);
    ck_assert_uint_ne(own.memory.control->directory & 1, stats.publications & 1);
    own_free(&own);
}
END_TEST

START_TEST(nothing_bound) {
    struct own_tables own = {otp_modules_new(), otp_tables_new(), {.rows = NULL}};
    own_build(&own);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), OTELPROF_E_STATE);
    otp_tables_free(own.tables);
    otp_modules_free(own.modules);
}
END_TEST

START_TEST(anonymous_code_follows_frame_pointers) {
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(code, MAP_FAILED);
    struct own_tables own = own_new(1);
    struct otp_rule rule;
    uint32_t flags = 0;
    ck_assert_int_eq(
        otp_tables_lookup(&own.memory, own.memory.control->directory, (uint64_t)(uintptr_t)code, &rule, &flags),
        OTP_STOP_COMPLETE);
    ck_assert_uint_eq(flags, OTP_SEGMENT_FRAMEPTR);
    ck_assert_uint_eq(rule.kind, OTP_RULE_FRAMEPTR);
    ck_assert_uint_ge(stats_of(&own).modules_frameptr, 1);
    munmap(code, 4096);
    own_free(&own);
}
END_TEST

/* Too small, then larger memory: what did not fit is uncovered in between, and nothing is lost. */
START_TEST(growth) {
    size_t rows, pages;
    struct own_tables own = {otp_modules_new(), otp_tables_new(), {.rows = NULL}};
    own_build(&own);
    otp_tables_needs(own.tables, &rows, &pages);
    own.memory = memory_new(rows / 2, pages);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), OTELPROF_E_LIMIT);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), OTELPROF_E_LIMIT);
    ck_assert_uint_ge(stats_of(&own).modules_uncovered, 1);
    ck_assert_uint_lt(stats_of(&own).modules_uncovered, otp_modules_count(own.modules));
    size_t uncovered = 0;
    for (size_t i = 0; i < otp_modules_count(own.modules); i++) {
        struct otp_rule rule;
        uint64_t address = otp_modules_at(own.modules, i)->start;
        enum otp_stop stop = otp_tables_lookup(&own.memory, own.memory.control->directory, address, &rule, NULL);
        ck_assert(stop == OTP_STOP_COMPLETE || stop == OTP_STOP_NO_TABLES);
        uncovered += stop == OTP_STOP_NO_TABLES;
    }
    ck_assert_uint_eq(uncovered, stats_of(&own).modules_uncovered);
    struct otp_tables_memory small = own.memory;
    size_t rows_again;
    otp_tables_needs(own.tables, &rows_again, &pages);
    ck_assert_uint_eq(rows_again, rows);
    own.memory = memory_new(rows, pages);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), 0);
    ck_assert_uint_eq(own.memory.control->directory, 0);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
    ck_assert_uint_eq(own.memory.control->directory >> 1, 2);
    memory_free(&small);
    ck_assert_uint_gt(compare_all(&own), 100000);
    own_free(&own);
}
END_TEST

START_TEST(a_smaller_memory_loses_nothing_for_good) {
    size_t rows, pages;
    struct own_tables own = own_new(1);
    otp_tables_needs(own.tables, &rows, &pages);
    struct otp_tables_memory first = own.memory;
    own.memory = memory_new(rows / 2, pages);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), OTELPROF_E_LIMIT);
    memory_free(&first);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
    ck_assert_uint_ge(stats_of(&own).modules_uncovered, 1);
    own_build(&own);
    struct otp_tables_memory second = own.memory;
    own.memory = memory_new(rows, pages);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), 0);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
    memory_free(&second);
    ck_assert_uint_eq(stats_of(&own).modules_uncovered, 0);
    ck_assert_uint_gt(compare_all(&own), 100000);
    own_free(&own);
}
END_TEST

START_TEST(a_library_that_comes_again_takes_no_room) {
    struct own_tables own = own_new(4);
    uint64_t rows = 0, before = stats_of(&own).rows;
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(LIBRARY, RTLD_NOW);
        if (!library) {
            puts("skipped: no " LIBRARY);
            break;
        }
        void *inside = dlsym(library, "sqlite3_libversion");
        own_build(&own);
        ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
        const struct otp_module *module =
            otp_modules_find(own.modules, (uint64_t)(uintptr_t)inside, otp_tables_generation(own.tables));
        ck_assert_ptr_nonnull(module);
        if (i % 5 == 0)
            ck_assert_uint_gt(compare_module(&own, module), 10000);
        rows = rows ? rows : stats_of(&own).rows;
        ck_assert_uint_eq(stats_of(&own).rows, rows);
        dlclose(library);
        own_build(&own);
        ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0);
        struct otp_rule rule;
        enum otp_stop stop =
            otp_tables_lookup(&own.memory, own.memory.control->directory, (uint64_t)(uintptr_t)inside, &rule, NULL);
        ck_assert(stop == OTP_STOP_UNKNOWN_MODULE || rows == before); /* or something else holds it */
    }
    own_free(&own);
}
END_TEST

/* More executable mappings than a directory holds: those of files come first. */
START_TEST(too_many_segments) {
    enum { PAGES = 2 * (OTP_SEGMENTS_MAX + 100) };
    long size = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, (size_t)size * PAGES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    for (int i = 0; i < PAGES; i += 2)
        ck_assert_int_eq(mprotect(memory + i * size, (size_t)size, PROT_READ | PROT_EXEC), 0);
    size_t rows, pages;
    struct own_tables own = {otp_modules_new(), otp_tables_new(), {.rows = NULL}};
    own_build(&own);
    otp_tables_needs(own.tables, &rows, &pages);
    own.memory = memory_new(rows, pages);
    ck_assert_int_eq(otp_tables_bind(own.tables, &own.memory), 0);
    ck_assert_int_eq(otp_tables_publish(own.tables, own.modules), 0); /* larger memory would not help */
    ck_assert_uint_eq(stats_of(&own).segments, OTP_SEGMENTS_MAX);
    ck_assert_uint_eq(stats_of(&own).modules_left_out, otp_modules_count(own.modules) - OTP_SEGMENTS_MAX);
    ck_assert_uint_eq(stats_of(&own).modules_uncovered, otp_modules_count(own.modules) - OTP_SEGMENTS_MAX);
    ck_assert_uint_gt(compare_all(&own), 100000);
    own_free(&own);
    munmap(memory, (size_t)size * PAGES);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- with readers */

static struct own_tables shared;
static uint32_t ready, stopping; /* by atomic builtins */
static uint64_t walks, complete;

static __attribute__((noinline)) void *reader(void *argument) {
    struct walked first, now;
    WALK_HERE(&shared.memory, &first, WALK_MAX);
    ck_assert_int_eq(first.result.stop, OTP_STOP_COMPLETE);
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    do {
        WALK_HERE(&shared.memory, &now, WALK_MAX);
        walks++;
        if (now.result.stop == OTP_STOP_COMPLETE) {
            complete++;
            ck_assert_uint_eq(now.result.count, first.result.count);
            ck_assert_mem_eq(now.frames + 1, first.frames + 1, (now.result.count - 1) * sizeof(uint64_t));
        } else {
            ck_assert_int_eq(now.result.stop, OTP_STOP_NO_TABLES); /* published three times during one walk */
        }
    } while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE));
    return argument;
}

START_TEST(readers_while_directories_change) {
    pthread_t thread;
    shared = own_new(4);
    ck_assert_int_eq(pthread_create(&thread, NULL, reader, NULL), 0);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        usleep(1000);
    for (int i = 0; i < 60; i++) {
        void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
        own_build(&shared);
        ck_assert_int_eq(otp_tables_publish(shared.tables, shared.modules), 0);
        if (library)
            dlclose(library);
        own_build(&shared);
        for (int again = 0; again < 20; again++)
            ck_assert_int_eq(otp_tables_publish(shared.tables, shared.modules), 0);
    }
    __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    printf("%llu walks during %u publications, %llu complete\n", (unsigned long long)walks,
           otp_tables_generation(shared.tables), (unsigned long long)complete);
    fflush(stdout);
    ck_assert_uint_gt(complete, 10);
    own_free(&shared);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- failing calls */

#ifdef OTP_SYS_SWAPPABLE

START_TEST(every_allocation_fails_once) {
    bool changed;
    int failures = 0;
    struct otp_modules *modules = otp_modules_new();
    struct otp_tables_memory memory = memory_new(1 << 20, 1 << 16);
    ck_assert_int_eq(otp_modules_scan(modules, 1, &changed), 0);
    for (int allowed_calls = 0;; allowed_calls++) {
        failing_calls_after(allowed_calls);
        struct otp_tables *tables = otp_tables_new();
        int built = tables ? otp_tables_build(tables, modules) : OTELPROF_E_MEMORY;
        int bound = tables ? otp_tables_bind(tables, &memory) : 0;
        int published = tables ? otp_tables_publish(tables, modules) : 0;
        bool all = failing_calls_end();
        ck_assert(built == 0 || built == OTELPROF_E_MEMORY);
        ck_assert_int_eq(bound, 0);
        ck_assert_int_eq(published, 0);
        if (tables) {
            struct otp_tables_stats stats;
            otp_tables_stats(tables, &stats);
            failures += stats.modules_uncovered != 0;
            ck_assert(!all || (!built && !stats.modules_uncovered));
        }
        otp_tables_free(tables);
        if (all)
            break;
    }
    ck_assert_int_gt(failures, 10);
    memory_free(&memory);
    otp_modules_free(modules);
}
END_TEST

#define SWAPPED , every_allocation_fails_once
#else
#define SWAPPED
#endif

OTP_TEST_MAIN("tables", 250, they_say_what_the_rows_say, nothing_bound, anonymous_code_follows_frame_pointers, growth,
              a_smaller_memory_loses_nothing_for_good, a_library_that_comes_again_takes_no_room, too_many_segments,
              readers_while_directories_change SWAPPED)

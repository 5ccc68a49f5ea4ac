// SPDX-License-Identifier: Apache-2.0
/* Shared memory for tests of span context, mapped as the profiler maps it: shared, and absent in children. */
#ifndef OTP_TESTS_CONTEXT_FIXTURE_H
#define OTP_TESTS_CONTEXT_FIXTURE_H

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fork_guard.h"
#include "context/context.h"

static const uint8_t TRACE_A[16] = {0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xaf};
static const uint8_t TRACE_B[16] = {0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xbf};
static const uint8_t SPAN_1[8] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t SPAN_2[8] = {2, 2, 2, 2, 2, 2, 2, 2};
static const uint8_t SPAN_3[8] = {3, 3, 3, 3, 3, 3, 3, 3};

extern _Thread_local void *otel_thread_ctx_v1;

static inline void *fixture_map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    ck_assert_int_eq(madvise(memory, size, MADV_DONTFORK), 0);
    return memory;
}

static inline struct otp_context_memory fixture_memory(uint32_t slots) {
    struct otp_context_memory memory = {.slot_count = slots, .index_size = 1};
    while (memory.index_size < 2 * slots)
        memory.index_size *= 2;
    memory.slots = fixture_map(slots * sizeof(struct otp_slot));
    memory.index = fixture_map(memory.index_size * sizeof(uint64_t));
    memory.control = fixture_map(sizeof(struct otp_control));
    return memory;
}

static inline struct otp_context_memory fixture_start(uint32_t slots) {
    struct otp_context_memory memory = fixture_memory(slots);
    ck_assert_int_eq(otp_fork_guard_arm(), 0);
    ck_assert_int_eq(otp_context_start(&memory), 0);
    return memory;
}

/* The slot that a program would find for a thread; NULL if none. */
static inline struct otp_slot *fixture_slot(const struct otp_context_memory *memory, uint32_t tid) {
    for (uint32_t probe = 0; probe < OTP_INDEX_PROBES; probe++) {
        uint64_t entry =
            __atomic_load_n(&memory->index[(otp_index_hash(tid) + probe) & (memory->index_size - 1)], __ATOMIC_ACQUIRE);
        if (entry == OTP_INDEX_EMPTY)
            return NULL;
        if (OTP_INDEX_TID(entry) == tid) {
            struct otp_slot *slot = &memory->slots[OTP_INDEX_SLOT(entry)];
            return __atomic_load_n(&slot->owner_tid, __ATOMIC_ACQUIRE) == tid ? slot : NULL;
        }
    }
    return NULL;
}

/* What the sampler would read now for the calling thread; NULL if no span is active. */
static inline const struct otp_thread_record *fixture_record(const struct otp_context_memory *memory) {
    const struct otp_slot *slot = fixture_slot(memory, (uint32_t)gettid());
    if (!slot)
        return NULL;
    ck_assert_uint_ne(slot->generation, 0);
    const struct otp_thread_record *record = &slot->record[slot->generation & 1];
    return record->valid == 1 ? record : NULL;
}

/* The value that a reader of OTEP 4947 finds for a key: the last entry counts. Returns its length, -1 if none. */
static inline int fixture_value(const struct otp_thread_record *record, int key, char value[256]) {
    int found = -1;
    for (uint32_t at = 0; at + 2 <= record->attrs_size;) {
        uint32_t length = record->attrs[at + 1];
        ck_assert_uint_le(at + 2 + length, record->attrs_size);
        if (record->attrs[at] == key) {
            memcpy(value, record->attrs + at + 2, length);
            value[length] = 0;
            found = (int)length;
        }
        at += 2 + length;
    }
    return found;
}

static inline struct otelprof_stats fixture_stats(void) {
    struct otelprof_stats stats;
    memset(&stats, 0, sizeof(stats));
    otp_context_stats(&stats);
    return stats;
}

static inline int fixture_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif

// SPDX-License-Identifier: Apache-2.0
#include "context/index.h"

#include <stdbool.h>

/* The memory is a map's, shared with the programs: plain words, so the operations on them are atomic by name. */
static uint64_t load(const uint64_t *place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }

/* NOLINTNEXTLINE(readability-non-const-parameter): the checker does not see that the builtin writes */
static bool exchange(uint64_t *place, uint64_t expected, uint64_t entry) {
    return __atomic_compare_exchange_n(place, &expected, entry, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint64_t *place_of(const struct otp_context_memory *memory, uint32_t tid, uint32_t probe) {
    return &memory->index[(otp_index_hash(tid) + probe) & (memory->index_size - 1)];
}

/* The place for `tid`: where it stands already, else the first free one. NULL if there is none within the probes. */
static uint64_t *find_place(const struct otp_context_memory *memory, uint32_t tid, uint64_t *found) {
    uint64_t *open = NULL;
    for (uint32_t probe = 0; probe < OTP_INDEX_PROBES; probe++) {
        uint64_t *place = place_of(memory, tid, probe);
        uint64_t entry = load(place);
        bool gone = OTP_INDEX_TID(entry) == OTP_INDEX_TID(OTP_INDEX_GONE);
        if (!open && (gone || entry == OTP_INDEX_EMPTY)) {
            open = place;
            *found = entry;
        }
        if (OTP_INDEX_TID(entry) == tid) {
            *found = entry;
            return place;
        }
        if (entry == OTP_INDEX_EMPTY)
            break;
    }
    return open;
}

int64_t otp_index_enter(const struct otp_context_memory *memory, uint32_t tid, uint32_t slot) {
    /* A lost exchange means that another thread took the place: then there is one less to try. */
    for (uint32_t attempt = 0; attempt < OTP_INDEX_PROBES; attempt++) {
        uint64_t found = OTP_INDEX_EMPTY;
        uint64_t *place = find_place(memory, tid, &found);
        if (!place)
            return -2;
        if (!exchange(place, found, OTP_INDEX_ENTRY(tid, slot)))
            continue;
        __atomic_fetch_add(&memory->control->registrations, 1, __ATOMIC_RELEASE);
        return OTP_INDEX_TID(found) == tid ? (int64_t)OTP_INDEX_SLOT(found) : -1;
    }
    return -2;
}

void otp_index_leave(const struct otp_context_memory *memory, uint32_t tid, uint32_t slot) {
    for (uint32_t probe = 0; probe < OTP_INDEX_PROBES; probe++) {
        uint64_t *place = place_of(memory, tid, probe);
        uint64_t entry = load(place);
        if (entry == OTP_INDEX_ENTRY(tid, slot)) {
            exchange(place, entry, OTP_INDEX_GONE);
            return;
        }
        if (entry == OTP_INDEX_EMPTY)
            return;
    }
}

void otp_index_clear(const struct otp_context_memory *memory) {
    for (uint32_t i = 0; i < memory->index_size; i++)
        if (load(&memory->index[i]) != OTP_INDEX_EMPTY)
            __atomic_store_n(&memory->index[i], OTP_INDEX_EMPTY, __ATOMIC_RELEASE);
}

// SPDX-License-Identifier: Apache-2.0
#include "context/record.h"

/*
 * attrs_synced[i] says how many bytes of the active attributes record i holds, so that entering a span copies only what
 * was added since the other record was used. For the valid record that is all of them; for the other never more.
 */
void otp_record_show(struct otp_thread *self, const struct otp_level *level, const uint8_t *attrs, uint8_t attrs_size) {
    uint64_t generation = otp_next_generation(self->generation);
    uint32_t to = generation & 1;
    uint32_t from = to ^ 1;
    struct otp_thread_record *record = &self->slot->record[to];
    const struct otp_thread_record *other = &self->slot->record[from];

    otp_order_stores(); /* the generation that made this record invalid is out before it changes */
    otp_record_fill(record, level->trace_id, level->span_id, level->valid, level->trace_flags, attrs_size);
    uint8_t synced = self->attrs_synced[to];
    if (attrs) {
        memcpy(record->attrs, attrs, attrs_size);
        self->attrs_synced[from] = 0;
    } else {
        if (synced < attrs_size)
            memcpy(record->attrs + synced, other->attrs + synced, (size_t)(attrs_size - synced));
        /* Attributes that are added after this are others than those that the old record has there. */
        if (self->attrs_synced[from] > attrs_size)
            self->attrs_synced[from] = attrs_size;
    }
    self->attrs_synced[to] = attrs_size;
    self->attrs_size = attrs_size;
    otp_record_switch(self, generation, level->valid);
}

const struct otp_thread_record *otp_context_own_record(void) {
    const struct otp_thread *self = otp_thread_ready();
    if (!self)
        return NULL;
    const struct otp_thread_record *record = &self->slot->record[self->generation & 1];
    return record->valid == 1 ? record : NULL;
}

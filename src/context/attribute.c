// SPDX-License-Identifier: Apache-2.0
/* Attributes of the active context: entries of key index, length and bytes, appended to the valid record. */
#include <string.h>

#include "base/error.h"
#include "context/attribute_keys.h"
#include "context/fit.h"
#include "context/record.h"
#include "context/thread.h"

#define VALUE_MAX 200

/* Appends to the valid record in place (OTEP 4947, "Writing"): bytes past the size belong to nobody, and the size is
 * stored after them. */
static void append(struct otp_thread *self, uint8_t key, const char *value, uint8_t length) {
    uint32_t now = self->generation & 1;
    struct otp_thread_record *record = &self->slot->record[now];
    uint8_t *entry = record->attrs + self->attrs_size;
    entry[0] = key;
    entry[1] = length;
    memcpy(entry + 2, value, length);
    otp_order_stores();
    self->attrs_size = (uint8_t)(self->attrs_size + 2 + length);
    self->attrs_synced[now] = self->attrs_size;
    __atomic_store_n(&record->attrs_size, self->attrs_size, __ATOMIC_RELEASE);
}

/*
 * Drops the values that `key` was given before in this very level (those of outer levels are wanted again at its end),
 * and shows the shorter attributes.
 */
static void drop_overridden(struct otp_thread *self, uint8_t key) {
    const struct otp_level *level = &self->levels[self->depth];
    const uint8_t *attrs = self->slot->record[self->generation & 1].attrs;
    uint8_t kept[OTP_RECORD_ATTRS_MAX];
    uint32_t size = level->attrs_base;
    /* An attached context replaced what was there before it: all of its attributes are its own. */
    if (self->attached > level->attached_before)
        size = 0;
    memcpy(kept, attrs, size);
    for (uint32_t at = size; at + 2 <= self->attrs_size;) {
        uint32_t entry = 2u + attrs[at + 1];
        if (at + entry > self->attrs_size)
            break;
        if (attrs[at] != key) {
            memcpy(kept + size, attrs + at, entry);
            size += entry;
        }
        at += entry;
    }
    if (size < self->attrs_size)
        otp_record_show(self, level, kept, (uint8_t)size);
}

static __attribute__((cold)) int no_span(void) {
    if (!otp_thread_ready())
        (void)otp_thread_in_force();
    return otp_error_constant(OTELPROF_E_STATE, "otelprof_span_attribute: no span is active on this thread");
}

static struct otp_thread *inside_span(void) {
    struct otp_thread *self = otp_thread_ready();
    return self && self->levels[self->depth].valid ? self : NULL;
}

/* `self` is inside a span. */
static int set_attribute(struct otp_thread *self, uint32_t key, const char *value, size_t length) {
    if (!otp_attribute_key_allowed(key))
        return 0;
    char text[VALUE_MAX];
    bool cut;
    size_t size = otp_fit(text, VALUE_MAX, value, length, &cut);
    if (self->attrs_size + 2 + size > OTP_RECORD_ATTRS_MAX)
        drop_overridden(self, (uint8_t)key);
    if (self->attrs_size + 2 + size > OTP_RECORD_ATTRS_MAX) {
        otp_thread_count(OTP_COUNT_ATTRIBUTES_DROPPED);
        return otp_error_constant(OTELPROF_E_LIMIT, "otelprof_span_attribute: no room for the value on this thread");
    }
    if (cut)
        otp_thread_count(OTP_COUNT_ATTRIBUTES_CUT);
    append(self, (uint8_t)key, text, (uint8_t)size);
    return 0;
}

int otelprof_span_attribute_key(int key, const char *value, size_t length) {
    struct otp_thread *self = inside_span();
    if (!self)
        return no_span();
    if (key < 0 || !value || !otp_attribute_key_name((uint32_t)key))
        return otp_error_constant(OTELPROF_E_INVALID, "otelprof_span_attribute_key: no such key, or a NULL value");
    return set_attribute(self, (uint32_t)key, value, length);
}

int otelprof_span_attribute(const char *key, const char *value) {
    struct otp_thread *self = inside_span();
    if (!self)
        return no_span();
    if (!value)
        return otp_error_constant(OTELPROF_E_INVALID, "otelprof_span_attribute: a NULL value");
    int number = otp_attribute_key(key);
    if (number == OTELPROF_E_LIMIT || number == OTELPROF_E_MEMORY)
        otp_thread_count(OTP_COUNT_ATTRIBUTES_DROPPED);
    if (number < 0)
        return number;
    return set_attribute(self, (uint32_t)number, value, strnlen(value, VALUE_MAX + 4));
}

int otelprof_attribute_key(const char *name) { return otp_attribute_key(name); }

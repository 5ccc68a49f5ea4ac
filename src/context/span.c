// SPDX-License-Identifier: Apache-2.0
/* Entering and leaving spans: the path that every request of a service takes. */
#include <string.h>

#include "base/error.h"
#include "context/record.h"
#include "context/thread.h"

static const struct otelprof_span_token no_token = {0, 0};

static inline bool ids_missing(const uint8_t trace_id[16], const uint8_t span_id[8]) {
    uint64_t trace[2];
    uint64_t span;
    memcpy(trace, trace_id, sizeof(trace));
    memcpy(&span, span_id, sizeof(span));
    return (trace[0] | trace[1]) == 0 || span == 0;
}

/* Calls that do nothing, out of the way of those that do. */
static __attribute__((noinline, cold)) struct otelprof_span_token refuse_enter(enum otp_thread_counter counter,
                                                                               int error, const char *sentence) {
    otp_thread_count(counter);
    otp_error_constant(error, sentence);
    return no_token;
}

static __attribute__((noinline, cold)) int refuse_exit(struct otelprof_span_token token) {
    if (!otp_thread_ready())
        (void)otp_thread_in_force();
    if (token.place || token.serial)
        otp_thread_count(OTP_COUNT_OUT_OF_ORDER);
    return otp_error_constant(OTELPROF_E_ORDER, "this span token does nothing (any more) on this thread");
}

/* Goes one level down. The caller fills what the level shows, and shows it. */
static inline struct otp_level *push_level(struct otp_thread *self) {
    struct otp_level *level = &self->levels[++self->depth];
    level->serial = ++self->serial;
    level->attrs_base = self->attrs_size;
    level->attached_before = self->attached;
    return level;
}

static inline struct otelprof_span_token token_of(const struct otp_thread *self, const struct otp_level *level) {
    return (struct otelprof_span_token){self->place | self->depth, level->serial};
}

struct otelprof_span_token otelprof_span_enter(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags) {
    struct otp_thread *self = otp_thread_ready();
    if (!self && !(self = otp_thread_enroll()))
        return no_token;
    if (__builtin_expect(!trace_id || !span_id || ids_missing(trace_id, span_id), 0))
        return refuse_enter(OTP_COUNT_INVALID, OTELPROF_E_INVALID, "otelprof_span_enter: NULL or all-zero ids");
    if (__builtin_expect(self->depth == OTP_LEVELS_MAX, 0))
        return refuse_enter(OTP_COUNT_TOO_DEEP, OTELPROF_E_LIMIT, "otelprof_span_enter: nesting over 32");
    struct otp_level *level = push_level(self);
    memcpy(level->trace_id, trace_id, sizeof(level->trace_id));
    memcpy(level->span_id, span_id, sizeof(level->span_id));
    level->trace_flags = flags;
    level->valid = 1;
    otp_record_show(self, level, NULL, self->attrs_size);
    return token_of(self, level);
}

/* Ends level `depth` and all below it. */
static inline int leave_level(struct otp_thread *self, uint32_t depth) {
    const struct otp_level *ended = &self->levels[depth];
    self->depth = depth - 1;
    const uint8_t *attrs = NULL;
    if (__builtin_expect(self->attached > ended->attached_before, 0)) {
        self->attached = ended->attached_before;
        attrs = self->saved[self->attached].attrs;
    }
    otp_record_show(self, ended - 1, attrs, ended->attrs_base);
    return 0;
}

int otelprof_span_exit(struct otelprof_span_token token) {
    struct otp_thread *self = otp_thread_ready();
    if (__builtin_expect(!self, 0))
        return refuse_exit(token);
    uint64_t depth = token.place - self->place;
    if (__builtin_expect(depth - 1 >= self->depth || self->levels[depth].serial != token.serial, 0))
        return refuse_exit(token);
    return leave_level(self, (uint32_t)depth);
}

int otelprof_context_detach(struct otelprof_span_token token) { return otelprof_span_exit(token); }

/* What the opaque public structure holds. */
struct carried {
    uint64_t mark; /* MARK, or 0 for an empty context; anything else was never captured */
    uint64_t reserved;
    struct otp_thread_record record;
};
_Static_assert(sizeof(struct carried) == sizeof(struct otelprof_context), "otelprof_context holds a whole record");
#define MARK 0x3178746370746f00ull

void otelprof_context_capture(struct otelprof_context *context) {
    if (!context)
        return;
    struct carried carried = {0};
    struct otp_thread *self = otp_thread_ready();
    if (!self) {
        (void)otp_thread_in_force();
    } else if (self->levels[self->depth].valid) {
        const struct otp_thread_record *record = &self->slot->record[self->generation & 1];
        carried.mark = MARK;
        memcpy(&carried.record, record, OTP_RECORD_HEADER);
        memcpy(carried.record.attrs, record->attrs, self->attrs_size);
        carried.record.attrs_size = self->attrs_size;
    }
    memcpy(context, &carried, sizeof(carried));
}

/* Keeps the attributes that an attached context replaces. */
static void save_attributes(struct otp_thread *self) {
    struct otp_saved *saved = &self->saved[self->attached++];
    saved->size = self->attrs_size;
    memcpy(saved->attrs, self->slot->record[self->generation & 1].attrs, self->attrs_size);
}

struct otelprof_span_token otelprof_context_attach(const struct otelprof_context *context) {
    struct otp_thread *self = otp_thread_ready();
    if (!self && !(self = otp_thread_enroll()))
        return no_token;
    struct carried carried;
    if (!context)
        return refuse_enter(OTP_COUNT_INVALID, OTELPROF_E_INVALID, "otelprof_context_attach: NULL");
    memcpy(&carried, context, sizeof(carried));
    if (carried.mark != 0 && (carried.mark != MARK || carried.record.attrs_size > OTP_RECORD_ATTRS_MAX))
        return refuse_enter(OTP_COUNT_INVALID, OTELPROF_E_INVALID, "otelprof_context_attach: never captured");
    if (carried.mark == 0)
        memset(&carried, 0, sizeof(carried));
    if (self->depth == OTP_LEVELS_MAX || self->attached == OTP_ATTACHED_MAX)
        return refuse_enter(OTP_COUNT_TOO_DEEP, OTELPROF_E_LIMIT,
                            "otelprof_context_attach: over 8 attached contexts, or 32 levels in all");
    struct otp_level *level = push_level(self);
    save_attributes(self);
    memcpy(level->trace_id, carried.record.trace_id, sizeof(level->trace_id));
    memcpy(level->span_id, carried.record.span_id, sizeof(level->span_id));
    level->trace_flags = carried.record.trace_flags;
    level->valid = carried.mark != 0;
    otp_record_show(self, level, carried.record.attrs, (uint8_t)carried.record.attrs_size);
    return token_of(self, level);
}

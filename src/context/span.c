// SPDX-License-Identifier: Apache-2.0
/* Entering and leaving spans: the path that every request of a service takes. */
#include <string.h>

#include "base/error.h"
#include "context/record.h"
#include "context/thread.h"

#define unlikely(condition) __builtin_expect(!!(condition), 0)

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

/* Goes one level down. The caller fills in what the level shows. */
static inline struct otp_level *push_level(struct otp_thread *self, uint64_t generation) {
    struct otp_level *level = &self->levels[++self->depth];
    level->serial = generation;
    level->attrs_base = self->attrs_size;
    level->attached_before = self->attached;
    return level;
}

static inline void fill_level(struct otp_level *level, const uint8_t trace_id[16], const uint8_t span_id[8],
                              uint8_t flags, uint8_t valid) {
    memcpy(level->trace_id, trace_id, sizeof(level->trace_id));
    memcpy(level->span_id, span_id, sizeof(level->span_id));
    level->trace_flags = flags;
    level->valid = valid;
}

static inline struct otelprof_span_token token_of(const struct otp_thread *self, const struct otp_level *level) {
    return (struct otelprof_span_token){self->place | self->depth, level->serial};
}

/* All cases of entering. */
static __attribute__((noinline)) struct otelprof_span_token enter_any(const uint8_t trace_id[16],
                                                                      const uint8_t span_id[8], uint8_t flags) {
    struct otp_thread *self = otp_thread_ready();
    if (!self && !(self = otp_thread_enroll()))
        return no_token;
    if (!trace_id || !span_id || ids_missing(trace_id, span_id))
        return refuse_enter(OTP_COUNT_INVALID, OTELPROF_E_INVALID, "otelprof_span_enter: NULL or all-zero ids");
    if (self->depth == OTP_LEVELS_MAX)
        return refuse_enter(OTP_COUNT_TOO_DEEP, OTELPROF_E_LIMIT, "otelprof_span_enter: nesting over 32");
    struct otp_level *level = push_level(self, otp_next_generation(self->generation));
    fill_level(level, trace_id, span_id, flags, 1);
    otp_record_show(self, level, NULL, self->attrs_size);
    return token_of(self, level);
}

/* The common case alone, without a call; whatever is unusual goes to enter_any(). */
struct otelprof_span_token otelprof_span_enter(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags) {
    struct otp_thread *self = otp_thread_ready();
    if (unlikely(!self || !trace_id || !span_id || ids_missing(trace_id, span_id)))
        return enter_any(trace_id, span_id, flags);
    uint64_t generation = self->generation + 1;
    uint32_t to = generation & 1;
    uint8_t attrs_size = self->attrs_size;
    if (unlikely(self->depth == OTP_LEVELS_MAX || self->attrs_synced[to] != attrs_size || (uint32_t)generation == 0))
        return enter_any(trace_id, span_id, flags);
    struct otp_level *level = push_level(self, generation);
    struct otelprof_span_token token = {self->place | self->depth, generation};
    fill_level(level, trace_id, span_id, flags, 1);
    otp_order_stores();
    otp_record_fill(&self->slot->record[to], trace_id, span_id, 1, flags, attrs_size);
    otp_record_switch(self, generation, true);
    return token;
}

/* All cases of leaving: ends the token's level and all below it. */
static __attribute__((noinline)) int exit_any(struct otelprof_span_token token) {
    struct otp_thread *self = otp_thread_ready();
    uint64_t depth = self ? token.place - self->place : 0;
    if (!self || depth - 1 >= self->depth || self->levels[depth].serial != token.serial)
        return refuse_exit(token);
    const struct otp_level *ended = &self->levels[depth];
    self->depth = (uint32_t)depth - 1;
    const uint8_t *attrs = NULL;
    if (self->attached > ended->attached_before) {
        self->attached = ended->attached_before;
        attrs = self->saved[self->attached].attrs;
    }
    otp_record_show(self, ended - 1, attrs, ended->attrs_base);
    return 0;
}

/*
 * The common case alone: nothing but attributes has changed since the token was made, so its level is the innermost,
 * and the other record still is as it was before. That is the case if the generation is still the token's, which also
 * spares a load of what the enter has just stored.
 */
int otelprof_span_exit(struct otelprof_span_token token) {
    struct otp_thread *self = otp_thread_ready();
    if (unlikely(!self || self->generation != token.serial || (self->place | self->depth) != token.place))
        return exit_any(token);
    uint32_t depth = (uint32_t)token.place & 0xff;
    const struct otp_level *ended = &self->levels[depth];
    uint64_t generation = token.serial + 1;
    if (unlikely(depth == 0 || (uint32_t)generation == 0 || self->attached != ended->attached_before))
        return exit_any(token);
    self->depth = depth - 1;
    self->attrs_size = self->attrs_synced[0] = self->attrs_synced[1] = ended->attrs_base;
    otp_record_switch(self, generation, (ended - 1)->valid);
    return 0;
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
    struct otp_level *level = push_level(self, otp_next_generation(self->generation));
    save_attributes(self);
    fill_level(level, carried.record.trace_id, carried.record.span_id, carried.record.trace_flags, carried.mark != 0);
    otp_record_show(self, level, carried.record.attrs, (uint8_t)carried.record.attrs_size);
    return token_of(self, level);
}

// SPDX-License-Identifier: Apache-2.0
/*
 * The profile model: what was sampled during one stretch of time, with everything that repeats kept once.
 *
 * The profiler thread makes a window, fills it and closes it; then it belongs to the export thread, which only reads
 * it and frees it. Never used by two threads at once; no lock inside.
 *
 *     window = otp_window_new(&config, start);
 *     number = otp_window_mapping(window, &mapping);           before frames that lie in it
 *     otp_window_add(window, &sample);                         as often as samples come
 *     otp_window_close(window, end, &delta_of_counters);       hand it over
 *
 * Memory is bounded. Past 60 % of the limit new samples lose thread id and CPU number, past 80 % their span's link too,
 * past 90 % their stack but for the leaf and a marker, and at 100 % a sample is lost. Each step is counted. (Samples of
 * types that are always merged have no thread id and no CPU number to lose.)
 */
#ifndef OTP_PROFILE_WINDOW_H
#define OTP_PROFILE_WINDOW_H

#include <otelprof/otelprof.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/types.h"

struct otp_window;

#define OTP_NO_MAPPING UINT32_MAX
#define OTP_SAMPLE_FRAMES_MAX 640 /* user and kernel frames and a marker; more are cut off at the root */

struct otp_window_config {
    size_t memory_limit_bytes;
    enum otelprof_detail detail;
    uint64_t period[OTP_PROFILE_KINDS]; /* in the type's period unit; never 0 for a type that is sampled, or its twin */
    const char *rung;                   /* "ebpf"; not copied */
    /* The name of an attribute key by its index in span records, or NULL. Called on the profiler thread. */
    const char *(*key_name)(void *user, unsigned key);
    void *key_user;
};

enum otp_frame_kind {
    OTP_FRAME_NATIVE = 0,
    OTP_FRAME_KERNEL = 1,
    OTP_FRAME_TRUNCATED = 2, /* marker at the root side: "[truncated]"; address and mapping do not count */
    OTP_FRAME_UNKNOWN = 3,   /* user address in no module; mapping does not count */
    OTP_FRAME_DATA = 4,      /* in no stack: an address in the data of the mapping's file */
};

struct otp_frame_ref {
    uint64_t address; /* in this process; inside the instruction, so return addresses come less 1 */
    uint32_t mapping; /* number of otp_window_mapping(), or OTP_NO_MAPPING */
    uint8_t kind;     /* enum otp_frame_kind */
};

struct otp_mapping {
    uint32_t module_number; /* of the module in the process: where symbols are looked for */
    const char *path;       /* without " (deleted)"; "[vdso]", "[kernel]"; NULL: none */
    uint64_t start, end;    /* both 0: not known (kernel) */
    uint64_t file_offset;
    uint64_t bias; /* address - bias = address in the ELF file */
    const uint8_t *build_id;
    uint32_t build_id_size; /* bytes; 0: none */
    const char *htlhash;    /* hex, or NULL or "" */
    bool vdso, kernel, anonymous, deleted;
};

/* An attribute of a sample that is not its span's: a text, a name that is looked up later, or a number. */
struct otp_extra {
    const char *key;
    const char *text; /* NULL: not a text; any bytes up to a zero; "": the attribute is left out */
    int64_t number;
    /* Either not NULL: the value is the name of the variable at `data`, or where that has none, "in FUNCTION" by
     * `site`.
     */
    const struct otp_frame_ref *data, *site;
};

struct otp_sample {
    enum otp_profile_kind type;
    uint64_t time_unix_ns;              /* 0: the window's start */
    double value;                       /* in the type's sample unit: an estimate; not used by types that count */
    double twin_value;                  /* in the unit of the type's twin; not used by types without */
    const struct otp_frame_ref *frames; /* leaf first */
    uint32_t frame_count;
    uint32_t tid;            /* 0: none */
    const char *thread_name; /* any bytes up to a zero; NULL or "": none */
    uint32_t cpu;
    uint8_t stop; /* enum otp_stop (bpf/record.h): why the stack ends */
    uint8_t extra_count;
    const struct otp_extra *extras;
    const void *context; /* struct otp_thread_record (bpf/context_slot.h), perhaps cut short; NULL: none */
    size_t context_size; /* bytes there */
};

/*
 * What became of the samples that were added: samples + lost_memory + states + states_lost = calls of otp_window_add().
 * One that went to two groups, its type's and the twin's, counts once.
 */
struct otp_window_counts {
    uint64_t samples;
    uint64_t lost_memory;
    uint64_t states; /* of types without events: neither fired nor lost as one */
    uint64_t states_lost;
    uint64_t detail_lowered; /* of samples and states: lost thread id, CPU or link */
    uint64_t stacks_cut;     /* of samples and states: cut to the leaf */
};

/* A window that starts at `start_unix_ns`. NULL when out of memory. */
struct otp_window *otp_window_new(const struct otp_window_config *config, uint64_t start_unix_ns);

/* Takes NULL. */
void otp_window_free(struct otp_window *window);

/*
 * The number of a mapping; equal ones share it. Strings and ids are copied. OTP_NO_MAPPING when the memory limit is
 * reached: frames then go without.
 */
uint32_t otp_window_mapping(struct otp_window *window, const struct otp_mapping *mapping);

/* Takes a sample in, for its type and the twin. 0, or OTELPROF_E_MEMORY when it was lost to both (and counted). */
int otp_window_add(struct otp_window *window, const struct otp_sample *sample);

/*
 * The same for a type without a twin, and the number of the sample's group: more can be added to its value as long as
 * the window is filled. OTP_NO_GROUP when the sample was lost.
 */
#define OTP_NO_GROUP UINT32_MAX
uint32_t otp_window_add_group(struct otp_window *window, const struct otp_sample *sample);
void otp_window_add_value(struct otp_window *window, uint32_t group, double value);

/* Ends the window. `delta`: how far each counter went since the last window; copied. NULL: all 0. */
void otp_window_close(struct otp_window *window, uint64_t end_unix_ns, const struct otelprof_stats *delta);

/* Bytes held from the system. */
size_t otp_window_size(const struct otp_window *window);

const struct otp_window_counts *otp_window_counts(const struct otp_window *window);

/* --------------------------------------------------------------------------- for the encoder: numbers from 0 on */

struct otp_attribute {
    const char *key;
    const char *text; /* NULL: an integer, or a name */
    int64_t number;
    bool is_name; /* number: of frames; see otp_window_name_frames() */
};

struct otp_span_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

#define OTP_NO_LINK UINT32_MAX

/* Samples of one type that agree in stack, attributes and link. */
struct otp_sample_group {
    enum otp_profile_kind type;
    uint32_t stack;
    uint32_t attribute_set;
    uint32_t link;   /* or OTP_NO_LINK */
    uint64_t events; /* samples in it; 0 for a type without events, and for what came as a twin */
    double value;    /* their sum; counting types: the same as events */
};

/* Start, end (exclusive) that hold all timestamps too, and the configuration. */
uint64_t otp_window_start(const struct otp_window *window);
uint64_t otp_window_end(const struct otp_window *window);
const struct otp_window_config *otp_window_config(const struct otp_window *window);

/* The counters given to otp_window_close(). More may be added, those of a window that went unsent. */
const struct otelprof_stats *otp_window_delta(const struct otp_window *window);
void otp_window_add_delta(struct otp_window *window, const struct otelprof_stats *delta);

uint32_t otp_window_mapping_count(const struct otp_window *window);
const struct otp_mapping *otp_window_mapping_at(const struct otp_window *window, uint32_t number);
uint32_t otp_window_frame_count(const struct otp_window *window);
const struct otp_frame_ref *otp_window_frame_at(const struct otp_window *window, uint32_t number);
uint32_t otp_window_stack_count(const struct otp_window *window);
/* Numbers of frames, leaf first. */
const uint32_t *otp_window_stack_at(const struct otp_window *window, uint32_t number, uint32_t *frame_count);
/* The frames that a name is looked up by: the variable's and the site's; NULL: none. */
void otp_window_name_frames(const struct otp_window *window, const struct otp_attribute *attribute,
                            const struct otp_frame_ref **data, const struct otp_frame_ref **site);
uint32_t otp_window_attribute_count(const struct otp_window *window);
struct otp_attribute otp_window_attribute_at(const struct otp_window *window, uint32_t number);
uint32_t otp_window_attribute_set_count(const struct otp_window *window);
/* Numbers of attributes; no key twice. */
const uint32_t *otp_window_attribute_set_at(const struct otp_window *window, uint32_t number, uint32_t *count);
uint32_t otp_window_link_count(const struct otp_window *window);
const struct otp_span_link *otp_window_link_at(const struct otp_window *window, uint32_t number);
uint32_t otp_window_group_count(const struct otp_window *window);
struct otp_sample_group otp_window_group_at(const struct otp_window *window, uint32_t number);

/* Walks the timestamps of a group in the order of their coming. A group without any gives none. */
struct otp_timestamps {
    const void *chunk;
    uint32_t index;
};
struct otp_timestamps otp_window_timestamps(const struct otp_window *window, uint32_t group);
/* Puts up to `max` of them into `to`, and returns how many: 0 at the end. */
uint32_t otp_timestamps_take(struct otp_timestamps *at, uint64_t *to, uint32_t max);

/* True if the type's samples carry timestamps in this window (else one value). */
bool otp_window_timed(const struct otp_window *window, enum otp_profile_kind type);

#endif

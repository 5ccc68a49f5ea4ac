// SPDX-License-Identifier: Apache-2.0
/*
 * Reads an ExportProfilesServiceRequest back. The bytes are trusted in nothing: every index is checked once when the
 * request is opened, so that walking cannot leave a table. Made for the tool; one thread a reader.
 *
 * Strings are UTF-8 (checked) and owned by the reader; they may hold control characters.
 */
#ifndef OTP_ENCODE_OTLP_READER_H
#define OTP_ENCODE_OTLP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct otp_otlp_reader;

#define OTP_OTLP_READ_MAX ((size_t)64 << 20) /* bytes of a request */

/* Never NULL strings: "" where the request has nothing. */
struct otp_otlp_profile {
    const char *sample_name, *sample_unit, *period_name, *period_unit;
    int64_t period;
    uint64_t time_unix_ns, duration_ns;
    size_t sample_count;
    size_t attribute_count;
    size_t resource_attribute_count;
    const char *scope_name, *scope_version;
};

struct otp_otlp_sample {
    uint64_t events; /* timestamps, or values where there are none */
    int64_t value;   /* sum of the values; where there are none, the same as events */
    const uint64_t *timestamps;
    size_t timestamp_count;
    size_t frame_count; /* leaf first */
    size_t attribute_count;
    const uint8_t *trace_id; /* 16 bytes, NULL: no link */
    const uint8_t *span_id;  /* 8 bytes */
};

struct otp_otlp_frame {
    uint64_t address;
    bool has_mapping;
    uint64_t mapping_start, mapping_end, file_offset;
    const char *file;       /* of the mapping */
    const char *build_id;   /* hex, GNU; "" if there is none */
    const char *frame_type; /* "native", "kernel", "" */
    size_t line_count;      /* innermost inlined function first; 0: no names */
};

struct otp_otlp_line {
    const char *function, *system_name, *file;
    int64_t line, start_line; /* 0: not known */
};

struct otp_otlp_value {
    const char *key;
    const char *text; /* NULL: an integer. Other types come as "" */
    int64_t number;
};

/*
 * Opens a request; the bytes need not stay. 0; OTELPROF_E_INVALID (not such a request, an index out of its table, text
 * that is no UTF-8, nested too deep, too large; the sentence says which); OTELPROF_E_MEMORY.
 */
int otp_otlp_read(const void *bytes, size_t size, struct otp_otlp_reader **out);

/* Takes NULL. */
void otp_otlp_reader_free(struct otp_otlp_reader *reader);

/* Profiles of all resources and scopes, in order. The calls below return false for a number that is not there. */
size_t otp_otlp_profile_count(const struct otp_otlp_reader *reader);
bool otp_otlp_profile(const struct otp_otlp_reader *reader, size_t profile, struct otp_otlp_profile *out);
bool otp_otlp_profile_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t number,
                                struct otp_otlp_value *out);
bool otp_otlp_resource_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t number,
                                 struct otp_otlp_value *out);
bool otp_otlp_sample(const struct otp_otlp_reader *reader, size_t profile, size_t sample, struct otp_otlp_sample *out);
bool otp_otlp_sample_attribute(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t number,
                               struct otp_otlp_value *out);
bool otp_otlp_frame(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t frame,
                    struct otp_otlp_frame *out);
bool otp_otlp_line(const struct otp_otlp_reader *reader, size_t profile, size_t sample, size_t frame, size_t line,
                   struct otp_otlp_line *out);

#endif

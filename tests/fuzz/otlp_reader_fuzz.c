// SPDX-License-Identifier: Apache-2.0
/* Feeds bytes to the reader of OTLP files, and walks everything that it lets through. */
#include <string.h>

#include "encode/otlp_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t touched; /* so that nothing is optimised away */

static void touch(const struct otp_otlp_value *value) {
    touched += strlen(value->key) + (value->text ? strlen(value->text) : (size_t)value->number);
}

static void walk_sample(const struct otp_otlp_reader *reader, size_t profile, size_t sample) {
    struct otp_otlp_sample out;
    struct otp_otlp_frame frame;
    struct otp_otlp_line line;
    struct otp_otlp_value value;
    otp_otlp_sample(reader, profile, sample, &out);
    for (size_t i = 0; i < out.timestamp_count; i++)
        touched += (size_t)out.timestamps[i];
    if (out.trace_id)
        touched += (size_t)out.trace_id[15] + out.span_id[7];
    for (size_t i = 0; otp_otlp_sample_attribute(reader, profile, sample, i, &value); i++)
        touch(&value);
    /* A file may say again and again what it says once: enough is enough. */
    for (size_t i = 0; i < 1000 && otp_otlp_frame(reader, profile, sample, i, &frame); i++) {
        touched += strlen(frame.file) + strlen(frame.build_id) + strlen(frame.frame_type);
        for (size_t j = 0; j < 100 && otp_otlp_line(reader, profile, sample, i, j, &line); j++)
            touched += strlen(line.function) + strlen(line.system_name) + strlen(line.file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct otp_otlp_reader *reader;
    struct otp_otlp_profile profile;
    struct otp_otlp_value value;
    if (otp_otlp_read(data, size, &reader))
        return 0;
    for (size_t p = 0; otp_otlp_profile(reader, p, &profile); p++) {
        touched += strlen(profile.sample_name) + strlen(profile.period_unit) + strlen(profile.scope_version);
        for (size_t i = 0; otp_otlp_profile_attribute(reader, p, i, &value); i++)
            touch(&value);
        for (size_t i = 0; otp_otlp_resource_attribute(reader, p, i, &value); i++)
            touch(&value);
        for (size_t i = 0; i < profile.sample_count; i++)
            walk_sample(reader, p, i);
    }
    otp_otlp_reader_free(reader);
    return 0;
}

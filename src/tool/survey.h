// SPDX-License-Identifier: Apache-2.0
/* A first look at all files: which types of profiles they hold, and which window of each process is the last. */
#ifndef OTP_TOOL_SURVEY_H
#define OTP_TOOL_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/sample_type.h"

struct otp_otlp_reader;
struct survey;

/* NULL when out of memory. */
struct survey *survey_new(void);

/* Takes NULL. */
void survey_free(struct survey *survey);

/* Looks at a request. False when out of memory. */
bool survey_add(struct survey *survey, const struct otp_otlp_reader *reader);

/* The type to show if none was asked for. False: there is no sample at all. */
bool survey_default(const struct survey *survey, struct sample_type *type);

/* True if there are samples of the type. */
bool survey_has(const struct survey *survey, const struct sample_type *type);

/* The names of all types that there are, "cpu, alloc_space"; how many in *count. */
const char *survey_names(const struct survey *survey, size_t *count);

/* True if the profile belongs to the last window of its process; of snapshots, to the last that has one. */
bool survey_is_last(const struct survey *survey, const struct otp_otlp_reader *reader, size_t profile);

/* Processes, and whether one of them has several windows. */
size_t survey_processes(const struct survey *survey, bool *several_windows);

#endif

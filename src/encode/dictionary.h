// SPDX-License-Identifier: Apache-2.0
/*
 * The values of OTLP's dictionary for a whole window, each once: equal values have equal numbers, and number 0 of each
 * table is its zero value. Requests then pick what they need (request.h). For the encode room only.
 */
#ifndef OTP_ENCODE_DICTIONARY_H
#define OTP_ENCODE_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp.h"

#define OTP_TEXT_MAX 4096 /* bytes of a string; longer ones are cut at a character */

/* Fields hold numbers of the other tables, and no padding: each is the key of its table. */
struct otp_dict_function {
    uint32_t name, system_name, file, start_line;
};

struct otp_dict_mapping {
    uint64_t start, end, file_offset;
    uint32_t file;
    uint32_t attributes[2]; /* build ids; 0: not known */
    uint32_t zero;
};

struct otp_dict_line {
    uint32_t function, line;
};

struct otp_dict_location {
    uint64_t address;
    uint32_t mapping;
    uint32_t attribute;           /* profile.frame.type, or 0 */
    struct otp_dict_line lines[]; /* to the end of the key */
};

enum otp_dict_value { OTP_VALUE_NONE, OTP_VALUE_TEXT, OTP_VALUE_INT };

struct otp_dict_attribute {
    uint32_t key;
    uint32_t kind;  /* enum otp_dict_value */
    int64_t number; /* OTP_VALUE_TEXT: a string's number */
};

/* Name and unit of the sample type, then of the period type. */
#define OTP_TYPE_TEXTS 4

#define OTP_SET_MAX 256 /* attributes of one sample */

struct otp_dictionary {
    struct otp_arena *arena;
    struct otp_intern *strings;
    struct otp_intern *functions;
    struct otp_intern *mappings;
    struct otp_intern *locations;
    struct otp_intern *links; /* struct otp_span_link */
    struct otp_intern *attributes;
    struct otp_intern *stacks; /* uint32_t[]: locations */
    struct otp_intern *sets;   /* uint32_t[]: attributes, as in the window */
    uint32_t type_texts[OTP_PROFILE_KINDS][OTP_TYPE_TEXTS];
    uint64_t resolved, missing; /* addresses with and without a name */
};

/* 0, or -1 when out of memory. The arena stays the caller's. */
int otp_dictionary_init(struct otp_dictionary *dictionary, struct otp_arena *arena);

/* Each gives a number, or OTP_INTERN_NONE when out of memory. NULL counts as "". */
uint32_t otp_dictionary_text(struct otp_dictionary *dictionary, const char *text);
uint32_t otp_dictionary_attribute(struct otp_dictionary *dictionary, const struct otp_attribute *attribute);
/* The text of a name that is looked up now. */
uint32_t otp_dictionary_name(struct otp_dictionary *dictionary, const struct otp_window *window,
                             const struct otp_attribute *attribute, const struct otp_symbolizer *symbolizer);
uint32_t otp_dictionary_mapping(struct otp_dictionary *dictionary, const struct otp_mapping *mapping);
uint32_t otp_dictionary_location(struct otp_dictionary *dictionary, const struct otp_window *window,
                                 const struct otp_frame_ref *frame, const struct otp_symbolizer *symbolizer);

#endif

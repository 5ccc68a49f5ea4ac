// SPDX-License-Identifier: Apache-2.0
#include "encode/dictionary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

_Static_assert(sizeof(struct otp_dict_mapping) == 40, "keys have no padding");
_Static_assert(sizeof(struct otp_dict_location) == 16, "keys have no padding");
_Static_assert(sizeof(struct otp_dict_attribute) == 16, "keys have no padding");

#define OTP_LOCK_NAME_ROOM 512
#define BUILD_ID_MAX 64 /* bytes that are printed */

/* A set whose number 0 is `size` zero bytes. */
static struct otp_intern *new_table(struct otp_arena *arena, size_t size) {
    static const uint64_t zero[sizeof(struct otp_dict_mapping) / 8];
    struct otp_intern *set = otp_intern_new(arena);
    return set && otp_intern(set, zero, size) == 0 ? set : NULL;
}

static int add_type_texts(struct otp_dictionary *dictionary) {
    for (int i = 0; i < OTP_PROFILE_KINDS; i++) {
        const struct otp_profile_type *type = &otp_profile_types[i];
        const char *texts[OTP_TYPE_TEXTS] = {type->sample_name, type->sample_unit, type->period_name,
                                             type->period_unit};
        for (int j = 0; j < OTP_TYPE_TEXTS; j++) {
            dictionary->type_texts[i][j] = otp_dictionary_text(dictionary, texts[j]);
            if (dictionary->type_texts[i][j] == OTP_INTERN_NONE)
                return -1;
        }
    }
    return 0;
}

int otp_dictionary_init(struct otp_dictionary *dictionary, struct otp_arena *arena) {
    *dictionary = (struct otp_dictionary){
        .arena = arena,
        .strings = new_table(arena, 0),
        .functions = new_table(arena, sizeof(struct otp_dict_function)),
        .mappings = new_table(arena, sizeof(struct otp_dict_mapping)),
        .locations = new_table(arena, sizeof(struct otp_dict_location)),
        .links = new_table(arena, sizeof(struct otp_span_link)),
        .attributes = new_table(arena, sizeof(struct otp_dict_attribute)),
        .stacks = new_table(arena, 0),
        .sets = new_table(arena, 0),
    };
    bool made = dictionary->strings && dictionary->functions && dictionary->mappings && dictionary->locations &&
                dictionary->links && dictionary->attributes && dictionary->stacks && dictionary->sets;
    return made ? add_type_texts(dictionary) : -1;
}

uint32_t otp_dictionary_text(struct otp_dictionary *dictionary, const char *text) {
    char clean[OTP_TEXT_MAX + 1];
    size_t size = text ? strlen(text) : 0;
    if (size <= OTP_TEXT_MAX && otp_utf8_valid(text, size))
        return otp_intern(dictionary->strings, text, size);
    size = otp_utf8_clean(clean, sizeof(clean), text, size);
    return otp_intern(dictionary->strings, clean, size);
}

uint32_t otp_dictionary_attribute(struct otp_dictionary *dictionary, const struct otp_attribute *attribute) {
    struct otp_dict_attribute key = {.key = otp_dictionary_text(dictionary, attribute->key), .kind = OTP_VALUE_INT};
    key.number = attribute->number;
    if (attribute->text) {
        key.kind = OTP_VALUE_TEXT;
        key.number = otp_dictionary_text(dictionary, attribute->text);
    }
    if (key.key == OTP_INTERN_NONE || (attribute->text && key.number == OTP_INTERN_NONE))
        return OTP_INTERN_NONE;
    return otp_intern(dictionary->attributes, &key, sizeof(key));
}

/* "in FILE+0x1234". */
static void name_place(const struct otp_window *window, const struct otp_frame_ref *frame, char *name, size_t size) {
    const struct otp_mapping *mapping = otp_window_mapping_at(window, frame->mapping);
    const char *slash = strrchr(mapping->path, '/');
    snprintf(name, size, "in %s+0x%" PRIx64, slash ? slash + 1 : mapping->path,
             frame->address - mapping->start + mapping->file_offset);
}

/*
 * The variable, or the function that waited there first; the place of it in its file, or "unknown". Of inlined
 * functions the one that they are in: the others are wrappers of the lock (std::mutex::lock) as a rule.
 */
static void name_of(const struct otp_window *window, const struct otp_attribute *attribute,
                    const struct otp_symbolizer *symbolizer, char *name, size_t size) {
    const struct otp_frame_ref *data, *site;
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    uint64_t offset = 0;
    size_t count = 0;
    otp_window_name_frames(window, attribute, &data, &site);
    const struct otp_mapping *mapping = NULL;
    if (data && data->mapping != OTP_NO_MAPPING)
        mapping = otp_window_mapping_at(window, data->mapping);
    const char *variable =
        mapping && symbolizer && symbolizer->data ? symbolizer->data(symbolizer->user, mapping, data, &offset) : NULL;
    if (!variable && site && site->mapping != OTP_NO_MAPPING && symbolizer && symbolizer->names)
        count = symbolizer->names(symbolizer->user, otp_window_mapping_at(window, site->mapping), site, lines,
                                  OTP_SYMBOL_LINES_MAX);
    if (variable && offset)
        snprintf(name, size, "%s+0x%" PRIx64, variable, offset);
    else if (variable)
        snprintf(name, size, "%s", variable);
    else if (count)
        snprintf(name, size, "in %s", lines[count - 1].function);
    else if (site && site->mapping != OTP_NO_MAPPING)
        name_place(window, site, name, size);
    else
        snprintf(name, size, "unknown");
}

uint32_t otp_dictionary_name(struct otp_dictionary *dictionary, const struct otp_window *window,
                             const struct otp_attribute *attribute, const struct otp_symbolizer *symbolizer) {
    char name[OTP_LOCK_NAME_ROOM];
    name_of(window, attribute, symbolizer, name, sizeof(name));
    return otp_dictionary_attribute(dictionary, &(struct otp_attribute){.key = attribute->key, .text = name});
}

static uint32_t text_attribute(struct otp_dictionary *dictionary, const char *key, const char *text) {
    return otp_dictionary_attribute(dictionary, &(struct otp_attribute){.key = key, .text = text});
}

/* Number 0 for a mapping without any build id: it may not be sent (MUST have one), so its locations go without. */
uint32_t otp_dictionary_mapping(struct otp_dictionary *dictionary, const struct otp_mapping *mapping) {
    struct otp_dict_mapping key = {mapping->start, mapping->end, mapping->file_offset, 0, {0, 0}, 0};
    char hex[2 * BUILD_ID_MAX + 1];
    uint32_t size = mapping->build_id_size < BUILD_ID_MAX ? mapping->build_id_size : BUILD_ID_MAX;
    bool hashed = mapping->htlhash && *mapping->htlhash;
    if (!size && !hashed)
        return 0;
    for (uint32_t i = 0; i < size; i++) {
        hex[2 * i] = "0123456789abcdef"[mapping->build_id[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[mapping->build_id[i] & 15];
    }
    hex[2 * size] = 0;
    key.file = otp_dictionary_text(dictionary, mapping->path);
    if (size)
        key.attributes[0] = text_attribute(dictionary, "process.executable.build_id.gnu", hex);
    if (hashed)
        key.attributes[1] = text_attribute(dictionary, "process.executable.build_id.htlhash", mapping->htlhash);
    if (key.file == OTP_INTERN_NONE || key.attributes[0] == OTP_INTERN_NONE || key.attributes[1] == OTP_INTERN_NONE)
        return OTP_INTERN_NONE;
    return otp_intern(dictionary->mappings, &key, sizeof(key));
}

/* Fills one line. 0, 1 if there is no name in it, -1 when out of memory. */
static int make_line(struct otp_dictionary *dictionary, const struct otp_symbol_line *from, struct otp_dict_line *to) {
    struct otp_dict_function function = {
        otp_dictionary_text(dictionary, from->function),
        otp_dictionary_text(dictionary, from->system_name),
        otp_dictionary_text(dictionary, from->file),
        from->start_line,
    };
    if (function.name == OTP_INTERN_NONE || function.system_name == OTP_INTERN_NONE || function.file == OTP_INTERN_NONE)
        return -1;
    if (!function.name && !function.system_name && !function.file)
        return 1;
    to->line = from->line;
    to->function = otp_intern(dictionary->functions, &function, sizeof(function));
    return to->function == OTP_INTERN_NONE ? -1 : 0;
}

/* The names of a frame; the marker's comes from here. Returns how many, or -1 when out of memory. */
static int make_lines(struct otp_dictionary *dictionary, const struct otp_mapping *mapping,
                      const struct otp_frame_ref *frame, const struct otp_symbolizer *symbolizer,
                      struct otp_dict_line *lines) {
    struct otp_symbol_line names[OTP_SYMBOL_LINES_MAX];
    size_t found = 0;
    int count = 0;
    if (frame->kind == OTP_FRAME_TRUNCATED) {
        names[found++] = (struct otp_symbol_line){.function = "[truncated]"};
    } else {
        if (symbolizer && symbolizer->names)
            found = symbolizer->names(symbolizer->user, mapping, frame, names, OTP_SYMBOL_LINES_MAX);
        dictionary->resolved += found > 0;
        dictionary->missing += found == 0;
    }
    for (size_t i = 0; i < found && i < OTP_SYMBOL_LINES_MAX; i++) {
        int made = make_line(dictionary, &names[i], &lines[count]);
        if (made < 0)
            return -1;
        count += made == 0;
    }
    return count;
}

uint32_t otp_dictionary_location(struct otp_dictionary *dictionary, const struct otp_window *window,
                                 const struct otp_frame_ref *frame, const struct otp_symbolizer *symbolizer) {
    uint64_t room[(sizeof(struct otp_dict_location) + OTP_SYMBOL_LINES_MAX * sizeof(struct otp_dict_line)) / 8];
    struct otp_dict_location *key = (struct otp_dict_location *)(void *)room;
    const struct otp_mapping *mapping =
        frame->mapping == OTP_NO_MAPPING ? NULL : otp_window_mapping_at(window, frame->mapping);
    *key = (struct otp_dict_location){.address = frame->address};
    if (mapping)
        key->mapping = otp_dictionary_mapping(dictionary, mapping);
    if (frame->kind != OTP_FRAME_TRUNCATED)
        key->attribute =
            text_attribute(dictionary, "profile.frame.type", frame->kind == OTP_FRAME_KERNEL ? "kernel" : "native");
    int count = make_lines(dictionary, mapping, frame, symbolizer, key->lines);
    if (count < 0 || key->mapping == OTP_INTERN_NONE || key->attribute == OTP_INTERN_NONE)
        return OTP_INTERN_NONE;
    return otp_intern(dictionary->locations, key, sizeof(*key) + (size_t)count * sizeof(key->lines[0]));
}

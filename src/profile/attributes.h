// SPDX-License-Identifier: Apache-2.0
/* The attributes of one sample on their way to a set. For the profile room only. */
#ifndef OTP_PROFILE_ATTRIBUTES_H
#define OTP_PROFILE_ATTRIBUTES_H

#include "profile/window_data.h"

#define OTP_ATTRIBUTES_MAX 128 /* a record has room for 114 entries; the rest are ours */

struct otp_attribute_list {
    struct otp_attribute_key items[OTP_ATTRIBUTES_MAX];
    uint32_t count;
    bool full; /* out of memory or of room: the set would not be whole */
};

/* Sets a text; one that is set already is replaced. Bad UTF-8 is mended. */
void otp_attribute_set_text(struct otp_window *window, struct otp_attribute_list *list, const char *key,
                            const void *text, size_t size);
void otp_attribute_set_int(struct otp_window *window, struct otp_attribute_list *list, const char *key, int64_t number);

/* Sets a name that is looked up later, by frames of the window + 1. */
void otp_attribute_set_name(struct otp_window *window, struct otp_attribute_list *list, const char *key, uint32_t data,
                            uint32_t site);

/* Sets the attributes of a thread record: `size` bytes of entries. */
void otp_attribute_set_entries(struct otp_window *window, struct otp_attribute_list *list, const uint8_t *entries,
                               size_t size);

/* The number of the set, or OTP_INTERN_NONE when out of memory. Sorts the list. */
uint32_t otp_attribute_intern(struct otp_window *window, struct otp_attribute_list *list);

#endif

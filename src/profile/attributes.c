// SPDX-License-Identifier: Apache-2.0
#include "profile/attributes.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"

#define TEXT_MAX 255 /* bytes of a value in a thread record; ours are shorter */

static uint32_t intern_text(struct otp_window *window, const void *text, size_t size) {
    char clean[OTP_UTF8_ROOM(TEXT_MAX)];
    if (size > TEXT_MAX)
        size = TEXT_MAX;
    if (otp_utf8_valid(text, size))
        return otp_intern(window->strings, text, size);
    return otp_intern(window->strings, clean, otp_utf8_clean(clean, sizeof(clean), text, size));
}

static void set(struct otp_attribute_list *list, struct otp_attribute_key item) {
    uint32_t i = 0;
    while (i < list->count && list->items[i].key != item.key)
        i++;
    if (i == OTP_ATTRIBUTES_MAX) {
        list->full = true;
        return;
    }
    list->items[i] = item;
    if (i == list->count)
        list->count++;
}

void otp_attribute_set_text(struct otp_window *window, struct otp_attribute_list *list, const char *key,
                            const void *text, size_t size) {
    struct otp_attribute_key item = {.key = intern_text(window, key, strlen(key))};
    item.text = intern_text(window, text, size);
    if (item.key == OTP_INTERN_NONE || item.text == OTP_INTERN_NONE)
        list->full = true;
    else
        set(list, item);
}

static void set_number(struct otp_window *window, struct otp_attribute_list *list, const char *key, uint32_t text,
                       int64_t number) {
    struct otp_attribute_key item = {intern_text(window, key, strlen(key)), text, number};
    if (item.key == OTP_INTERN_NONE)
        list->full = true;
    else
        set(list, item);
}

void otp_attribute_set_int(struct otp_window *window, struct otp_attribute_list *list, const char *key,
                           int64_t number) {
    set_number(window, list, key, OTP_INTERN_NONE, number);
}

void otp_attribute_set_name(struct otp_window *window, struct otp_attribute_list *list, const char *key, uint32_t data,
                            uint32_t site) {
    set_number(window, list, key, OTP_TEXT_IS_NAME, (int64_t)((uint64_t)data << 32 | site));
}

void otp_attribute_set_entries(struct otp_window *window, struct otp_attribute_list *list, const uint8_t *entries,
                               size_t size) {
    struct otp_bytes bytes = otp_bytes(entries, size);
    while (otp_bytes_left(&bytes)) {
        uint8_t index = otp_bytes_u8(&bytes);
        uint8_t length = otp_bytes_u8(&bytes);
        const uint8_t *value = otp_bytes_take(&bytes, length);
        if (!value)
            return; /* an entry that does not fit ends the record (OTEP 4947) */
        const char *key = window->config.key_name ? window->config.key_name(window->config.key_user, index) : NULL;
        if (key && *key)
            otp_attribute_set_text(window, list, key, value, length);
    }
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

uint32_t otp_attribute_intern(struct otp_window *window, struct otp_attribute_list *list) {
    uint32_t numbers[OTP_ATTRIBUTES_MAX];
    if (list->full)
        return OTP_INTERN_NONE;
    for (uint32_t i = 0; i < list->count; i++) {
        numbers[i] = otp_intern(window->attributes, &list->items[i], sizeof(list->items[i]));
        if (numbers[i] == OTP_INTERN_NONE)
            return OTP_INTERN_NONE;
    }
    qsort(numbers, list->count, sizeof(numbers[0]), compare);
    return otp_intern(window->sets, numbers, list->count * sizeof(numbers[0]));
}

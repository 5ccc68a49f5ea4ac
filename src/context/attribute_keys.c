// SPDX-License-Identifier: Apache-2.0
#include "context/attribute_keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <otelprof/otelprof.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/sys.h"
#include "base/utf8.h"

struct key {
    uint32_t hash;
    uint32_t length;
    _Atomic bool allowed;
    char name[];
};

/* A copy of an allow list. Kept for ever: a thread that adds a key may still be reading it. */
struct allow_list {
    struct allow_list *older;
    char text[];
};

/*
 * Filled from the front, each place once and for all. Whoever adds a name looks at all filled places on the way to the
 * first free one, so no name can get two numbers.
 */
static _Atomic(struct key *) keys[OTP_ATTRIBUTE_KEYS_MAX];
static _Atomic(struct allow_list *) allow_list;

/* Where a name is likely to be: number + 1. A hint only; a wrong or missing one costs a search from the front. */
#define HINTS 1024
static _Atomic uint16_t hints[HINTS];

static struct key *key_at(uint32_t number) { return atomic_load_explicit(&keys[number], memory_order_acquire); }

static bool is(const struct key *key, const char *name, size_t length, uint32_t hash) {
    return key->hash == hash && key->length == length && memcmp(key->name, name, length) == 0;
}

static bool blank(char c) { return c == ' ' || c == '\t'; }

static bool listed(const struct allow_list *list, const char *name, size_t length) {
    if (!list || !*list->text)
        return true;
    for (const char *at = list->text; *at;) {
        size_t item = strcspn(at, ",");
        const char *first = at;
        const char *last = at + item;
        while (first < last && blank(*first))
            first++;
        while (last > first && blank(last[-1]))
            last--;
        if ((size_t)(last - first) == length && memcmp(first, name, length) == 0)
            return true;
        at += item + (at[item] == ',');
    }
    return false;
}

/* Repeated until the list is still the same after the store, because a new one may come in between. */
static void judge(struct key *key) {
    struct allow_list *list;
    do {
        list = atomic_load(&allow_list);
        atomic_store(&key->allowed, listed(list, key->name, key->length));
    } while (list != atomic_load(&allow_list));
}

static int find_hinted(const char *name, size_t length, uint32_t hash) {
    uint32_t number = atomic_load_explicit(&hints[hash % HINTS], memory_order_relaxed);
    if (!number)
        return -1;
    struct key *key = key_at(number - 1);
    return key && is(key, name, length, hash) ? (int)number - 1 : -1;
}

static struct key *new_key(const char *name, size_t length, uint32_t hash) {
    struct key *key = otp_sys.malloc(sizeof(*key) + length + 1);
    if (!key)
        return NULL;
    key->hash = hash;
    key->length = (uint32_t)length;
    memcpy(key->name, name, length + 1);
    judge(key);
    return key;
}

/* Finds the name from the front, or puts it into the first free place. */
static int find_or_add(const char *name, size_t length, uint32_t hash) {
    struct key *made = NULL;
    int found = OTELPROF_E_LIMIT;
    for (uint32_t number = 0; number < OTP_ATTRIBUTE_KEYS_MAX && found < 0; number++) {
        struct key *key = key_at(number);
        if (!key) {
            if (!made && !(made = new_key(name, length, hash))) {
                found = OTELPROF_E_MEMORY;
                break;
            }
            if (atomic_compare_exchange_strong(&keys[number], &key, made)) {
                judge(made); /* a list that was set before the key could be seen did not reach it */
                made = NULL;
                found = (int)number;
                break;
            }
        }
        if (is(key, name, length, hash))
            found = (int)number;
    }
    free(made);
    return found;
}

int otp_attribute_key(const char *name) {
    size_t length = name ? strnlen(name, OTP_ATTRIBUTE_NAME_MAX + 1) : 0;
    if (!length || length > OTP_ATTRIBUTE_NAME_MAX)
        return otp_error_constant(OTELPROF_E_INVALID, "attribute key: the name must have 1 to 128 bytes");
    uint32_t hash = otp_hash(name, length);
    int number = find_hinted(name, length, hash);
    if (number >= 0)
        return number;
    if (!otp_utf8_valid(name, length))
        return otp_error_constant(OTELPROF_E_INVALID, "attribute key: the name is not UTF-8");
    number = find_or_add(name, length, hash);
    if (number == OTELPROF_E_LIMIT)
        return otp_error_constant(number, "attribute key: there are 256 keys already");
    if (number < 0)
        return otp_error_constant(number, "attribute key: out of memory");
    atomic_store_explicit(&hints[hash % HINTS], (uint16_t)(number + 1), memory_order_relaxed);
    return number;
}

uint32_t otp_attribute_keys_count(void) {
    uint32_t count = 0;
    while (count < OTP_ATTRIBUTE_KEYS_MAX && key_at(count))
        count++;
    return count;
}

const char *otp_attribute_key_name(uint32_t key) {
    struct key *found = key < OTP_ATTRIBUTE_KEYS_MAX ? key_at(key) : NULL;
    return found ? found->name : NULL;
}

bool otp_attribute_key_allowed(uint32_t key) {
    struct key *found = key < OTP_ATTRIBUTE_KEYS_MAX ? key_at(key) : NULL;
    return found && atomic_load_explicit(&found->allowed, memory_order_relaxed);
}

int otp_attribute_keys_allow(const char *list) {
    size_t length = list ? strlen(list) : 0;
    struct allow_list *before = atomic_load(&allow_list);
    if (strcmp(before ? before->text : "", length ? list : "") == 0)
        return 0; /* a restart with the same list keeps nothing new */
    struct allow_list *copy = otp_sys.malloc(sizeof(*copy) + length + 1);
    if (!copy)
        return otp_error(OTELPROF_E_MEMORY, "allow list of attributes: out of memory");
    memcpy(copy->text, length ? list : "", length + 1);
    copy->older = before;
    atomic_store(&allow_list, copy);
    for (uint32_t number = 0; number < OTP_ATTRIBUTE_KEYS_MAX && key_at(number); number++)
        judge(key_at(number));
    return 0;
}

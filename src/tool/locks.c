// SPDX-License-Identifier: Apache-2.0
#include "tool/locks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/intern.h"
#include "encode/otlp_reader.h"
#include "tool/inputs.h"
#include "tool/places.h"
#include "tool/requests.h"
#include "tool/reserve.h"
#include "tool/sample_type.h"
#include "tool/text.h"
#include "tool/tool.h"

#define PARTIES_SHOWN 5 /* of each side */

enum side { WAITED, HELD, SIDES };

struct sums {
    double contentions, delay_ns;
};

/* Keys are texts with line ends between their parts, so that equal ones meet. */
struct lock {
    const char *name, *kind;
    struct sums sums[SIDES];
    uint32_t addresses;
};

struct party {
    uint32_t lock;
    enum side side;
    const char *function, *place, *value; /* of whom it was, by the option `by`; "": nobody's */
    struct sums sums;
};

struct locks {
    const struct locks_options *options;
    struct otp_arena *arena;
    struct otp_intern *lock_keys, *party_keys, *address_keys;
    struct lock *locks;
    struct party *parties;
    size_t lock_room, party_room, files;
};

/* ---------------------------------------------------------------------------------------------- reading */

static const char *keep(struct locks *locks, const char *text) {
    return otp_arena_copy(locks->arena, text, strlen(text));
}

static uint32_t intern_parts(struct otp_intern *keys, uint32_t number, const char *first, const char *second,
                             const char *third) {
    char key[4 * PLACE_BYTES];
    int length = snprintf(key, sizeof(key), "%" PRIu32 "\n%.511s\n%.511s\n%.511s", number, first, second, third);
    size_t size = length < 0 ? 0 : (size_t)length < sizeof(key) ? (size_t)length : sizeof(key) - 1;
    return otp_intern(keys, key, size);
}

/* The lock of a sample, made if new. OTP_INTERN_NONE: out of memory. */
static uint32_t lock_of(struct locks *locks, const struct otp_otlp_reader *reader, size_t profile, size_t sample) {
    const char *name = place_attribute(reader, profile, sample, "otelprof.lock.name");
    const char *kind = place_attribute(reader, profile, sample, "otelprof.lock.kind");
    const char *address = place_attribute(reader, profile, sample, "otelprof.lock.address");
    uint32_t number = intern_parts(locks->lock_keys, 0, name, kind, "");
    if (number == OTP_INTERN_NONE ||
        !tool_reserve((void **)&locks->locks, &locks->lock_room, number, sizeof(locks->locks[0])))
        return OTP_INTERN_NONE;
    struct lock *lock = &locks->locks[number];
    if (!lock->name) {
        lock->name = keep(locks, name);
        lock->kind = keep(locks, kind);
    }
    uint32_t before = otp_intern_count(locks->address_keys);
    if (*address)
        intern_parts(locks->address_keys, number, address, "", "");
    lock->addresses += otp_intern_count(locks->address_keys) - before;
    return lock->name && lock->kind ? number : OTP_INTERN_NONE;
}

static struct party *party_of(struct locks *locks, const struct otp_otlp_reader *reader, size_t profile, size_t sample,
                              uint32_t lock, enum side side) {
    char function[PLACE_BYTES], place[PLACE_BYTES];
    const char *value = place_attribute(reader, profile, sample, locks->options->by);
    place_innermost(reader, profile, sample, function, place);
    uint32_t number = intern_parts(locks->party_keys, lock * SIDES + side, function, place, value);
    if (number == OTP_INTERN_NONE ||
        !tool_reserve((void **)&locks->parties, &locks->party_room, number, sizeof(locks->parties[0])))
        return NULL;
    struct party *party = &locks->parties[number];
    if (!party->function)
        *party = (struct party){lock, side, keep(locks, function), keep(locks, place), keep(locks, value), {0, 0}};
    return party->function && party->place && party->value ? party : NULL;
}

static bool add_profile(struct locks *locks, const struct otp_otlp_reader *reader, size_t number, enum side side,
                        bool delay) {
    struct otp_otlp_profile profile;
    otp_otlp_profile(reader, number, &profile);
    for (size_t i = 0; i < profile.sample_count; i++) {
        struct otp_otlp_sample sample;
        if (!otp_otlp_sample(reader, number, i, &sample))
            break;
        uint32_t lock = lock_of(locks, reader, number, i);
        struct party *party = lock == OTP_INTERN_NONE ? NULL : party_of(locks, reader, number, i, lock, side);
        if (!party)
            return false;
        double value = sample.value > 0 ? (double)sample.value : 0;
        *(delay ? &party->sums.delay_ns : &party->sums.contentions) += value;
        struct sums *sums = &locks->locks[lock].sums[side];
        *(delay ? &sums->delay_ns : &sums->contentions) += value;
    }
    return true;
}

static bool add(void *user, const struct otp_otlp_reader *reader) {
    static const struct {
        const char *name;
        enum side side;
        bool delay;
    } types[] = {{"block", WAITED, true},
                 {"block_contentions", WAITED, false},
                 {"mutex", HELD, true},
                 {"mutex_contentions", HELD, false}};
    size_t count = otp_otlp_profile_count(reader);
    for (size_t i = 0; i < count; i++) {
        struct otp_otlp_profile profile;
        struct sample_type type;
        if (!otp_otlp_profile(reader, i, &profile))
            continue;
        sample_type_of(&profile, &type);
        for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++)
            if (strcmp(type.name, types[j].name) == 0 && !add_profile(user, reader, i, types[j].side, types[j].delay))
                return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- printing */

static bool is_lock(const struct lock *lock) {
    return strcmp(lock->kind, "mutex") == 0 || strcmp(lock->kind, "rwlock") == 0 || strcmp(lock->kind, "spinlock") == 0;
}

static const struct locks *sorted; /* qsort() has no argument for it */

/* Locks before what is waited for as work, and the longest delay first. */
static int by_delay(const void *a, const void *b) {
    const struct lock *one = &sorted->locks[*(const uint32_t *)a], *other = &sorted->locks[*(const uint32_t *)b];
    if (is_lock(one) != is_lock(other))
        return is_lock(one) ? -1 : 1;
    if (one->sums[WAITED].delay_ns != other->sums[WAITED].delay_ns)
        return one->sums[WAITED].delay_ns > other->sums[WAITED].delay_ns ? -1 : 1;
    return strcmp(one->name, other->name);
}

static int by_lock_and_delay(const void *a, const void *b) {
    const struct party *one = a, *other = b;
    if (one->lock != other->lock || one->side != other->side)
        return one->lock * SIDES + one->side < other->lock * SIDES + other->side ? -1 : 1;
    if (one->sums.delay_ns != other->sums.delay_ns)
        return one->sums.delay_ns > other->sums.delay_ns ? -1 : 1;
    return strcmp(one->function, other->function);
}

static const char *duration(char out[TEXT_SIZE], double ns) {
    return text_duration(out, ns < 1e18 ? (uint64_t)(ns + 0.5) : UINT64_MAX);
}

static double mean_of(const struct sums *sums) {
    return sums->contentions > 0 ? sums->delay_ns / sums->contentions : 0;
}

/* The parties of a lock's side, which lie together: the first and how many. */
static const struct party *parties_of(const struct locks *locks, uint32_t lock, enum side side, uint32_t *count) {
    uint32_t all = otp_intern_count(locks->party_keys), first = 0;
    while (first < all && (locks->parties[first].lock != lock || locks->parties[first].side != side))
        first++;
    *count = 0;
    while (first + *count < all && locks->parties[first + *count].lock == lock &&
           locks->parties[first + *count].side == side)
        ++*count;
    return &locks->parties[first];
}

static void print_side(const struct locks *locks, uint32_t lock, enum side side) {
    char text[TEXT_SIZE];
    uint32_t count;
    const struct party *parties = parties_of(locks, lock, side, &count);
    double whole = locks->locks[lock].sums[side].delay_ns;
    size_t left = 40, width = locks->options->width > left + 40 ? locks->options->width - left : 40;
    for (uint32_t i = 0; i < count && i < PARTIES_SHOWN; i++) {
        printf("    %-8s %10s", i ? "" : side == WAITED ? "waited" : "held", duration(text, parties[i].sums.delay_ns));
        printf(" %8s    ", text_share(text, (uint64_t)parties[i].sums.delay_ns, (uint64_t)whole));
        text_column(*parties[i].value ? parties[i].value : "(none)", 20);
        printf("  ");
        text_column(parties[i].function, width / 2);
        printf(" ");
        text_cut(parties[i].place, width / 2 > 24 ? width / 2 - 22 : 8);
        putchar('\n');
    }
    if (count > PARTIES_SHOWN)
        printf("%26s(and %" PRIu32 " more)\n", "", count - PARTIES_SHOWN);
}

static void print_lock(const struct locks *locks, uint32_t number) {
    const struct lock *lock = &locks->locks[number];
    char text[TEXT_SIZE];
    printf("\n%-10s ", lock->kind);
    text_cut(*lock->name ? lock->name : "(no name)", 60);
    if (lock->addresses > 1)
        printf(" (%" PRIu32 " of them)", lock->addresses);
    printf(": %.0f waits,", lock->sums[WAITED].contentions);
    printf(" %s in all,", duration(text, lock->sums[WAITED].delay_ns));
    printf(" %s in the mean", duration(text, mean_of(&lock->sums[WAITED])));
    if (is_lock(lock)) { /* two estimates: chance may make it more than all */
        double known = fmin(lock->sums[HELD].delay_ns, lock->sums[WAITED].delay_ns);
        printf("; holder known for %s", text_share(text, (uint64_t)known, (uint64_t)lock->sums[WAITED].delay_ns));
    }
    putchar('\n');
    print_side(locks, number, WAITED);
    print_side(locks, number, HELD);
}

static void print_text(const struct locks *locks, const uint32_t *order, uint32_t count) {
    printf("Waits by lock, and by function and %s of who waited and of who held the lock last\n", locks->options->by);
    for (uint32_t i = 0; i < count && i < locks->options->rows; i++)
        print_lock(locks, order[i]);
    if (count > locks->options->rows)
        printf("\n(and %zu more)\n", count - locks->options->rows);
}

static void print_json_side(const struct locks *locks, uint32_t lock, enum side side, const char *name) {
    uint32_t count;
    const struct party *parties = parties_of(locks, lock, side, &count);
    printf(",\n \"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        printf("%s\n  {\"contentions\":%.0f,\"delay_ns\":%.0f,\"function\":", i ? "," : "", parties[i].sums.contentions,
               parties[i].sums.delay_ns);
        text_json(parties[i].function);
        fputs(",\"place\":", stdout);
        text_json(parties[i].place);
        fputs(",\"value\":", stdout);
        text_json(parties[i].value);
        putchar('}');
    }
    putchar(']');
}

static void print_json(const struct locks *locks, const uint32_t *order, uint32_t count) {
    fputs("{\"by\":", stdout);
    text_json(locks->options->by);
    fputs(",\n\"locks\":[", stdout);
    for (uint32_t i = 0; i < count; i++) {
        const struct lock *lock = &locks->locks[order[i]];
        fputs(i ? ",\n{\"name\":" : "\n{\"name\":", stdout);
        text_json(lock->name);
        fputs(",\"kind\":", stdout);
        text_json(lock->kind);
        printf(",\"addresses\":%" PRIu32 ",\"contentions\":%.0f,\"delay_ns\":%.0f,\"held_delay_ns\":%.0f",
               lock->addresses, lock->sums[WAITED].contentions, lock->sums[WAITED].delay_ns, lock->sums[HELD].delay_ns);
        print_json_side(locks, order[i], WAITED, "waited");
        print_json_side(locks, order[i], HELD, "held");
        putchar('}');
    }
    fputs("]}\n", stdout);
}

static int print(struct locks *locks) {
    uint32_t count = otp_intern_count(locks->lock_keys);
    uint32_t *order = calloc(count + 1, sizeof(*order));
    if (!order) {
        tool_complain("out of memory");
        return TOOL_FAILED;
    }
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    sorted = locks;
    qsort(order, count, sizeof(*order), by_delay);
    if (locks->parties)
        qsort(locks->parties, otp_intern_count(locks->party_keys), sizeof(locks->parties[0]), by_lock_and_delay);
    if (!count)
        tool_complain("no wait in %zu file%s (profiles block and mutex)", locks->files, locks->files == 1 ? "" : "s");
    else
        (locks->options->json ? print_json : print_text)(locks, order, count);
    free(order);
    return count ? TOOL_OK : TOOL_FAILED;
}

/* ------------------------------------------------------------------------------------------------------ */

int locks_report(char **paths, int count, const struct locks_options *options) {
    struct locks_options complete = *options;
    if (!complete.by)
        complete.by = "http.route";
    struct locks locks = {.options = &complete, .arena = otp_arena_new(0)};
    struct tool_inputs inputs;
    int code = TOOL_FAILED;
    if (locks.arena) {
        locks.lock_keys = otp_intern_new(locks.arena);
        locks.party_keys = otp_intern_new(locks.arena);
        locks.address_keys = otp_intern_new(locks.arena);
    }
    bool good = tool_inputs_list(paths, count, &inputs);
    if (!locks.lock_keys || !locks.party_keys || !locks.address_keys) {
        tool_complain("out of memory");
    } else {
        good = tool_requests_read(&inputs, add, &locks, &locks.files) && good;
        if (locks.files)
            code = print(&locks);
    }
    tool_inputs_free(&inputs);
    free(locks.locks);
    free(locks.parties);
    otp_arena_free(locks.arena);
    return good ? code : TOOL_FAILED;
}

// SPDX-License-Identifier: Apache-2.0
#include "core/lock_pairs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define WAITS_MAX 1024u
#define RELEASES_MAX 1024u
#define RELEASE_BYTES_MAX ((size_t)2 << 20) /* of records */

/* Both in order of coming, in rings. */
struct wait {
    struct otp_lock_credit credit; /* release 0: it has found its partner */
    uint64_t time_ns;
};

struct release {
    uint64_t number, time_ns;
    void *record;
    size_t size;
};

struct otp_lock_pairs {
    struct wait waits[WAITS_MAX];
    struct release releases[RELEASES_MAX];
    uint32_t first_wait, waits_count, first_release, releases_count;
    size_t bytes;
    uint64_t crowded_out;
};

struct otp_lock_pairs *otp_lock_pairs_new(void) {
    return otp_sys.calloc(1, sizeof(struct otp_lock_pairs));
}

static void drop_release(struct otp_lock_pairs *pairs) {
    struct release *release = &pairs->releases[pairs->first_release % RELEASES_MAX];
    pairs->bytes -= release->size;
    free(release->record);
    pairs->first_release++;
    pairs->releases_count--;
}

/* True if the wait was still without its partner. */
static bool drop_wait(struct otp_lock_pairs *pairs) {
    bool open = pairs->waits[pairs->first_wait % WAITS_MAX].credit.release != 0;
    pairs->first_wait++;
    pairs->waits_count--;
    return open;
}

void otp_lock_pairs_free(struct otp_lock_pairs *pairs) {
    if (!pairs)
        return;
    while (pairs->releases_count)
        drop_release(pairs);
    free(pairs);
}

void otp_lock_pairs_wait(struct otp_lock_pairs *pairs, const struct otp_lock_credit *credit, uint64_t now_ns,
                         otp_lock_pair_fn paired, void *user) {
    for (uint32_t i = pairs->releases_count; i-- > 0;) {
        const struct release *release = &pairs->releases[(pairs->first_release + i) % RELEASES_MAX];
        if (release->number == credit->release) {
            paired(user, release->record, release->size, credit);
            return;
        }
    }
    if (pairs->waits_count == WAITS_MAX)
        pairs->crowded_out += drop_wait(pairs);
    pairs->waits[(pairs->first_wait + pairs->waits_count++) % WAITS_MAX] = (struct wait){*credit, now_ns};
}

static void keep_release(struct otp_lock_pairs *pairs, uint64_t number, const void *record, size_t size,
                         uint64_t now_ns) {
    while (pairs->releases_count && (pairs->releases_count == RELEASES_MAX || pairs->bytes + size > RELEASE_BYTES_MAX))
        drop_release(pairs);
    void *copy = otp_sys.malloc(size);
    if (!copy)
        return;
    memcpy(copy, record, size);
    pairs->releases[(pairs->first_release + pairs->releases_count++) % RELEASES_MAX] =
        (struct release){number, now_ns, copy, size};
    pairs->bytes += size;
}

void otp_lock_pairs_release(struct otp_lock_pairs *pairs, uint64_t release, const void *record, size_t size,
                            uint64_t now_ns, otp_lock_pair_fn paired, void *user) {
    for (uint32_t i = 0; i < pairs->waits_count; i++) {
        struct wait *wait = &pairs->waits[(pairs->first_wait + i) % WAITS_MAX];
        if (wait->credit.release != release)
            continue;
        paired(user, record, size, &wait->credit);
        wait->credit.release = 0;
    }
    keep_release(pairs, release, record, size, now_ns);
}

uint64_t otp_lock_pairs_give_up(struct otp_lock_pairs *pairs, uint64_t before_ns) {
    uint64_t open = 0;
    while (pairs->waits_count && pairs->waits[pairs->first_wait % WAITS_MAX].time_ns < before_ns)
        open += drop_wait(pairs);
    while (pairs->releases_count && pairs->releases[pairs->first_release % RELEASES_MAX].time_ns < before_ns)
        drop_release(pairs);
    return open;
}

uint64_t otp_lock_pairs_crowded_out(const struct otp_lock_pairs *pairs) { return pairs->crowded_out; }

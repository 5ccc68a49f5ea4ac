// SPDX-License-Identifier: Apache-2.0
/*
 * Full names of threads: the kernel keeps 15 bytes only. A fixed table by thread id; an ended thread's name stays until
 * its place is needed, because its last samples are read later than it ends.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "context/fit.h"
#include "context/thread.h"

#define NAME_MAX_BYTES 63
#define KERNEL_NAME_MAX 15
#define PLACES 2048 /* power of two; touched only where used */
#define PROBES 32
#define WORDS 8

/* State of a place: low half the thread id (0: never used), then how often it changed, then two bits. */
#define WRITING (1ull << 63) /* the name is being changed */
#define ENDED (1ull << 62)
#define CHANGE (1ull << 32)
#define COUNT_MASK (ENDED - 1)

/* The words are stored after WRITING and before the new state; a reader takes the name only if the state is the same
 * before and after. Atomic words instead of fences: ThreadSanitizer understands them. */
struct place {
    _Atomic uint64_t state;
    _Atomic uint64_t name[WORDS];
};
static struct place places[PLACES];

static _Thread_local struct place *own __attribute__((tls_model("initial-exec")));

static struct place *place_at(uint32_t tid, uint32_t probe) { return &places[(otp_index_hash(tid) + probe) % PLACES]; }

/* Makes `place` the calling thread's, in the state of being written. False if another thread was quicker. */
static bool take(struct place *place, uint64_t state, uint32_t tid) {
    uint64_t count = (state & COUNT_MASK) & ~(uint64_t)UINT32_MAX;
    uint64_t writing = WRITING | (((count + CHANGE) & COUNT_MASK) & ~(uint64_t)UINT32_MAX) | tid;
    return atomic_compare_exchange_strong(&place->state, &state, writing);
}

/* A place for a name: the thread's own, else an unused one, else one of a thread that has ended. */
static struct place *claim(uint32_t tid) {
    uint64_t mine = own ? atomic_load(&own->state) : 0;
    if ((uint32_t)mine == tid && take(own, mine, tid)) /* in a child it is the parent's thread's */
        return own;
    for (int ended = 0; ended < 2; ended++) {
        for (uint32_t probe = 0; probe < PROBES; probe++) {
            struct place *place = place_at(tid, probe);
            uint64_t state = atomic_load(&place->state);
            bool usable = (uint32_t)state == 0 || (uint32_t)state == tid || (ended && (state & ENDED));
            if (usable && !(state & WRITING) && take(place, state, tid))
                return place;
        }
    }
    return NULL;
}

static int remember(const char name[WORDS * 8]) {
    own = claim((uint32_t)gettid());
    if (!own)
        return OTELPROF_E_LIMIT;
    for (int i = 0; i < WORDS; i++) {
        uint64_t word;
        memcpy(&word, name + 8 * i, sizeof(word));
        atomic_store_explicit(&own->name[i], word, memory_order_release);
    }
    atomic_fetch_and_explicit(&own->state, ~WRITING, memory_order_release);
    otp_thread_watch_end();
    return 0;
}

void otp_thread_name_end(void) {
    if (own)
        atomic_fetch_or_explicit(&own->state, ENDED, memory_order_release);
    own = NULL;
}

int otelprof_thread_name(const char *name) {
    if (!name || !*name)
        return otp_error_constant(OTELPROF_E_INVALID, "otelprof_thread_name: NULL or empty");
    int saved = errno;
    char full[WORDS * 8] = {0};
    char shorter[KERNEL_NAME_MAX + 1] = {0};
    bool cut;
    size_t length = otp_fit(full, NAME_MAX_BYTES, name, strnlen(name, NAME_MAX_BYTES + 4), &cut);
    otp_fit(shorter, KERNEL_NAME_MAX, full, length, &cut);
    int result = remember(full);
    prctl(PR_SET_NAME, shorter);
    errno = saved;
    if (result)
        return otp_error_constant(result,
                                  "otelprof_thread_name: too many threads; only the kernel's 15 bytes are kept");
    return 0;
}

/* Copies the name at `place` if it belongs to `tid` all the while. */
static bool copy_name(struct place *place, uint32_t tid, char name[WORDS * 8]) {
    uint64_t state = atomic_load_explicit(&place->state, memory_order_acquire);
    if ((uint32_t)state != tid || (state & WRITING))
        return false;
    for (int i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&place->name[i], memory_order_acquire);
        memcpy(name + 8 * i, &word, sizeof(word));
    }
    uint64_t after = atomic_load_explicit(&place->state, memory_order_relaxed);
    return (after & ~ENDED) == (state & ~ENDED);
}

size_t otp_context_thread_name(uint32_t tid, const char *kernel_name, char *buffer, size_t size) {
    for (uint32_t probe = 0; probe < PROBES && tid && size; probe++) {
        char full[WORDS * 8];
        char shorter[KERNEL_NAME_MAX + 1] = {0};
        bool cut;
        if (!copy_name(place_at(tid, probe), tid, full))
            continue;
        size_t length = strnlen(full, NAME_MAX_BYTES);
        otp_fit(shorter, KERNEL_NAME_MAX, full, length, &cut);
        if (strncmp(shorter, kernel_name, KERNEL_NAME_MAX) != 0 || length >= size)
            continue;
        memcpy(buffer, full, length);
        buffer[length] = '\0';
        return length;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "core/futex_lock.h"

#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#define FRAMES_LOOKED_AT 12 /* user frames from the leaf on: the library's own, and a hook's */
#define OWNER_MASK 0x3fffffffu
#define THREAD_ID_MAX 4194304u /* PID_MAX_LIMIT of the kernel */

static struct function {
    const char *name;
    enum otp_lock_kind kind;
    uint64_t start, end;
} functions[] = {
    {"pthread_mutex_lock", OTP_LOCK_MUTEX, 0, 0},         {"pthread_mutex_timedlock", OTP_LOCK_MUTEX, 0, 0},
    {"pthread_mutex_clocklock", OTP_LOCK_MUTEX, 0, 0},    {"pthread_rwlock_rdlock", OTP_LOCK_READ, 0, 0},
    {"pthread_rwlock_timedrdlock", OTP_LOCK_READ, 0, 0},  {"pthread_rwlock_clockrdlock", OTP_LOCK_READ, 0, 0},
    {"pthread_rwlock_wrlock", OTP_LOCK_WRITE, 0, 0},      {"pthread_rwlock_timedwrlock", OTP_LOCK_WRITE, 0, 0},
    {"pthread_rwlock_clockwrlock", OTP_LOCK_WRITE, 0, 0},
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static void find_functions(void) {
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        Dl_info info;
        const ElfW(Sym) *symbol = NULL;
        void *address = libc ? dlsym(libc, functions[i].name) : NULL;
        if (!address || !dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
            continue;
        functions[i].start = (uint64_t)(uintptr_t)address;
        functions[i].end = functions[i].start + symbol->st_size;
    }
    if (libc)
        dlclose(libc);
}

void otp_futex_lock_find_functions(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_functions);
}

static enum otp_lock_kind kind_of(const struct otp_frame_ref *frames, uint32_t count) {
    uint32_t looked_at = 0;
    for (uint32_t i = 0; i < count && looked_at < FRAMES_LOOKED_AT; i++) {
        if (frames[i].kind == OTP_FRAME_KERNEL)
            continue;
        looked_at++;
        for (size_t j = 0; j < FUNCTIONS; j++) {
            if (frames[i].address >= functions[j].start && frames[i].address < functions[j].end)
                return functions[j].kind;
        }
    }
    return 0;
}

static uint32_t plausible(uint32_t owner) { return owner <= THREAD_ID_MAX ? owner : 0; }

/* pthread_mutex_t of glibc: the futex is its first word, the owner its third (struct __pthread_mutex_s). */
static void read_mutex(const struct otp_thread_state *state, struct otp_futex_lock *lock) {
    lock->address = state->argument[0];
    if (state->lock_words[0])
        lock->owner = plausible(state->lock_words[2]);
}

/*
 * pthread_rwlock_t of glibc (struct __pthread_rwlock_arch_t): __readers, __writers, __wrphase_futex, __writers_futex,
 * two words that are always 0, __cur_writer. Threads wait at the third and at the fourth word: which of the two it is
 * shows by where the zeros and the writer are.
 */
static void read_rwlock(const struct otp_thread_state *state, struct otp_futex_lock *lock) {
    const uint32_t *words = state->lock_words;
    if (!words[1] && !words[2] && words[3]) {
        lock->address = state->argument[0] - 12;
        lock->owner = plausible(words[3]);
    } else if (!words[2] && !words[3] && words[4]) {
        lock->address = state->argument[0] - 8;
        lock->owner = plausible(words[4]);
    }
}

/* Priority inheritance: the futex holds the owner's id itself (futex(2)). */
static bool is_pi(const struct otp_thread_state *state) {
    uint32_t operation = (uint32_t)state->argument[1] & FUTEX_CMD_MASK;
    return operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2;
}

struct otp_futex_lock otp_futex_lock_read(const struct otp_thread_state *state, enum otp_lock_kind kind) {
    struct otp_futex_lock lock = {.kind = (uint8_t)kind, .timed = state->argument[2] != 0};
    if (!state->lock_words_valid)
        return lock;
    if (is_pi(state)) {
        lock.address = state->argument[0];
        lock.owner = plausible(state->lock_words[0] & OWNER_MASK);
    } else if (kind == OTP_LOCK_MUTEX) {
        read_mutex(state, &lock);
    } else {
        read_rwlock(state, &lock);
    }
    return lock;
}

struct otp_futex_lock otp_futex_lock_of(const struct otp_thread_state *state, const struct otp_frame_ref *frames,
                                        uint32_t frame_count) {
    if (state->syscall != SYS_futex)
        return (struct otp_futex_lock){.kind = 0};
    enum otp_lock_kind kind = is_pi(state) ? OTP_LOCK_MUTEX : kind_of(frames, frame_count);
    return kind ? otp_futex_lock_read(state, kind) : (struct otp_futex_lock){.kind = 0};
}

// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_ring.h"

#include <stdatomic.h>

#include "hooks/hook_memory.h"

#define SMALL_COUNT 4096u /* touched only where that many are in use at once */
#define LARGE_COUNT 64u
#define BUFFERS (SMALL_COUNT + LARGE_COUNT)

struct buffer {
    uint32_t size; /* of the record */
    uint32_t number;
    uint64_t bytes[];
};

/*
 * A list of buffers: the low half of the head is a buffer's number + 1, 0 for an empty list, or for buffers that nobody
 * has had yet. The high half changes with each push and pop, so that a slow pop does not succeed on a list that changed
 * and changed back.
 */
struct list {
    _Alignas(64) _Atomic uint64_t head;
};

struct ring {
    struct list free[OTP_HOOK_SIZES];
    struct list ready;
    _Alignas(64) _Atomic uint32_t used[OTP_HOOK_SIZES]; /* buffers that were had at least once */
    _Atomic uint32_t next[BUFFERS];                     /* in a list: number + 1 */
    uint32_t made;                                      /* 0 in a child */
};

static struct ring *ring;
static char *buffers;

static const uint32_t first[OTP_HOOK_SIZES] = {0, SMALL_COUNT}, count[OTP_HOOK_SIZES] = {SMALL_COUNT, LARGE_COUNT};

int otp_hook_ring_make(void) {
    void *memory;
    if (ring && ring->made)
        return 0;
    size_t head = (sizeof(struct ring) + 4095) & ~(size_t)4095;
    int result = otp_hook_memory_new(head + SMALL_COUNT * OTP_HOOK_SMALL_BYTES + LARGE_COUNT * OTP_HOOK_LARGE_BYTES,
                                     "the records of hooks", &memory);
    if (result)
        return result;
    ring = memory;
    buffers = (char *)memory + head;
    ring->made = 1;
    return 0;
}

static struct buffer *buffer_at(uint32_t number) {
    size_t offset = number < SMALL_COUNT ? (size_t)number * OTP_HOOK_SMALL_BYTES
                                         : (size_t)SMALL_COUNT * OTP_HOOK_SMALL_BYTES +
                                               (size_t)(number - SMALL_COUNT) * OTP_HOOK_LARGE_BYTES;
    return (struct buffer *)(void *)(buffers + offset);
}

static struct buffer *of_bytes(void *bytes) {
    return (struct buffer *)(void *)((char *)bytes - offsetof(struct buffer, bytes));
}

static void push(struct list *list, uint32_t number) {
    uint64_t head = atomic_load_explicit(&list->head, memory_order_relaxed), after;
    do {
        atomic_store_explicit(&ring->next[number], (uint32_t)head, memory_order_relaxed);
        after = ((head >> 32) + 1) << 32 | (number + 1);
    } while (
        !atomic_compare_exchange_weak_explicit(&list->head, &head, after, memory_order_release, memory_order_relaxed));
}

/* The first number + 1, or 0. */
static uint32_t pop(struct list *list) {
    uint64_t head = atomic_load_explicit(&list->head, memory_order_acquire), after;
    do {
        if (!(uint32_t)head)
            return 0;
        uint32_t next = atomic_load_explicit(&ring->next[(uint32_t)head - 1], memory_order_relaxed);
        after = ((head >> 32) + 1) << 32 | next;
    } while (
        !atomic_compare_exchange_weak_explicit(&list->head, &head, after, memory_order_acquire, memory_order_acquire));
    return (uint32_t)head;
}

/* A buffer that nobody has had yet: its number + 1, or 0. */
static uint32_t fresh(enum otp_hook_size size) {
    uint32_t used = atomic_load_explicit(&ring->used[size], memory_order_relaxed);
    do {
        if (used >= count[size])
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&ring->used[size], &used, used + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return first[size] + used + 1;
}

void *otp_hook_ring_take(enum otp_hook_size size) {
    if (!ring || !ring->made)
        return NULL;
    uint32_t number = pop(&ring->free[size]);
    if (!number)
        number = fresh(size);
    if (!number)
        return NULL;
    struct buffer *buffer = buffer_at(number - 1);
    buffer->number = number - 1;
    return buffer->bytes;
}

uint32_t otp_hook_ring_place(const void *bytes) {
    uint32_t number =
        ((const struct buffer *)(const void *)((const char *)bytes - offsetof(struct buffer, bytes)))->number;
    return number < SMALL_COUNT ? UINT32_MAX : number - SMALL_COUNT;
}

size_t otp_hook_ring_room(enum otp_hook_size size) {
    return (size == OTP_HOOK_SMALL ? OTP_HOOK_SMALL_BYTES : OTP_HOOK_LARGE_BYTES) - sizeof(struct buffer);
}

void otp_hook_ring_drop(void *bytes) {
    uint32_t number = of_bytes(bytes)->number;
    push(&ring->free[number < SMALL_COUNT ? OTP_HOOK_SMALL : OTP_HOOK_LARGE], number);
}

void otp_hook_ring_put(void *bytes, size_t size) {
    struct buffer *buffer = of_bytes(bytes);
    buffer->size = (uint32_t)size;
    push(&ring->ready, buffer->number);
}

/* Takes the whole list, the last first, and turns it round. Returns its first number + 1. */
static uint32_t take_ready(void) {
    uint64_t head = atomic_load_explicit(&ring->ready.head, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&ring->ready.head, &head, ((head >> 32) + 1) << 32,
                                                  memory_order_acquire, memory_order_relaxed))
        ;
    uint32_t turned = 0;
    for (uint32_t at = (uint32_t)head; at;) {
        uint32_t next = atomic_load_explicit(&ring->next[at - 1], memory_order_relaxed);
        atomic_store_explicit(&ring->next[at - 1], turned, memory_order_relaxed);
        turned = at;
        at = next;
    }
    return turned;
}

size_t otp_hook_ring_drain(otp_hook_record_fn receiver, void *user) {
    size_t records = 0;
    if (!ring || !ring->made)
        return 0;
    for (uint32_t at = take_ready(); at; records++) {
        struct buffer *buffer = buffer_at(at - 1);
        uint32_t next = atomic_load_explicit(&ring->next[at - 1], memory_order_relaxed);
        receiver(user, buffer->bytes, buffer->size);
        otp_hook_ring_drop(buffer->bytes);
        at = next;
    }
    return records;
}

// SPDX-License-Identifier: Apache-2.0
#include "capture/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"

/* Bits of a record's length word, include/uapi/linux/bpf.h. */
#define BUSY (1u << 31)
#define DISCARDED (1u << 30)
#define HEADER 8

struct otp_ring {
    _Atomic uint64_t *consumer; /* page that we write */
    _Atomic uint64_t *producer; /* page that the kernel writes, followed by the data, twice */
    const uint8_t *data;
    size_t size;
    size_t page;
};

static void *map(int fd, size_t size, int protection, off_t offset) {
    void *address = otp_sys.mmap(NULL, size, protection, MAP_SHARED, fd, offset);
    if (address == MAP_FAILED)
        return NULL;
    if (otp_sys.madvise(address, size, MADV_DONTFORK)) {
        int number = errno;
        munmap(address, size);
        errno = number;
        return NULL;
    }
    return address;
}

struct otp_ring *otp_ring_open(int fd, size_t size) {
    struct otp_ring *ring = otp_sys.calloc(1, sizeof(*ring));
    if (!ring)
        return NULL;
    ring->size = size;
    ring->page = (size_t)sysconf(_SC_PAGESIZE);
    ring->consumer = map(fd, ring->page, PROT_READ | PROT_WRITE, 0);
    ring->producer = ring->consumer ? map(fd, ring->page + 2 * size, PROT_READ, (off_t)ring->page) : NULL;
    if (!ring->producer) {
        int number = errno;
        otp_ring_close(ring);
        errno = number;
        return NULL;
    }
    ring->data = (const uint8_t *)ring->producer + ring->page;
    return ring;
}

void otp_ring_close(struct otp_ring *ring) {
    if (!ring)
        return;
    if (ring->producer)
        munmap((void *)ring->producer, ring->page + 2 * ring->size);
    if (ring->consumer)
        munmap((void *)ring->consumer, ring->page);
    free(ring);
}

size_t otp_ring_drain(struct otp_ring *ring, otp_ring_fn receiver, void *user) {
    uint64_t at = atomic_load_explicit(ring->consumer, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(ring->producer, memory_order_acquire);
    size_t count = 0;
    while (at < end) {
        const uint8_t *header = ring->data + (at & (ring->size - 1));
        uint32_t word = atomic_load_explicit((const _Atomic uint32_t *)header, memory_order_acquire);
        if (word & BUSY)
            break;
        uint32_t size = word & ~DISCARDED;
        if (!(word & DISCARDED)) {
            receiver(user, header + HEADER, size);
            count++;
        }
        at += (HEADER + (uint64_t)size + 7) & ~(uint64_t)7;
        atomic_store_explicit(ring->consumer, at, memory_order_release);
    }
    return count;
}

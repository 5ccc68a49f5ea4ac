// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/sys.h"

#define CHUNK ((size_t)64 << 10)

struct chunk {
    struct chunk *next;
    size_t size; /* of the whole chunk */
    size_t used;
};

struct otp_arena {
    struct chunk *chunks; /* the one in use first */
    size_t limit;
    size_t held;
};

struct otp_arena *otp_arena_new(size_t limit) {
    struct otp_arena *arena = otp_sys.calloc(1, sizeof(*arena));
    if (arena)
        arena->limit = limit;
    return arena;
}

void otp_arena_free(struct otp_arena *arena) {
    if (!arena)
        return;
    for (struct chunk *chunk = arena->chunks; chunk;) {
        struct chunk *next = chunk->next;
        otp_pages_free(chunk, chunk->size);
        chunk = next;
    }
    free(arena);
}

static struct chunk *chunk_new(struct otp_arena *arena, size_t size) {
    size_t whole = size + sizeof(struct chunk) > CHUNK ? size + sizeof(struct chunk) : CHUNK;
    if (whole < size || (arena->limit && (whole > arena->limit || arena->held > arena->limit - whole)))
        return NULL;
    struct chunk *chunk = otp_pages_alloc(whole);
    if (!chunk)
        return NULL;
    chunk->size = whole;
    chunk->used = sizeof(*chunk);
    arena->held += whole;
    return chunk;
}

/* A block larger than a chunk goes behind the chunk in use, whose rest would otherwise be lost. */
static void chunk_link(struct otp_arena *arena, struct chunk *chunk) {
    if (arena->chunks && chunk->size > CHUNK) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
}

void *otp_arena_alloc(struct otp_arena *arena, size_t size) {
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    struct chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        chunk = chunk_new(arena, size);
        if (!chunk)
            return NULL;
        chunk_link(arena, chunk);
    }
    void *block = (char *)chunk + chunk->used;
    chunk->used += size;
    return block;
}

void otp_arena_release(struct otp_arena *arena, const void *block, size_t size) {
    /* A small block shares its chunk. */
    if (!block || ((size + 7) & ~(size_t)7) + sizeof(struct chunk) <= CHUNK)
        return;
    for (struct chunk **link = &arena->chunks; *link; link = &(*link)->next) {
        struct chunk *chunk = *link;
        if (block == chunk + 1) {
            *link = chunk->next;
            arena->held -= chunk->size;
            otp_pages_free(chunk, chunk->size);
            return;
        }
    }
}

void *otp_arena_grow(struct otp_arena *arena, void *block, size_t old_size, size_t new_size) {
    void *larger = otp_arena_alloc(arena, new_size);
    if (!larger || !old_size)
        return larger;
    memcpy(larger, block, old_size);
    otp_arena_release(arena, block, old_size);
    return larger; /* NOLINT(clang-analyzer-unix.Malloc): the other block */
}

char *otp_arena_copy(struct otp_arena *arena, const void *bytes, size_t size) {
    char *copy = otp_arena_alloc(arena, size + 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

size_t otp_arena_size(const struct otp_arena *arena) { return arena->held; }

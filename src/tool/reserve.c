// SPDX-License-Identifier: Apache-2.0
#include "tool/reserve.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 64

bool tool_reserve(void **array, size_t *room, uint32_t number, size_t size) {
    if (number < *room)
        return true;
    size_t larger = *room ? *room * 2 : ROOM_FIRST;
    char *grown = realloc(*array, larger * size);
    if (!grown)
        return false;
    memset(grown + *room * size, 0, (larger - *room) * size);
    *array = grown;
    *room = larger;
    return true;
}

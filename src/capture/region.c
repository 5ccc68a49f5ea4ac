// SPDX-License-Identifier: Apache-2.0
#include "capture/region.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"

size_t otp_region_array_size(size_t count, size_t value_size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (count * ((value_size + 7) & ~(size_t)7) + page - 1) & ~(page - 1);
}

int otp_region_map(struct otp_region *region, int fd, size_t size) {
    void *place = region->address && size <= region->size ? region->address : NULL;
    void *address = otp_sys.mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | (place ? MAP_FIXED : 0), fd, 0);
    if (address == MAP_FAILED)
        return -errno;
    if (otp_sys.madvise(address, size, MADV_DONTFORK)) {
        int number = errno;
        if (place)
            otp_region_park(region);
        else
            munmap(address, size);
        return -number;
    }
    if (!place) {
        /* A smaller region that is outgrown stays where it is: a thread may still write there. */
        region->address = address;
        region->size = size;
    }
    return 0;
}

void otp_region_park(struct otp_region *region) {
    if (!region->address)
        return;
    /* On failure the old pages stay, which is harmless too: the map lives on until the process ends. */
    void *address = mmap(region->address, region->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (address != MAP_FAILED)
        madvise(address, region->size, MADV_DONTFORK);
}

void otp_region_release(struct otp_region *region) {
    if (region->address)
        munmap(region->address, region->size);
    region->address = NULL;
}

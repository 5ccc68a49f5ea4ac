// SPDX-License-Identifier: Apache-2.0
/*
 * A map of the kernel in our memory, at an address that stays ours for good: threads of the host write span context
 * there without a lock, so it can never be unmapped under them. At shutdown its pages are replaced by private ones,
 * where a late write harms nobody; a later start maps the new map at the same place. Never inherited by children.
 */
#ifndef OTP_CAPTURE_REGION_H
#define OTP_CAPTURE_REGION_H

#include <stddef.h>

struct otp_region {
    void *address; /* NULL: nothing mapped yet */
    size_t size;   /* bytes reserved at `address` */
};

/* Maps `size` bytes of the map `fd`. 0, or a negative errno; the region is then as before. */
int otp_region_map(struct otp_region *region, int fd, size_t size);

/* Puts private memory in the place of the map. */
void otp_region_park(struct otp_region *region);

/* Unmaps a region that no other thread uses. */
void otp_region_release(struct otp_region *region);

/* Bytes that a mmapable array takes: the kernel rounds each value to 8 bytes, and the whole to pages. */
size_t otp_region_array_size(size_t count, size_t value_size);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "base/pages.h"

#include <sys/mman.h>

#include "base/sys.h"

void *otp_pages_alloc(size_t size) {
    void *pages = otp_sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void otp_pages_free(void *pages, size_t size) {
    if (pages)
        munmap(pages, size);
}

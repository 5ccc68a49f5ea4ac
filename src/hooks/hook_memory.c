// SPDX-License-Identifier: Apache-2.0
#include "hooks/hook_memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/sys.h"

int otp_hook_memory_new(size_t size, const char *what, void **memory) {
    void *pages = otp_sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return otp_error_errno(OTELPROF_E_MEMORY, errno, "mmap of %zu bytes for %s", size, what);
    if (otp_sys.madvise(pages, size, MADV_WIPEONFORK)) {
        int number = errno;
        munmap(pages, size);
        return otp_error_errno(OTELPROF_E_KERNEL, number, "madvise(MADV_WIPEONFORK) on %s", what);
    }
    *memory = pages;
    return 0;
}

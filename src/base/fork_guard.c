// SPDX-License-Identifier: Apache-2.0
#include "base/fork_guard.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

const volatile uint32_t *_Atomic otp_fork_word;

int otp_fork_guard_arm(void) {
    uint32_t *page = (uint32_t *)(uintptr_t)atomic_load(&otp_fork_word);
    if (!page) {
        size_t size = (size_t)sysconf(_SC_PAGESIZE);
        page = otp_sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return otp_error_errno(OTELPROF_E_MEMORY, errno, "mmap of the fork guard's page");
        if (otp_sys.madvise(page, size, MADV_WIPEONFORK)) {
            int number = errno;
            munmap(page, size);
            return otp_error_errno(OTELPROF_E_KERNEL, number, "madvise(MADV_WIPEONFORK)");
        }
    }
    if (!*(volatile uint32_t *)page) /* others may be looking */
        *(volatile uint32_t *)page = 1;
    atomic_store_explicit(&otp_fork_word, page, memory_order_release);
    return 0;
}

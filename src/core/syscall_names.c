// SPDX-License-Identifier: Apache-2.0
#include "core/syscall_names.h"

#include <stddef.h>

static const char *const names[] = {
#include "syscall_table.h"
};

const char *otp_syscall_name(int number) {
    if (number == -1)
        return "";
    return number >= 0 && (size_t)number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;
}

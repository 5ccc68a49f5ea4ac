// SPDX-License-Identifier: Apache-2.0
/*
 * The hooks of dlopen and dlclose: a new object's words are changed on the calling thread once the loader has returned.
 *
 * dlopen() looks at who calls it: a name without a slash is searched in the caller's own search path (DT_RUNPATH), and
 * $ORIGIN is where the caller lies. Where that matters the hook jumps to the real function, which then sees the host's
 * code as its caller, and the new object is seen to at the next opportunity.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "hooks/hook_functions.h"
#include "hooks/hook_table.h"
#include "hooks/object_words.h"
#include "hooks/patch.h"

static bool caller_matters(const char *file, const void *caller) {
    struct link_map *map = NULL;
    Dl_info info;
    if (!file || (strchr(file, '/') && !strchr(file, '$')))
        return false;
    if (strchr(file, '$') || !dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return true;
    return otp_dynamic_has_path(map->l_ld);
}

void *otp_hook_dlopen(const char *file, int flags) {
    if (!otp_patch_follows() || caller_matters(file, __builtin_return_address(0)))
        return OTP_REAL(dlopen)(file, flags);
    void *handle = OTP_REAL(dlopen)(file, flags);
    if (handle) {
        int saved = errno;
        otp_patch_follow();
        errno = saved;
    }
    return handle;
}

int otp_hook_dlclose(void *handle) {
    int result = OTP_REAL(dlclose)(handle);
    if (!result && otp_patch_follows()) {
        int saved = errno;
        otp_patch_follow();
        errno = saved;
    }
    return result;
}

// SPDX-License-Identifier: Apache-2.0
#include "core/network_object.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/error.h"

/* A program without an interpreter was linked statically: dlopen() would bring a second C library into it. */
static bool can_load(void) {
    const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR); // NOLINT(performance-no-int-to-ptr)
    unsigned long count = getauxval(AT_PHNUM);
    for (unsigned long i = 0; header && i < count; i++)
        if (header[i].p_type == PT_INTERP)
            return true;
    return false;
}

/* The directory of the object that holds this code, with a slash; the program's when it is linked into that. */
static bool own_directory(char path[PATH_MAX]) {
    Dl_info info;
    static const char here;
    if (!dladdr(&here, &info) || !info.dli_fname)
        return false;
    /* The name of the program itself is what it was called by; its headers lie at its start. */
    uintptr_t headers = getauxval(AT_PHDR), base = (uintptr_t)info.dli_fbase;
    if (headers >= base && headers - base < 4096) {
        ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
        path[length > 0 ? length : 0] = 0;
    } else if (!realpath(info.dli_fname, path)) {
        return false;
    }
    char *slash = strrchr(path, '/');
    if (slash)
        slash[1] = 0;
    return slash != NULL;
}

static void *open_beside(const char *directory) {
    static const char *const places[] = {"", OTP_NETWORK_FROM_BIN, "network/", "../network/"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int size = snprintf(path, sizeof(path), "%s%s" OTP_NETWORK_OBJECT, directory, places[i]);
        void *object = size < PATH_MAX && !faccessat(AT_FDCWD, path, R_OK, AT_EACCESS)
                           ? dlopen(path, RTLD_NOW | RTLD_LOCAL)
                           : NULL;
        if (object)
            return object;
    }
    return NULL;
}

static void *open_object(void) {
    char directory[PATH_MAX];
    const char *named = secure_getenv("OTELPROF_NETWORK_OBJECT");
    if (named && *named)
        return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    dlerror();
    void *object = own_directory(directory) ? open_beside(directory) : NULL;
    return object ? object : dlopen(OTP_NETWORK_OBJECT, RTLD_NOW | RTLD_LOCAL);
}

int otp_network_object_load(const struct otp_network **network) {
    static const struct otp_network *loaded; /* one start at a time */
    char error[200] = "";
    *network = loaded;
    if (loaded)
        return 0;
    if (!can_load())
        return otp_error(OTELPROF_E_EXPORT, "a program with nothing shared cannot load " OTP_NETWORK_OBJECT
                                            ": set output_dir (OTELPROF_OUTPUT_DIR) or export_bytes");
    void *object = open_object();
    if (!object) {
        const char *reason = dlerror();
        return otp_error(OTELPROF_E_EXPORT, "no network exporter: %s", reason ? reason : OTP_NETWORK_OBJECT);
    }
    otp_network_entry_fn entry;
    *(void **)&entry = dlsym(object, OTP_NETWORK_ENTRY);
    const struct otp_network *found = entry ? entry() : NULL;
    if (!found || strcmp(found->version, OTELPROF_VERSION) != 0)
        return otp_error(OTELPROF_E_EXPORT, OTP_NETWORK_OBJECT " is of version %s, not " OTELPROF_VERSION,
                         found ? found->version : "unknown");
    int result = found->prepare(error, sizeof(error));
    if (result)
        return otp_error(result, "%s", error);
    *network = loaded = found; /* never unloaded: its libraries leave things behind in the process */
    return 0;
}

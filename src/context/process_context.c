// SPDX-License-Identifier: Apache-2.0
/* Publication, update and withdrawal in the order of steps that OTEP 4719 prescribes. */
#include "context/process_context.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "context/attribute_keys.h"
#include "context/process_maps.h"
#include "context/process_payload.h"

#define NAME "OTEL_CTX"
#define VERSION 2

/* Of Linux 6.3 and 5.17; older headers do not have them. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

struct header {
    char signature[8];
    uint32_t version;
    uint32_t payload_size;
    uint64_t published_at_ns; /* CLOCK_BOOTTIME; 0: being changed */
    uint64_t payload;         /* address */
};
_Static_assert(sizeof(struct header) == 32, "header of OTEP 4719");

static struct header *mapping;                 /* NULL: nothing published */
static uint64_t last_time_ns;                  /* of the latest publication */
static struct otp_process_payload current;     /* what readers copy */
static struct otp_process_attribute *resource; /* one block with its strings, for updates */
static size_t resource_count;
static _Atomic bool foreign;

bool otp_process_context_foreign(void) { return atomic_load_explicit(&foreign, memory_order_relaxed); }

static int name_mapping(void) { return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapping, sizeof(*mapping), NAME); }

/* A memory file of the right name and size; -1 if there cannot be one. */
static int open_memory_file(void) {
    int fd = otp_sys.memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0)
        fd = otp_sys.memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before Linux 6.3 */
    if (fd >= 0 && ftruncate(fd, sizeof(struct header))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Maps the header. `named` tells whether it has a name already. */
static struct header *map_header(bool *named) {
    int fd = open_memory_file();
    *named = fd >= 0;
    int flags = fd >= 0 ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS;
    void *memory = otp_sys.mmap(NULL, sizeof(struct header), PROT_READ | PROT_WRITE, flags, fd, 0);
    int number = errno;
    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED) {
        otp_error_errno(OTELPROF_E_SYSTEM, number, "mmap of the process context");
        return NULL;
    }
    if (otp_sys.madvise(memory, sizeof(struct header), MADV_DONTFORK)) {
        otp_error_errno(OTELPROF_E_SYSTEM, errno, "madvise(MADV_DONTFORK) on the process context");
        munmap(memory, sizeof(struct header));
        return NULL;
    }
    return memory;
}

static void store_time(uint64_t time_ns) { __atomic_store_n(&mapping->published_at_ns, time_ns, __ATOMIC_RELAXED); }

static void full_fence(void) {
#ifdef __SANITIZE_THREAD__
    atomic_signal_fence(memory_order_seq_cst); /* it knows no fences; no reader is in this process */
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Steps 2 to 6 of an update, of which a first publication is the special case that the time is 0 already. */
static void show(const struct otp_process_payload *payload) {
    store_time(0);
    full_fence();
    mapping->payload = (uint64_t)(uintptr_t)payload->bytes;
    mapping->payload_size = (uint32_t)payload->size;
    full_fence();
    uint64_t now = otp_clock_ns(CLOCK_BOOTTIME);
    last_time_ns = now > last_time_ns ? now : last_time_ns + 1;
    store_time(last_time_ns);
}

static int publish_first(const struct otp_process_payload *payload) {
    bool named;
    mapping = map_header(&named);
    if (!mapping)
        return OTELPROF_E_SYSTEM;
    memcpy(mapping->signature, NAME, sizeof(mapping->signature));
    mapping->version = VERSION;
    show(payload);
    if (name_mapping() && !named) {
        int number = errno;
        munmap(mapping, sizeof(*mapping));
        mapping = NULL;
        return otp_error_errno(OTELPROF_E_SYSTEM, number, "process context: neither memfd_create nor a named mapping");
    }
    return 0;
}

/* Builds a payload of what is known now, and makes it the published one. */
static int publish(const struct otp_process_attribute *attributes, size_t count) {
    struct otp_process_payload payload;
    int result = otp_process_payload_build(&payload, attributes, count, otp_attribute_keys_count());
    if (result)
        return result;
    if (mapping) {
        show(&payload);
        (void)name_mapping(); /* always: readers outside wait for this very call, whatever it returns */
    } else {
        result = publish_first(&payload);
    }
    if (result) {
        free(payload.bytes);
        return result;
    }
    free(current.bytes);
    current = payload;
    return 0;
}

/* A copy of the attributes and their strings in one block. */
static struct otp_process_attribute *copy_attributes(const struct otp_process_attribute *from, size_t count) {
    size_t size = count * sizeof(*from) + 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(from[i].key) + strlen(from[i].value) + 2;
    struct otp_process_attribute *copy = otp_sys.malloc(size);
    if (!copy)
        return NULL;
    char *text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        size_t key = strlen(from[i].key) + 1;
        size_t value = strlen(from[i].value) + 1;
        memcpy(text, from[i].key, key);
        memcpy(text + key, from[i].value, value);
        copy[i] = (struct otp_process_attribute){text, text + key};
        text += key + value;
    }
    return copy;
}

int otp_process_context_publish(const struct otp_process_attribute *attributes, size_t count) {
    if (!mapping) {
        bool found = otp_process_maps_have_context();
        atomic_store_explicit(&foreign, found, memory_order_relaxed);
        if (found)
            return otp_error(OTELPROF_E_ALREADY, "process context: another library has published one, and it stays");
    }
    struct otp_process_attribute *copy = copy_attributes(attributes, count);
    if (!copy)
        return otp_error(OTELPROF_E_MEMORY, "process context: out of memory");
    int result = publish(copy, count);
    if (result) {
        free(copy);
        return result;
    }
    free(resource);
    resource = copy;
    resource_count = count;
    return 0;
}

int otp_process_context_refresh(void) {
    if (!mapping || otp_attribute_keys_count() == current.keys)
        return 0;
    return publish(resource, resource_count);
}

void otp_process_context_withdraw(void) {
    if (!mapping)
        return;
    store_time(0);
    full_fence();
    munmap(mapping, sizeof(*mapping));
    mapping = NULL;
    free(current.bytes);
    free(resource);
    memset(&current, 0, sizeof(current));
    resource = NULL;
    resource_count = 0;
}

/* The copies of payload and strings are left as they are: free() is not async-signal-safe. The next publication frees
 * them. */
void otp_process_context_child(void) {
    mapping = NULL;
    atomic_store_explicit(&foreign, false, memory_order_relaxed);
}

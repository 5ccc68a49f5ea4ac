// SPDX-License-Identifier: Apache-2.0
#include "capture/capture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sys.h"
#include "capture/cpu_clock.h"
#include "capture/hook_walker.h"
#include "capture/program_set.h"
#include "capture/region.h"
#include "capture/ring.h"
#include "capture/thread_pass.h"
#include "context_slot.h"

#define SELF_CHECK_INTERVAL_NS 200000
#define SELF_CHECK_LIMIT_NS 50000000

/* Memory that threads of the host write without a lock: for ever at one place (see region.h). */
static struct {
    struct otp_region control;
    struct otp_region slots;
    struct otp_region index;
} kept;

struct otp_capture {
    struct otp_program_sizes sizes;
    struct otp_program_set set;  /* in force */
    struct otp_program_set next; /* being filled, after otp_capture_grow() */
    struct otp_program_sizes next_sizes;
    struct otp_cpu_clock *clock;
    struct otp_cpu_clock *next_clock;
    struct otp_ring *ring;
    struct otp_region counters;
    struct otp_region still;
    struct otp_thread_pass pass;
    uint64_t interval_ns;
    unsigned sets;
};

static uint32_t power_of_two(uint64_t at_least) {
    uint32_t size = 1;
    while (size < at_least && size < 1u << 31)
        size *= 2;
    return size;
}

/* Stacks of services take 0.3 to 1 KiB; the ring is drained five times a second. */
static uint32_t ring_size(const struct otp_capture_options *options, unsigned cpus) {
    if (options->ring_bytes)
        return power_of_two(options->ring_bytes < 4096 ? 4096 : options->ring_bytes);
    uint64_t wanted = (uint64_t)options->rate_hz * cpus * 6 / 10 * 1024;
    if (wanted < 256 << 10)
        wanted = 256 << 10;
    return power_of_two(wanted > 16 << 20 ? 16 << 20 : wanted);
}

static void sizes_from(struct otp_program_sizes *sizes, const struct otp_capture_options *options) {
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    sizes->cpus = cpus > 0 ? (uint32_t)cpus : 1;
    sizes->slots = options->slots;
    sizes->index_size = power_of_two((uint64_t)options->slots * 2);
    sizes->ring_bytes = ring_size(options, sizes->cpus);
    sizes->rows = options->rows;
    sizes->pages = options->pages;
    sizes->kernel_frames = options->kernel_frames;
    sizes->keep_events = options->keep_events;
    sizes->hook_walks = options->hook_walks;
}

static int map_shared(struct otp_capture *capture) {
    const struct otp_program_sizes *sizes = &capture->sizes;
    struct otp_descriptor *shared = capture->set.shared;
    int result =
        otp_region_map(&kept.control, shared[OTP_MAP_CONTROL].fd, otp_region_array_size(1, sizeof(struct otp_control)));
    if (!result)
        result = otp_region_map(&kept.slots, shared[OTP_MAP_SLOTS].fd,
                                otp_region_array_size(sizes->slots, sizeof(struct otp_slot)));
    if (!result)
        result = otp_region_map(&kept.index, shared[OTP_MAP_INDEX].fd,
                                otp_region_array_size(sizes->index_size, sizeof(uint64_t)));
    if (!result)
        result = otp_region_map(&capture->counters, shared[OTP_MAP_COUNTERS].fd,
                                otp_region_array_size(sizes->cpus, sizeof(struct otp_cpu_counters)));
    if (!result)
        result = otp_region_map(&capture->still, shared[OTP_MAP_STILL].fd,
                                otp_region_array_size((size_t)2 * OTP_PLACES, sizeof(uint64_t)));
    if (result)
        return otp_error_errno(OTELPROF_E_MEMORY, -result, "mmap of the maps shared with the programs");
    capture->ring = otp_ring_open(shared[OTP_MAP_RING].fd, sizes->ring_bytes);
    return capture->ring ? 0 : otp_error_errno(OTELPROF_E_MEMORY, errno, "mmap of the ring");
}

int otp_capture_open(struct otp_capture **out, const struct otp_capture_options *options) {
    struct otp_capture *capture = otp_sys.calloc(1, sizeof(*capture));
    if (!capture)
        return otp_error(OTELPROF_E_MEMORY, "out of memory for the capture");
    otp_program_set_init(&capture->set);
    otp_program_set_init(&capture->next);
    sizes_from(&capture->sizes, options);
    capture->interval_ns = 1000000000u / options->rate_hz;
    int result = otp_program_set_load(&capture->set, &capture->sizes, NULL);
    if (!result)
        result = map_shared(capture);
    struct otp_identity identity;
    if (!result)
        result = otp_capture_own_thread(capture, &identity);
    if (result) {
        otp_capture_close(capture);
        return result;
    }
    capture->sets = 1;
    struct otp_control *control = otp_capture_control(capture);
    control->interval_ns = capture->interval_ns;
    control->registrations = 1;
    control->family[0] = identity.tgid;
    *out = capture;
    return 0;
}

void otp_capture_close(struct otp_capture *capture) {
    if (!capture)
        return;
    otp_capture_grow_abandon(capture);
    otp_cpu_clock_close(capture->clock);
    otp_ring_close(capture->ring);
    otp_program_set_close(&capture->set);
    otp_region_park(&kept.control);
    otp_region_park(&kept.slots);
    otp_region_park(&kept.index);
    otp_region_release(&capture->counters);
    otp_region_release(&capture->still);
    otp_thread_pass_free(&capture->pass);
    free(capture);
}

struct otp_control *otp_capture_control(struct otp_capture *capture) {
    (void)capture;
    return kept.control.address;
}

static void tables_of(const struct otp_program_set *set, const struct otp_program_sizes *sizes,
                      struct otp_tables_memory *memory) {
    memory->rows = set->tables[OTP_MAP_ROWS];
    memory->row_capacity = sizes->rows;
    memory->pages = set->tables[OTP_MAP_PAGES];
    memory->page_capacity = sizes->pages;
    memory->rules = set->tables[OTP_MAP_RULES];
    memory->segments[0] = set->tables[OTP_MAP_SEGMENTS];
    memory->segments[1] = memory->segments[0] + OTP_SEGMENTS_MAX;
    memory->control = kept.control.address;
}

void otp_capture_tables_memory(const struct otp_capture *capture, struct otp_tables_memory *memory) {
    tables_of(&capture->set, &capture->sizes, memory);
}

bool otp_capture_walker(const struct otp_capture *capture, struct otp_walker *walker) {
    const struct otp_program_set *set = &capture->set;
    *walker = otp_hook_walker(set->walk_program.fd, set->tables[OTP_MAP_WALKS], set->walk_stride);
    return set->walk_program.fd >= 0;
}

void otp_capture_context_memory(const struct otp_capture *capture, struct otp_context_memory *memory) {
    memory->slots = kept.slots.address;
    memory->slot_count = capture->sizes.slots;
    memory->index = kept.index.address;
    memory->index_size = capture->sizes.index_size;
    memory->control = kept.control.address;
}

int otp_capture_own_thread(struct otp_capture *capture, struct otp_identity *identity) {
    struct otp_identity local;
    if (!identity)
        identity = &local;
    int result = otp_program_set_identify(&capture->set, identity);
    if (result)
        return result;
    struct otp_control *control = otp_capture_control(capture);
    for (int i = 0; i < OTP_OWN_THREADS_MAX; i++) {
        uint32_t none = 0;
        if (atomic_compare_exchange_strong((_Atomic uint32_t *)&control->own_threads[i], &none, identity->tid) ||
            none == identity->tid)
            return 0;
    }
    return otp_error(OTELPROF_E_LIMIT, "more than %d threads of our own", OTP_OWN_THREADS_MAX);
}

int otp_capture_attach(struct otp_capture *capture) {
    return otp_cpu_clock_open(&capture->clock, capture->interval_ns, capture->set.cpu_program.fd);
}

int otp_capture_enable(struct otp_capture *capture) { return otp_cpu_clock_enable(capture->clock); }

int otp_capture_disable(struct otp_capture *capture) { return otp_cpu_clock_disable(capture->clock); }

static uint64_t own_events(const struct otp_capture *capture) {
    struct otp_cpu_counters counters;
    otp_capture_counters(capture, &counters);
    return counters.own_thread;
}

int otp_capture_self_check(struct otp_capture *capture) {
    struct otp_descriptor event;
    int result = otp_cpu_clock_open_own(&event, SELF_CHECK_INTERVAL_NS, capture->set.cpu_program.fd);
    if (result)
        return result;
    uint64_t before = own_events(capture);
    uint64_t start = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID), used = 0;
    bool seen = false;
    while (!seen && used < SELF_CHECK_LIMIT_NS) {
        used = otp_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
        seen = own_events(capture) != before;
    }
    otp_descriptor_close(&event);
    if (seen)
        return 0;
    return otp_error(OTELPROF_E_KERNEL, "self-check: the programs were attached, but did not see this process in %d ms",
                     SELF_CHECK_LIMIT_NS / 1000000);
}

int otp_capture_follow_cpus(struct otp_capture *capture) {
    int result = otp_cpu_clock_follow_cpus(capture->clock, capture->set.cpu_program.fd);
    return result < 0 ? result : 0;
}

int otp_capture_grow(struct otp_capture *capture, size_t rows, size_t pages, struct otp_tables_memory *memory) {
    capture->next_sizes = capture->sizes;
    capture->next_sizes.rows = rows;
    capture->next_sizes.pages = pages;
    int result = otp_program_set_load(&capture->next, &capture->next_sizes, &capture->set);
    if (!result)
        result = otp_cpu_clock_open(&capture->next_clock, capture->interval_ns, capture->next.cpu_program.fd);
    if (result)
        otp_capture_grow_abandon(capture);
    else
        tables_of(&capture->next, &capture->next_sizes, memory);
    return result;
}

void otp_capture_grow_abandon(struct otp_capture *capture) {
    otp_cpu_clock_close(capture->next_clock);
    capture->next_clock = NULL;
    otp_program_set_close(&capture->next);
}

void otp_capture_leave_tables(struct otp_capture *capture) { otp_program_set_leave_tables(&capture->set); }

void otp_capture_switch(struct otp_capture *capture) {
    otp_cpu_clock_close(capture->clock);
    otp_program_set_close(&capture->set);
    capture->clock = capture->next_clock;
    capture->set = capture->next;
    capture->sizes = capture->next_sizes;
    capture->sets++;
    capture->next_clock = NULL;
    otp_program_set_init(&capture->next);
}

size_t otp_capture_drain(struct otp_capture *capture, otp_capture_record_fn receiver, void *user) {
    return otp_ring_drain(capture->ring, receiver, user);
}

int otp_capture_pass_possible(const struct otp_capture *capture) {
    if (capture->set.threads_link.fd >= 0)
        return 0;
    return otp_error_errno(OTELPROF_E_KERNEL, capture->set.threads_error, "the kernel has no iterator over threads");
}

int otp_capture_pass(struct otp_capture *capture, uint32_t what, otp_capture_thread_fn receiver, void *user) {
    struct otp_control *control = otp_capture_control(capture);
    control->pass = what;
    int result = otp_thread_pass_run(&capture->pass, &capture->set.threads_link, receiver, user);
    control->pass = 0;
    return result;
}

const uint64_t *otp_capture_still(const struct otp_capture *capture) { return capture->still.address; }

int otp_capture_wake_fd(const struct otp_capture *capture) {
    const struct otp_descriptor *ring = &capture->set.shared[OTP_MAP_RING];
    return otp_descriptor_intact(ring) ? ring->fd : -1;
}

bool otp_capture_intact(const struct otp_capture *capture) {
    return otp_descriptor_intact(&capture->set.shared[OTP_MAP_RING]) &&
           otp_descriptor_intact(&capture->set.cpu_program) && otp_cpu_clock_intact(capture->clock);
}

void otp_capture_counters(const struct otp_capture *capture, struct otp_cpu_counters *sum) {
    const volatile uint64_t *from = capture->counters.address;
    uint64_t *to = (uint64_t *)sum;
    memset(sum, 0, sizeof(*sum));
    for (uint32_t cpu = 0; cpu < capture->sizes.cpus; cpu++) {
        for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
            to[i] += *from++;
    }
}

uint64_t otp_capture_kernel_bytes(const struct otp_capture *capture) {
    return capture->set.own_bytes + capture->set.shared_bytes;
}

unsigned otp_capture_cpus(const struct otp_capture *capture) {
    return capture->clock ? otp_cpu_clock_count(capture->clock) : 0;
}

unsigned otp_capture_sets(const struct otp_capture *capture) { return capture->sets; }

int otp_capture_program_fd(const struct otp_capture *capture) { return capture->set.cpu_program.fd; }

void otp_capture_verified(const struct otp_capture *capture, unsigned *cpu, unsigned *identify) {
    otp_program_set_verified(&capture->set, cpu, identify);
}

void otp_capture_forget_regions(void) { memset(&kept, 0, sizeof(kept)); }

void otp_capture_forked_child(struct otp_capture *capture) {
    if (capture) {
        if (capture->clock)
            otp_cpu_clock_forked_child(capture->clock);
        if (capture->next_clock)
            otp_cpu_clock_forked_child(capture->next_clock);
        otp_program_set_forked_child(&capture->set);
        otp_program_set_forked_child(&capture->next);
    }
    otp_capture_forget_regions();
}

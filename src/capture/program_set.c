// SPDX-License-Identifier: Apache-2.0
#include "capture/program_set.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/libbpf_host.h"
#include "capture/region.h"
#include "context_slot.h"
#include "otelprof.skel.h"
#include "unwind_table.h"

void otp_program_set_init(struct otp_program_set *set) {
    memset(set, 0, sizeof(*set));
    set->cpu_program.fd = set->identify_program.fd = set->walk_program.fd = set->threads_link.fd = -1;
    for (int i = 0; i < OTP_MAP_SHARED_COUNT; i++)
        set->shared[i].fd = -1;
}

void otp_program_set_forked_child(struct otp_program_set *set) {
    otp_descriptor_close(&set->cpu_program);
    otp_descriptor_close(&set->identify_program);
    otp_descriptor_close(&set->walk_program);
    otp_descriptor_close(&set->threads_link);
    for (int i = 0; i < OTP_MAP_SHARED_COUNT; i++)
        otp_descriptor_close(&set->shared[i]);
}

void otp_program_set_leave_tables(struct otp_program_set *set) {
    for (int i = 0; i < OTP_MAP_TABLE_COUNT; i++)
        set->tables[i] = NULL;
}

void otp_program_set_close(struct otp_program_set *set) {
    otp_program_set_forked_child(set);
    for (int i = 0; i < OTP_MAP_TABLE_COUNT; i++) {
        if (set->tables[i])
            munmap(set->tables[i], set->table_bytes[i]);
    }
    otp_program_set_init(set);
}

static struct bpf_map *shared_map(struct otelprof_bpf *object, int which) {
    switch ((enum otp_shared_map)which) {
    case OTP_MAP_CONTROL:
        return object->maps.otp_control;
    case OTP_MAP_COUNTERS:
        return object->maps.otp_counters;
    case OTP_MAP_SLOTS:
        return object->maps.otp_slots;
    case OTP_MAP_INDEX:
        return object->maps.otp_index;
    case OTP_MAP_RING:
        return object->maps.otp_ring;
    case OTP_MAP_TASKS:
        return object->maps.otp_tasks;
    case OTP_MAP_STILL:
        return object->maps.otp_still_ns;
    default:
        return NULL;
    }
}

static struct bpf_map *table_map(struct otelprof_bpf *object, int which) {
    switch ((enum otp_table_map)which) {
    case OTP_MAP_ROWS:
        return object->maps.otp_rows;
    case OTP_MAP_PAGES:
        return object->maps.otp_pages;
    case OTP_MAP_RULES:
        return object->maps.otp_rules;
    case OTP_MAP_SEGMENTS:
        return object->maps.otp_segments;
    case OTP_MAP_WALKS:
        return object->maps.otp_walks;
    default:
        return NULL;
    }
}

/* Sizes and settings, before the kernel sees the object. */
static int prepare(struct otelprof_bpf *object, const struct otp_program_sizes *sizes,
                   const struct otp_program_set *base) {
    object->rodata->otp_index_mask = sizes->index_size - 1;
    object->rodata->otp_kernel_frames = sizes->kernel_frames ? 1 : 0;
    object->rodata->otp_verdict = sizes->keep_events ? 1 : 0;
    int result = bpf_map__set_max_entries(object->maps.otp_rows, (__u32)((sizes->rows + 1) / 2));
    if (!result)
        result = bpf_map__set_max_entries(object->maps.otp_pages, (__u32)((sizes->pages + 1) / 2));
    if (!result)
        result = bpf_program__set_autoload(object->progs.otp_walk, sizes->hook_walks != 0);
    if (!result)
        result = bpf_map__set_autocreate(object->maps.otp_walks, sizes->hook_walks != 0);
    if (base) {
        for (int i = 0; i < OTP_MAP_SHARED_COUNT && !result; i++)
            result = bpf_map__reuse_fd(shared_map(object, i), base->shared[i].fd);
        return result;
    }
    if (!result)
        result = bpf_map__set_max_entries(object->maps.otp_counters, sizes->cpus);
    if (!result)
        result = bpf_map__set_max_entries(object->maps.otp_slots, sizes->slots);
    if (!result)
        result = bpf_map__set_max_entries(object->maps.otp_index, sizes->index_size);
    return result ? result : bpf_map__set_max_entries(object->maps.otp_ring, sizes->ring_bytes);
}

/* An iterator over the threads of this process (Linux 6.1). Without it the rest goes on. */
static void link_threads(struct otp_program_set *set, struct otelprof_bpf *object) {
    union bpf_iter_link_info process;
    memset(&process, 0, sizeof(process));
    process.task.pid = (__u32)getpid();
    LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &process, .iter_info_len = sizeof(process));
    int fd = -ENOENT;
    if (bpf_program__autoload(object->progs.otp_threads))
        fd = bpf_link_create(bpf_program__fd(object->progs.otp_threads), 0, BPF_TRACE_ITER, &options);
    int result = fd < 0 ? fd : otp_descriptor_adopt(&set->threads_link, fd, OTP_DESCRIPTOR_BPF_LINK);
    set->threads_error = -result;
}

/* Maps one table of a set into our memory. */
static int map_table(struct otp_program_set *set, struct otelprof_bpf *object, int which) {
    struct bpf_map *map = table_map(object, which);
    struct otp_region region = {NULL, 0};
    size_t size = otp_region_array_size(bpf_map__max_entries(map), bpf_map__value_size(map));
    int result = otp_region_map(&region, bpf_map__fd(map), size);
    if (result)
        return result;
    set->tables[which] = region.address;
    set->table_bytes[which] = size;
    set->own_bytes += size;
    return 0;
}

/* Takes from the object what is needed for good; the rest of libbpf's memory goes with the object. */
static int take(struct otp_program_set *set, struct otelprof_bpf *object) {
    int result =
        otp_descriptor_take(&set->cpu_program, bpf_program__fd(object->progs.otp_cpu), OTP_DESCRIPTOR_BPF_PROGRAM);
    if (!result)
        result = otp_descriptor_take(&set->identify_program, bpf_program__fd(object->progs.otp_identify),
                                     OTP_DESCRIPTOR_BPF_PROGRAM);
    for (int i = 0; i < OTP_MAP_SHARED_COUNT && !result; i++) {
        struct bpf_map *map = shared_map(object, i);
        result = otp_descriptor_take(&set->shared[i], bpf_map__fd(map), OTP_DESCRIPTOR_BPF_MAP);
        if (i != OTP_MAP_TASKS)
            set->shared_bytes += i == OTP_MAP_RING
                                     ? bpf_map__max_entries(map)
                                     : otp_region_array_size(bpf_map__max_entries(map), bpf_map__value_size(map));
    }
    bool walks = bpf_map__autocreate(object->maps.otp_walks);
    if (!result && walks)
        result = otp_descriptor_take(&set->walk_program, bpf_program__fd(object->progs.otp_walk),
                                     OTP_DESCRIPTOR_BPF_PROGRAM);
    if (!result)
        link_threads(set, object);
    for (int i = 0; i < OTP_MAP_TABLE_COUNT && !result; i++)
        if (i != OTP_MAP_WALKS || walks)
            result = map_table(set, object, i);
    set->walk_stride = (bpf_map__value_size(object->maps.otp_walks) + 7u) & ~(size_t)7;
    uint64_t a_cpu = bpf_map__value_size(object->maps.otp_scratch) + bpf_map__value_size(object->maps.otp_cache);
    set->own_bytes += (uint64_t)libbpf_num_possible_cpus() * a_cpu;
    return result;
}

static int load_error(int number) {
    if (number == EPERM || number == EACCES)
        return otp_error_errno(OTELPROF_E_PRIVILEGE, number, "bpf(2) refused to load the programs");
    if (number == ENOMEM)
        return otp_error_errno(OTELPROF_E_MEMORY, number, "the kernel has no memory for the programs' maps");
    return otp_error_errno(OTELPROF_E_KERNEL, number, "the kernel did not take the programs");
}

/* 0 or a negative errno; then the set is empty. */
static int load(struct otp_program_set *set, const struct otp_program_sizes *sizes, const struct otp_program_set *base,
                bool threads) {
    errno = 0;
    struct otelprof_bpf *object = otelprof_bpf__open();
    if (!object)
        return errno ? -errno : -ENOMEM;
    int result = prepare(object, sizes, base);
    if (!result)
        result = bpf_program__set_autoload(object->progs.otp_threads, threads);
    if (!result)
        result = otelprof_bpf__load(object);
    if (!result)
        result = take(set, object);
    otelprof_bpf__destroy(object);
    if (result)
        otp_program_set_close(set);
    return result;
}

int otp_program_set_load(struct otp_program_set *set, const struct otp_program_sizes *sizes,
                         const struct otp_program_set *base) {
    otp_program_set_init(set);
    otp_libbpf_host_set_up();
    int result = load(set, sizes, base, true);
    if (result && result != -EPERM && result != -ENOMEM)
        result = load(set, sizes, base, false); /* a kernel without task iterators */
    return result ? load_error(-result) : 0;
}

int otp_program_set_identify(const struct otp_program_set *set, struct otp_identity *identity) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = identity, .ctx_size_in = sizeof(*identity));
    memset(identity, 0, sizeof(*identity));
    int result = bpf_prog_test_run_opts(set->identify_program.fd, &options);
    if (result)
        return otp_error_errno(OTELPROF_E_SYSTEM, -result, "BPF_PROG_RUN of otp_identify");
    if (!identity->tgid)
        return otp_error(OTELPROF_E_KERNEL, "otp_identify reported no process id");
    return 0;
}

static unsigned verified(int fd) {
    struct bpf_prog_info info;
    __u32 size = sizeof(info);
    memset(&info, 0, sizeof(info));
    return bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.verified_insns;
}

void otp_program_set_verified(const struct otp_program_set *set, unsigned *cpu, unsigned *identify) {
    *cpu = verified(set->cpu_program.fd);
    *identify = verified(set->identify_program.fd);
}

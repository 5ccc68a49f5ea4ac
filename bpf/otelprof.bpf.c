// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs. otp_cpu runs at each clock event of a CPU: it leaves at once unless the running thread belongs to the
 * profiled process, else unwinds the thread's stack by the tables that the process made of its own .eh_frame, and
 * sends it with the thread's span context through the ring. otp_threads (thread_pass.h) looks at all threads of the
 * process. otp_identify tells the process who the kernel takes it for. otp_walk unwinds the stack of the thread that
 * runs it.
 */
#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "thread_pass.h"

char otp_license[] SEC("license") = "Dual BSD/GPL";

OTP_INLINE void take_kernel_frames(struct scratch *scratch, struct otp_perf_context *context,
                                   struct otp_cpu_counters *counters) {
    scratch->record.kernel_frames = 0;
    if (!otp_kernel_frames)
        return;
    long size = bpf_get_stack(context, scratch->words, OTP_KERNEL_FRAMES_MAX * sizeof(uint64_t), 0);
    if (size < 0) {
        counters->kernel_stack_missing++;
        return;
    }
    scratch->record.kernel_frames = (uint32_t)size / sizeof(uint64_t) & (OTP_KERNEL_FRAMES_MAX * 2 - 1);
}

/* False: it was lost. */
OTP_INLINE int send(struct scratch *scratch, struct otp_control *control, struct otp_cpu_counters *counters) {
    uint64_t flags = BPF_RB_NO_WAKEUP;
    if (scratch->stop == OTP_STOP_UNKNOWN_MODULE && !control->rescan_wanted) {
        control->rescan_wanted = 1;
        counters->wakeups++;
        flags = BPF_RB_FORCE_WAKEUP;
    }
    uint64_t size = record_size(scratch);
    OTP_BOUND(size, RECORD_WORDS * 8 - 1);
    if (!bpf_ringbuf_output(&otp_ring, &scratch->record, size, flags))
        return 1;
    if (scratch->record.flags & OTP_RECORD_WALL_ONLY)
        counters->wall_only_ring_full++;
    else
        counters->ring_full++;
    return 0;
}

/*
 * What the record is for beside the CPU profile: wall time, and the snapshot that is being taken. (All of this stands
 * behind the walk because the verifier walks again for each way that leads to it.)
 */
OTP_INLINE void serve_others(struct otp_record *record, const struct otp_control *control,
                             struct otp_cpu_counters *counters, const struct task_memory *memory, uint64_t ran_ns) {
    uint32_t snapshot = *(const volatile uint32_t *)&control->snapshot;
    if (control->cpu_off) {
        counters->wall_only++;
        record->flags |= OTP_RECORD_WALL_ONLY;
    } else {
        counters->fired++;
    }
    record->cpu_units = (uint32_t)(ran_ns >> OTP_CPU_UNIT_SHIFT);
    if (snapshot && memory->snapshot != snapshot)
        record->flags |= OTP_RECORD_SNAPSHOT;
    record->weight = 0;
    if (control->wall && memory->run == control->run && ran_ns > memory->ran_ns)
        record->weight = ran_ns - memory->ran_ns;
}

OTP_INLINE void remember_told(const struct otp_record *record, const struct otp_control *control,
                              struct task_memory *memory) {
    if (record->flags & OTP_RECORD_SNAPSHOT)
        memory->snapshot = control->serial;
    memory->ran_ns += record->weight;
}

SEC("perf_event")
int otp_cpu(struct otp_perf_context *context) {
    uint32_t zero = 0;
    struct otp_control *control = bpf_map_lookup_elem(&otp_control, &zero);
    if (!control)
        return 0;
    uint64_t ids = bpf_get_current_pid_tgid();
    if (!in_family(control, ids >> 32))
        return 0;
    uint32_t cpu = bpf_get_smp_processor_id();
    struct otp_cpu_counters *counters = bpf_map_lookup_elem(&otp_counters, &cpu);
    if (!counters)
        return 0;
    struct scratch *scratch = bpf_map_lookup_elem(&otp_scratch, &zero);
    if (!scratch) {
        counters->fired++;
        counters->scratch++;
        return 0;
    }
    struct otp_record *record = &scratch->record;
    bpf_get_current_comm(record->thread_name, sizeof(record->thread_name));
    if (is_own(control, (uint32_t)ids, record->thread_name)) {
        counters->own_thread++;
        return 0;
    }

    struct task_struct *task = bpf_get_current_task_btf();
    struct task_memory fallback = {};
    struct task_memory *memory = bpf_task_storage_get(&otp_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!memory)
        memory = &fallback;
    if (!memory->ns_tid)
        memory->ns_tid = ns_tid_of(task);

    int user_mode = in_user_mode(&context->regs);
    record->version = OTP_RECORD_VERSION;
    record->type = OTP_RECORD_CPU;
    record->kernel_frames = 0;
    record->flags = user_mode ? 0 : OTP_RECORD_IN_KERNEL;
    record->tgid = ids >> 32;
    record->tid = memory->ns_tid;
    record->cpu = cpu;
    record->context_size = 0;
    record->time_ns = bpf_ktime_get_ns();
    record->interval = control->interval_ns;
    if (!user_mode)
        take_kernel_frames(scratch, context, counters);
    if (take_registers(scratch, context, task, user_mode)) {
        scratch->stop = OTP_STOP_EXITING;
        scratch->count = 0;
        scratch->directory = control->directory;
    } else {
        walk_stack(scratch, bpf_map_lookup_elem(&otp_cache, &zero), control);
    }
    record->user_frames = scratch->count;
    record->stop = scratch->stop;
    record->directory = scratch->directory;
    struct otp_slot *slot = find_slot(control, memory);
    if (slot)
        take_context(scratch, slot);
    serve_others(record, control, counters, memory, task->se.sum_exec_runtime);
    counters->stops[scratch->stop & 15]++;
    counters->frames += scratch->count;
    counters->with_span += record->context_size != 0;
    counters->cache_hits += scratch->count - scratch->misses;
    counters->cache_misses += scratch->misses;
    counters->window_reads += scratch->stack.reads;
    if (send(scratch, control, counters))
        remember_told(record, control, memory);
    return otp_verdict;
}

/* Run once from init on each thread of ours (BPF_PROG_RUN): says who the kernel takes it for, and what time it is. */
SEC("syscall")
int otp_identify(struct otp_identity *identity) {
    uint64_t ids = bpf_get_current_pid_tgid();
    identity->tgid = ids >> 32;
    identity->tid = (uint32_t)ids;
    identity->ns_tid = ns_tid_of(bpf_get_current_task_btf());
    identity->clock_ns = bpf_ktime_get_ns();
    return 0;
}

/* Run by a thread of the process on itself (BPF_PROG_RUN), from a hook: the stack that it stands on. */
SEC("syscall")
int otp_walk(struct otp_hook_walk *request) {
    uint32_t zero = 0, place = request->place;
    struct otp_control *control = bpf_map_lookup_elem(&otp_control, &zero);
    struct scratch *scratch = bpf_map_lookup_elem(&otp_walks, &place);
    if (!control || !scratch)
        return 1;
    scratch->frame.pc = request->pc;
    scratch->frame.sp = request->sp;
    scratch->frame.fp = request->fp;
    scratch->frame.lr = request->lr;
    scratch->frame.exact = 1;
    scratch->frame.fp_lost = 0;
    scratch->leaf_valid = 0;
    scratch->record.kernel_frames = 0;
    walk_stack_alone(scratch, control);
    request->count = scratch->count;
    request->stop = scratch->stop;
    request->directory = scratch->directory;
    return 0;
}

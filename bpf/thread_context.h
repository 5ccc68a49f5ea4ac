// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whose thread it is, and the span context that it has published. */
#ifndef OTP_BPF_THREAD_CONTEXT_H
#define OTP_BPF_THREAD_CONTEXT_H

#include "stack_walk.h"

OTP_INLINE int in_family(const struct otp_control *control, uint32_t tgid) {
    for (int i = 0; i < OTP_FAMILY_MAX; i++) {
        uint32_t member = control->family[i];
        if (!member) /* ends the list; it is also the idle task's tgid */
            break;
        if (member == tgid)
            return 1;
    }
    return 0;
}

/* Threads of ours, and the resolver threads that libcurl starts from our export thread: they inherit its name. */
OTP_INLINE int is_own(const struct otp_control *control, uint32_t tid, const char *name) {
    for (int i = 0; i < OTP_OWN_THREADS_MAX; i++) {
        if (control->own_threads[i] == tid)
            return 1;
    }
    static const char export_name[16] = "otelprof-export";
    for (int i = 0; i < 16; i++) {
        if (name[i] != export_name[i])
            return 0;
    }
    return 1;
}

/* By reads into numbers: the verifier of 6.1 allows no variable offset on a typed pointer. */
OTP_INLINE uint32_t ns_tid_of(struct task_struct *task) {
    uint64_t pid = 0, at;
    uint32_t level = 0, number = 0;
    bpf_core_read(&pid, sizeof(pid), &task->thread_pid);
    bpf_probe_read_kernel(&level, sizeof(level), (void *)(pid + bpf_core_field_offset(struct pid, level)));
    if (level > 32) /* MAX_PID_NS_LEVEL of the kernel */
        return 0;
    at = pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid) +
         bpf_core_field_offset(struct upid, nr);
    bpf_probe_read_kernel(&number, sizeof(number), (void *)at);
    return number;
}

/* 1 + the number of the thread's slot; 0: none. Not static: the verifier takes it once, not on each way to it. */
uint32_t otp_search_index(uint32_t tid);
__attribute__((noinline)) uint32_t otp_search_index(uint32_t tid) {
    uint32_t hash = otp_index_hash(tid);
    for (uint32_t i = 0; i < OTP_INDEX_PROBES; i++) {
        uint32_t key = (hash + i) & otp_index_mask;
        uint64_t *entry = bpf_map_lookup_elem(&otp_index, &key);
        if (!entry)
            return 0;
        uint64_t value = *(volatile uint64_t *)entry;
        if (value == OTP_INDEX_EMPTY)
            return 0;
        if (OTP_INDEX_TID(value) == tid)
            return OTP_INDEX_SLOT(value) + 1;
    }
    return 0;
}

/* The thread's context slot, or NULL. */
OTP_INLINE struct otp_slot *find_slot(const struct otp_control *control, struct task_memory *memory) {
    if (memory->slot) {
        uint32_t key = memory->slot - 1;
        struct otp_slot *slot = bpf_map_lookup_elem(&otp_slots, &key);
        if (slot && slot->owner_tid == memory->ns_tid)
            return slot;
        memory->slot = 0;
        memory->registrations = 0;
    }
    uint32_t registrations = *(const volatile uint32_t *)&control->registrations;
    if (memory->registrations == registrations)
        return 0;
    memory->slot = otp_search_index(memory->ns_tid);
    if (!memory->slot) {
        memory->registrations = registrations;
        return 0;
    }
    uint32_t key = memory->slot - 1;
    struct otp_slot *slot = bpf_map_lookup_elem(&otp_slots, &key);
    return slot && slot->owner_tid == memory->ns_tid ? slot : 0;
}

/* Appends the valid record of the thread's slot behind the frames. The owner is this very thread: it stands still. */
OTP_INLINE void take_context(struct scratch *scratch, const struct otp_slot *slot) {
    const struct otp_thread_record *record = &slot->record[slot->generation & 1];
    if (record->valid != 1)
        return;
    uint32_t attrs = record->attrs_size;
    if (attrs > OTP_RECORD_ATTRS_MAX)
        attrs = OTP_RECORD_ATTRS_MAX;
    uint32_t at = scratch->record.kernel_frames + scratch->record.user_frames;
    OTP_BOUND(at, RECORD_WORDS - 1);
    if (bpf_probe_read_kernel(&scratch->words[at], sizeof(*record), record))
        return;
    scratch->record.context_size = OTP_RECORD_HEADER + attrs;
}

#endif

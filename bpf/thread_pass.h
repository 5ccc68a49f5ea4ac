// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A pass over the threads of the process, on the profiler thread: its reads of user memory see the very memory that
 * the threads have. Nobody is stopped, and no signal is sent.
 *
 * For wall time (OTP_PASS_TICK) each thread's time since it was told last is split: it ran (the CPU samples tell
 * where: each stands for what the thread has run since the one before, so that all of it is told however the clock
 * falls in with the thread), it waited for a CPU (the growth of run_delay, on the scheduler's own clock, because the
 * pass itself makes threads wait), and it was blocked, which is the rest and goes to the place where it is blocked now.
 * A thread that was not switched out since is where it was: that is noted at its place, without a walk and a record.
 * One that runs has no registers that could be read; what it was blocked is told when it blocks again.
 */
#ifndef OTP_BPF_THREAD_PASS_H
#define OTP_BPF_THREAD_PASS_H

#include "registers.h"
#include "thread_context.h"

#define RUNNABLE_LEAST_NS 1000000 /* less counts as blocked */
#define RAN_UNSEEN 8              /* intervals of the CPU clock: who ran for so long unseen is told here */

/* One at a time: its working memory. */
SHARED_ARRAY(otp_pass_scratch, 1, struct scratch);
SHARED_ARRAY(otp_pass_cache, 1, struct cache);

/* A thread as the pass finds it. */
struct look {
    uint64_t now_ns, switches, cpu_ns, delay_ns;
    uint32_t run; /* enum otp_thread_run */
};

#if defined(__TARGET_ARCH_x86)
#define SYS_FUTEX 202
/* Only a system call leaves the registers so (SYSCALL in Intel's manual): an exception's orig_ax is its error code. */
OTP_INLINE int32_t syscall_of(const struct pt_regs *regs) {
    return regs->cx == regs->ip && regs->r11 == regs->flags ? (int32_t)regs->orig_ax : -1;
}
#define TAKE_ARGUMENTS(state, regs)                                                                                    \
    ((state)->argument[0] = (regs)->di, (state)->argument[1] = (regs)->si, (state)->argument[2] = (regs)->r10)
#elif defined(__TARGET_ARCH_arm64)
#define SYS_FUTEX 98
OTP_INLINE int32_t syscall_of(const struct pt_regs *regs) { return regs->syscallno; }
#define TAKE_ARGUMENTS(state, regs_)                                                                                   \
    ((state)->argument[0] = (regs_)->orig_x0, (state)->argument[1] = (regs_)->regs[1],                                 \
     (state)->argument[2] = (regs_)->regs[3])
#endif

OTP_INLINE uint32_t run_of(struct task_struct *task) {
    uint32_t state = task->__state;
    if (task->on_cpu)
        return OTP_THREAD_RUNNING;
    if (state & OTP_TASK_UNINTERRUPTIBLE)
        return OTP_THREAD_UNINTERRUPTIBLE;
    if (state & OTP_TASK_INTERRUPTIBLE)
        return OTP_THREAD_SLEEPING;
    return state & (OTP_TASK_STOPPED | OTP_TASK_TRACED) ? OTP_THREAD_STOPPED : OTP_THREAD_RUNNABLE;
}

OTP_INLINE int is_blocked(uint32_t run) { return run >= OTP_THREAD_SLEEPING; }

OTP_INLINE void look_at(struct look *look, struct task_struct *task) {
    look->switches = task->nvcsw + task->nivcsw;
    look->run = run_of(task);
    look->cpu_ns = task->se.sum_exec_runtime;
    look->delay_ns = task->sched_info.run_delay;
    look->now_ns = bpf_ktime_get_ns();
}

OTP_INLINE uint64_t above(uint64_t value, uint64_t base) { return value > base ? value - base : 0; }

/* A thread that this run has not seen yet. One that was born in the run is followed from its birth on. */
OTP_INLINE void meet(struct task_memory *memory, const struct otp_control *control, const struct look *look,
                     uint64_t born_ns) {
    int born_since = born_ns >= control->last_pass_ns;
    memory->run = control->run;
    memory->epoch = memory->place = 0;
    memory->seen_ns = memory->looked_ns = born_since ? born_ns : look->now_ns;
    memory->cpu_ns = born_since ? 0 : look->cpu_ns;
    memory->delay_ns = born_since ? 0 : look->delay_ns;
    memory->ran_ns = memory->cpu_ns;
    memory->switches = ~0ull;
    memory->state = 0;
}

/* Until when the thread with that place is known to stand still. NULL: it has none. */
OTP_INLINE uint64_t *still_at(uint32_t epoch, uint32_t place) {
    uint32_t key = OTP_PLACE_INDEX(epoch, place);
    return place ? bpf_map_lookup_elem(&otp_still_ns, &key) : 0;
}

/* Notes that. False: it has no place. */
OTP_INLINE int note_still(uint32_t epoch, uint32_t place, uint64_t until_ns) {
    uint64_t *still = still_at(epoch, place);
    if (still)
        *still = until_ns;
    return still != 0;
}

/* What was noted while the thread stood still is part of what is told. */
OTP_INLINE void catch_up(struct task_memory *memory, const struct otp_control *control) {
    uint64_t *still = still_at(memory->epoch, memory->place);
    uint64_t time = still ? above(*still, memory->looked_ns) : 0;
    memory->looked_ns += time;
    memory->seen_ns += time;
    if (!is_blocked(memory->state))
        memory->delay_ns += time; /* run_delay grows when it is over */
    if (memory->epoch != control->epoch)
        memory->place = 0;
}

/* True: the thread stands where it was told to stand. */
OTP_INLINE int stands_still(struct task_memory *memory, const struct look *look) {
    return memory->switches == look->switches && is_blocked(memory->state) == is_blocked(look->run) &&
           note_still(memory->epoch, memory->place, look->now_ns);
}

/* The same for a blocked thread that is the next one where it was the next one before. */
OTP_INLINE int stands_in_line(const struct otp_task_iterator *context, const struct task_struct *task,
                              const struct otp_control *control) {
    uint32_t key = (uint32_t)context->meta->seq_num;
    struct still_thread *thread = bpf_map_lookup_elem(&otp_still, &key);
    return thread && thread->task == (uint64_t)task && thread->epoch == control->epoch && !task->on_cpu &&
           thread->switches == (uint32_t)(task->nvcsw + task->nivcsw) && thread->born == (uint32_t)task->start_time &&
           task->__state && note_still(thread->epoch, thread->place, control->pass_ns);
}

OTP_INLINE void note_in_line(const struct otp_task_iterator *context, const struct task_struct *task,
                             const struct task_memory *memory) {
    uint32_t key = (uint32_t)context->meta->seq_num;
    struct still_thread *thread = bpf_map_lookup_elem(&otp_still, &key);
    if (!thread || !memory->place || !is_blocked(memory->state))
        return;
    thread->task = (uint64_t)task;
    thread->born = (uint32_t)task->start_time;
    thread->epoch = memory->epoch;
    thread->place = memory->place;
    thread->switches = (uint32_t)memory->switches;
}

/* ------------------------------------------------------------------------------------------- telling */

OTP_INLINE void take_futex(struct otp_thread_state *state) {
    uint64_t address = state->argument[0];
    state->lock_words_valid = state->syscall == SYS_FUTEX &&
                              !bpf_probe_read_user(state->lock_words, sizeof(state->lock_words), (const void *)address);
}

/* Where the thread entered the kernel. -1: it has no user side any more. */
OTP_INLINE int take_user_side(struct scratch *scratch, struct otp_thread_state *state, struct task_struct *task) {
    if (!task->mm)
        return -1;
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    begin_leaf(scratch);
    TAKE_REGISTERS(scratch, regs);
    state->syscall = syscall_of(regs);
    TAKE_ARGUMENTS(state, regs);
    take_futex(state);
    return 0;
}

OTP_INLINE void begin_record(struct scratch *scratch, const struct otp_control *control, struct task_struct *task,
                             const struct task_memory *memory, const struct look *look) {
    struct otp_record *record = &scratch->record;
    record->version = OTP_RECORD_VERSION;
    record->type = OTP_RECORD_THREAD;
    record->kernel_frames = record->user_frames = 0;
    record->stop = OTP_STOP_NOT_WALKED;
    record->tgid = task->tgid;
    record->tid = memory->ns_tid;
    record->cpu = 0;
    record->flags = 0;
    record->context_size = 0;
    record->directory = control->directory;
    record->cpu_units = 0;
    record->time_ns = look->now_ns;
    record->weight = 0;
    record->interval = control->gap_ns;
    bpf_probe_read_kernel_str(record->thread_name, sizeof(record->thread_name), task->comm);
}

/*
 * The user part of the stack, from the registers in the working memory. A function that is not static, so that the
 * verifier takes it by itself, once, and not again on each of the ways that lead to it.
 */
int otp_pass_walk(uint32_t zero);
__attribute__((noinline)) int otp_pass_walk(uint32_t zero) {
    struct otp_control *control = bpf_map_lookup_elem(&otp_control, &zero);
    struct scratch *scratch = bpf_map_lookup_elem(&otp_pass_scratch, &zero);
    if (!control || !scratch)
        return -1;
    walk_stack(scratch, bpf_map_lookup_elem(&otp_pass_cache, &zero), control);
    return 0;
}

OTP_INLINE void take_stack(struct scratch *scratch, struct task_struct *task) {
    struct otp_record *record = &scratch->record;
    if (otp_kernel_frames) {
        long size = bpf_get_task_stack(task, scratch->words, OTP_KERNEL_FRAMES_MAX * sizeof(uint64_t), 0);
        if (size > 0)
            record->kernel_frames = (uint32_t)size / sizeof(uint64_t) & (OTP_KERNEL_FRAMES_MAX * 2 - 1);
    }
    otp_pass_walk(0);
    record->user_frames = scratch->count;
    record->stop = scratch->stop;
    record->directory = scratch->directory;
}

/* Unlike the CPU program's, the slot may be written meanwhile: then the thread goes without. */
OTP_INLINE void take_other_context(struct scratch *scratch, const struct otp_control *control,
                                   struct task_memory *memory) {
    struct otp_slot *slot = find_slot(control, memory);
    if (!slot)
        return;
    uint32_t generation = *(volatile uint32_t *)&slot->generation;
    take_context(scratch, slot);
    if (*(volatile uint32_t *)&slot->generation != generation)
        scratch->record.context_size = 0;
}

/* 0: both parts are in the reader's buffer. Else they come again with its next read, and nothing may have changed. */
OTP_INLINE int give(struct otp_task_iterator *context, struct scratch *scratch, struct otp_thread_state *state) {
    struct seq_file *seq = context->meta->seq;
    uint64_t size = record_size(scratch);
    OTP_BOUND(size, RECORD_WORDS * 8 - 1);
    return bpf_seq_write(seq, state, sizeof(*state)) || bpf_seq_write(seq, &scratch->record, size);
}

/* The thread's place: the one that it has in this epoch, or the next free one; 0: all are taken. */
OTP_INLINE uint32_t place_for(const struct task_memory *memory, const struct otp_control *control) {
    if (memory->place)
        return memory->place;
    return control->places < OTP_PLACES ? control->places + 1 : 0;
}

/* What the record said is told. */
OTP_INLINE void remember(struct task_memory *memory, struct otp_control *control, const struct look *look,
                         const struct otp_thread_state *state) {
    if (is_blocked(look->run)) {
        memory->seen_ns = look->now_ns;
        memory->cpu_ns = look->cpu_ns;
        memory->delay_ns = look->delay_ns;
    } else {
        memory->seen_ns += state->runnable_ns;
        memory->delay_ns += state->runnable_ns;
    }
    if (state->ran_ns)
        memory->ran_ns = look->cpu_ns;
    memory->looked_ns = look->now_ns;
    memory->switches = look->switches;
    memory->state = look->run;
    if (state->place > control->places)
        control->places = state->place;
    memory->place = state->place;
    memory->epoch = control->epoch;
    note_still(memory->epoch, memory->place, look->now_ns);
}

/* What of the thread's time is to be told now. True: anything. */
OTP_INLINE int split_time(struct otp_record *record, struct otp_thread_state *state, const struct task_memory *memory,
                          const struct look *look, uint64_t unseen_most_ns) {
    uint64_t ran = above(look->cpu_ns, memory->ran_ns);
    if (ran > unseen_most_ns)
        state->ran_ns = ran;
    uint64_t waited = above(look->delay_ns, memory->delay_ns), time = above(look->now_ns, memory->seen_ns);
    /* Runnable since the last look, and not run: all the time, of which run_delay says nothing yet. */
    if (look->run == OTP_THREAD_RUNNABLE && memory->state == OTP_THREAD_RUNNABLE && memory->switches == look->switches)
        waited = above(look->now_ns, memory->looked_ns);
    if (waited >= RUNNABLE_LEAST_NS)
        state->runnable_ns = waited < time ? waited : time;
    if (is_blocked(look->run))
        record->weight = above(above(time, state->runnable_ns), above(look->cpu_ns, memory->cpu_ns));
    return is_blocked(look->run) || state->runnable_ns;
}

/* A thread that cannot be walked, in a snapshot that ends. */
OTP_INLINE void tell_running(struct otp_task_iterator *context, struct task_struct *task, struct otp_control *control,
                             struct scratch *scratch, struct task_memory *memory, const struct look *look) {
    struct otp_thread_state state = {.syscall = -1};
    begin_record(scratch, control, task, memory, look);
    take_other_context(scratch, control, memory);
    scratch->record.flags = OTP_RECORD_SNAPSHOT;
    state.cpu_ns = look->cpu_ns;
    state.switches = look->switches;
    state.run = OTP_THREAD_RUNNING;
    if (give(context, scratch, &state))
        return;
    control->threads.told++;
    memory->snapshot = control->serial;
}

/* A thread that has registers: it does not run. Returns false if it ran off meanwhile. */
OTP_INLINE int tell(struct otp_task_iterator *context, struct task_struct *task, struct otp_control *control,
                    struct scratch *scratch, struct task_memory *memory, const struct look *look, int snapshot) {
    struct otp_thread_state state = {.syscall = -1};
    uint32_t tick = control->pass & OTP_PASS_TICK;
    begin_record(scratch, control, task, memory, look);
    int timed = tick && split_time(&scratch->record, &state, memory, look, control->interval_ns * RAN_UNSEEN);
    if (!timed && !snapshot)
        return 1;
    if (take_user_side(scratch, &state, task))
        return 1;
    take_stack(scratch, task);
    take_other_context(scratch, control, memory);
    if (task->nvcsw + task->nivcsw != look->switches || task->on_cpu)
        return 0;
    scratch->record.flags = snapshot ? OTP_RECORD_SNAPSHOT : 0;
    state.cpu_ns = look->cpu_ns;
    state.switches = look->switches;
    state.run = look->run;
    state.place = timed ? place_for(memory, control) : 0;
    state.stood_ns = memory->looked_ns;
    if (give(context, scratch, &state))
        return 1;
    control->threads.told++;
    if (timed) {
        remember(memory, control, look, &state);
        note_in_line(context, task, memory);
    }
    if (snapshot)
        memory->snapshot = control->serial;
    return 1;
}

SEC("iter/task")
int otp_threads(struct otp_task_iterator *context) {
    struct task_struct *task = context->task;
    uint32_t zero = 0;
    struct otp_control *control = bpf_map_lookup_elem(&otp_control, &zero);
    struct scratch *scratch = bpf_map_lookup_elem(&otp_pass_scratch, &zero);
    char name[16] = "";
    if (!task || !control || !scratch)
        return 0;
    if (control->pass == OTP_PASS_TICK && stands_in_line(context, task, control)) {
        control->threads.looks++;
        control->threads.unchanged++;
        return 0;
    }
    if (!in_family(control, task->tgid) || task->exit_state || !task->mm)
        return 0;
    bpf_probe_read_kernel_str(name, sizeof(name), task->comm);
    if (is_own(control, task->pid, name))
        return 0;
    control->threads.looks++;
    struct task_memory *memory = bpf_task_storage_get(&otp_tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!memory) {
        control->threads.lost++;
        return 0;
    }
    if (!memory->ns_tid)
        memory->ns_tid = ns_tid_of(task);

    struct look look;
    look_at(&look, task);
    uint32_t tick = control->pass & OTP_PASS_TICK;
    int snapshot = (control->pass & OTP_PASS_SNAPSHOT) && memory->snapshot != control->serial;
    int last = snapshot && (control->pass & OTP_PASS_LAST);
    if (tick && memory->run != control->run)
        meet(memory, control, &look, task->start_time);
    if (tick)
        catch_up(memory, control);
    if (tick && look.run != OTP_THREAD_RUNNING && stands_still(memory, &look)) {
        note_in_line(context, task, memory);
        control->threads.unchanged++;
        if (!snapshot)
            return 0;
    }
    if (look.run != OTP_THREAD_RUNNING && tell(context, task, control, scratch, memory, &look, snapshot))
        return 0;
    control->threads.moved += look.run != OTP_THREAD_RUNNING;
    if (last)
        tell_running(context, task, control, scratch, memory, &look);
    control->threads.untold += snapshot && !last;
    return 0;
}

#endif

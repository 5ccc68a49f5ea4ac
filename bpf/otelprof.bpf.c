// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs. otp_cpu runs at each clock event of a CPU: it leaves at once unless the running thread belongs to the
 * profiled process, else unwinds the thread's stack by the tables that the process made of its own .eh_frame, and
 * sends it with the thread's span context through the ring. otp_identify tells the process who the kernel takes it for.
 * otp_walk unwinds the stack of the thread that runs it.
 */
#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "context_slot.h"
#include "control.h"
#include "hook_walk.h"
#include "record.h"
#include "unwind_table.h"

char otp_license[] SEC("license") = "Dual BSD/GPL";

/* Set before load. */
const volatile uint32_t otp_index_mask = 0;    /* size of context_index - 1 */
const volatile uint32_t otp_kernel_frames = 1; /* take kernel frames too */
const volatile uint32_t otp_verdict = 0; /* 1: the event's own buffer gets the sample as well; tests compare both */

#define SHARED_ARRAY(name, entries, type_)                                                                             \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_ARRAY);                                                                              \
        __uint(map_flags, BPF_F_MMAPABLE);                                                                             \
        __uint(max_entries, entries);                                                                                  \
        __type(key, uint32_t);                                                                                         \
        __type(value, type_);                                                                                          \
    } name SEC(".maps")

/* Sizes of 1 are set by the loader. */
SHARED_ARRAY(otp_control, 1, struct otp_control);
SHARED_ARRAY(otp_counters, 1, struct otp_cpu_counters);
SHARED_ARRAY(otp_rows, 1, uint64_t);
SHARED_ARRAY(otp_pages, 1, uint64_t);
SHARED_ARRAY(otp_rules, OTP_RULES_MAX, struct otp_rule);
SHARED_ARRAY(otp_segments, 2 * OTP_SEGMENTS_MAX, struct otp_segment);
SHARED_ARRAY(otp_slots, 1, struct otp_slot);
SHARED_ARRAY(otp_index, 1, uint64_t);

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} otp_ring SEC(".maps");

/* What the program remembers of a thread. */
struct task_memory {
    uint32_t ns_tid;        /* the thread's id in its own PID namespace; 0: nothing known yet */
    uint32_t slot;          /* 1 + slot number; 0: none */
    uint32_t registrations; /* otp_control.registrations at the last search that found nothing */
    uint32_t reserved;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct task_memory);
} otp_tasks SEC(".maps");

#ifndef WINDOW      /* tests/bench tries a word */
#define WINDOW 2048 /* bytes of stack copied at a time: 8 bytes cost nearly as much */
#endif
#define CACHE 1024        /* places of the pc cache */
#define RECORD_WORDS 1024 /* a power of two above OTP_KERNEL_FRAMES_MAX + OTP_FRAMES_MAX */

struct otp_stack {
    uint64_t base; /* address of window[0] */
    uint64_t size; /* bytes that are valid */
    uint64_t sp;   /* of the frame being unwound: windows start there if that covers what is wanted */
    uint64_t reads;
    uint8_t window[WINDOW + 8];
};

static int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word);
OTP_INLINE int read_inline(struct otp_stack *stack, uint64_t address, uint64_t *word);
#define OTP_STACK_READ read_inline

#include "unwind_step.h"

struct cache_entry {
    uint64_t pc;
    struct otp_rule rule;
    uint32_t directory;
    uint32_t reserved;
};

/*
 * Working memory. A CPU has one: the CPU program runs in the clock's interrupt and is never interrupted by itself.
 * Programs that can be preempted must not use that; who runs otp_walk brings one (a place in otp_walks).
 */
struct scratch {
    struct otp_record record;
    uint64_t words[RECORD_WORDS + sizeof(struct otp_thread_record) / 8]; /* record.frames and the context */
    struct otp_frame frame;
    struct otp_leaf_registers leaf;
    uint32_t leaf_valid;
    uint32_t directory; /* in force when the walk began */
    uint32_t segment_count;
    uint32_t count; /* user frames so far */
    uint32_t stop;
    uint32_t misses;
    struct otp_segment segment; /* the last one used */
    struct otp_stack stack;
    struct cache_entry alone; /* instead of a cache */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct scratch);
} otp_scratch SEC(".maps");

SHARED_ARRAY(otp_walks, OTP_WALK_PLACES, struct scratch);

struct cache {
    struct cache_entry entries[CACHE];
};

/* Apart from the working memory: a value of a per-CPU map has 32 KiB at most (PCPU_MIN_UNIT_SIZE). */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct cache);
} otp_cache SEC(".maps");

/* What the walk goes on. */
struct walk {
    struct scratch *scratch;
    struct cache *cache;
};

/* ------------------------------------------------------------------------------------- reading the stack */

OTP_INLINE int window_fill(struct otp_stack *stack, uint64_t base) {
    uint64_t size = WINDOW;
    stack->reads++;
    stack->base = base;
    stack->size = 0;
    if (bpf_probe_read_user(stack->window, WINDOW, (const void *)base)) {
        /* A read that crosses the end of a mapping fails whole: coroutine and signal stacks end so. */
        size = 4096 - (base & 4095);
        if (size >= WINDOW)
            return -1;
        OTP_BOUND(size, WINDOW - 1);
        if (bpf_probe_read_user(stack->window, size, (const void *)base))
            return -1;
    }
    stack->size = size;
    return 0;
}

OTP_INLINE int inside(const struct otp_stack *stack, uint64_t offset) {
    return stack->size >= 8 && offset <= stack->size - 8;
}

/* Makes the window cover the word at `address`. */
static __attribute__((noinline)) int window_move(struct otp_stack *stack, uint64_t address) {
    uint64_t above = address - stack->sp;
    if (window_fill(stack, above <= WINDOW - 8 ? stack->sp : address))
        return -1;
    return inside(stack, address - stack->base) ? 0 : -1;
}

/* Without a call as a rule: where returns are made safe from speculation (AMD's SRSO), one costs as much as the rest.
 */
OTP_INLINE int read_inline(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    if (!inside(stack, address - stack->base) && window_move(stack, address))
        return -1;
    uint64_t offset = address - stack->base;
    OTP_BOUND(offset, WINDOW - 1);
    *word = *(uint64_t *)(stack->window + offset);
    return 0;
}

/* For what is rarely read: one copy for all its callers. */
static __attribute__((noinline)) int otp_stack_read(struct otp_stack *stack, uint64_t address, uint64_t *word) {
    return read_inline(stack, address, word);
}

/* ------------------------------------------------------------------------------------ rule for an address */

OTP_INLINE uint32_t pair(const uint64_t *value, uint32_t index) { return index & 1 ? *value >> 32 : (uint32_t)*value; }

OTP_INLINE int page_at(uint32_t index, uint32_t *out) {
    uint32_t key = index >> 1;
    uint64_t *value = bpf_map_lookup_elem(&otp_pages, &key);
    if (!value)
        return -1;
    *out = pair(value, index);
    return 0;
}

OTP_INLINE int row_at(uint32_t index, uint32_t *out) {
    uint32_t key = index >> 1;
    uint64_t *value = bpf_map_lookup_elem(&otp_rows, &key);
    if (!value)
        return -1;
    *out = pair(value, index);
    return 0;
}

/* Makes the segment of `pc` scratch->segment. */
static __attribute__((noinline)) int find_segment(struct scratch *scratch, uint64_t pc) {
    uint32_t first = (scratch->directory & 1) * OTP_SEGMENTS_MAX;
    uint32_t low = 0, high = scratch->segment_count;
    for (int i = 0; i < OTP_SEGMENT_STEPS; i++) {
        if (low >= high)
            break;
        uint32_t middle = (low + high) >> 1;
        uint32_t key = first + middle;
        struct otp_segment *segment = bpf_map_lookup_elem(&otp_segments, &key);
        if (!segment)
            return -1;
        if (segment->start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return -1;
    uint32_t key = first + low - 1;
    struct otp_segment *segment = bpf_map_lookup_elem(&otp_segments, &key);
    if (!segment || pc >= segment->end || pc < segment->start)
        return -1;
    scratch->segment = *segment;
    return 0;
}

/* The rule in force at `pc` in a segment with rows: that of the last row at or before it. */
static __attribute__((noinline)) uint32_t find_row(struct scratch *scratch, uint64_t pc) {
    uint32_t page = scratch->segment.first_page + (uint32_t)((pc - scratch->segment.start) >> OTP_PAGE_SHIFT);
    uint32_t offset = pc & 0xfff;
    uint32_t low, high, row;
    if (page_at(page, &low) || page_at(page + 1, &high))
        return OTP_RULE_INDEX_NONE;
    for (int i = 0; i < OTP_ROW_STEPS; i++) {
        if (low >= high)
            break;
        uint32_t middle = (low + high) >> 1;
        if (row_at(middle, &row))
            return OTP_RULE_INDEX_NONE;
        if (OTP_ROW_PC(row) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (row_at(low - 1, &row))
        return OTP_RULE_INDEX_NONE;
    return OTP_ROW_RULE(row);
}

/* Fills `entry` of the cache with the rule at `pc`. -1, or the enum otp_stop that ends the walk. */
static __attribute__((noinline)) int find_rule(struct scratch *scratch, struct cache_entry *entry, uint64_t pc) {
    if ((pc < scratch->segment.start || pc >= scratch->segment.end) && find_segment(scratch, pc))
        return OTP_STOP_UNKNOWN_MODULE;
    if (scratch->segment.flags & OTP_SEGMENT_UNCOVERED)
        return OTP_STOP_NO_TABLES;
    uint32_t number = scratch->segment.flags & OTP_SEGMENT_FRAMEPTR ? OTP_RULE_INDEX_FRAMEPTR : find_row(scratch, pc);
    struct otp_rule *rule = bpf_map_lookup_elem(&otp_rules, &number);
    if (!rule)
        return OTP_STOP_NO_ROWS;
    entry->pc = pc;
    entry->rule = *rule;
    entry->directory = scratch->directory;
    return -1;
}

/* ----------------------------------------------------------------------------------------------- the walk */

/* One frame, whose rule goes through `entry`. Returns 1 to end the loop, with scratch->stop set. */
OTP_INLINE long walk_one(struct scratch *scratch, struct cache_entry *entry, uint64_t pc) {
    struct otp_frame *frame = &scratch->frame;
    int stop;

    uint32_t at = scratch->record.kernel_frames + scratch->count;
    OTP_BOUND(at, RECORD_WORDS - 1);
    scratch->words[at] = pc;
    scratch->count++;

    if (entry->pc != pc || entry->directory != scratch->directory) {
        scratch->misses++;
        stop = find_rule(scratch, entry, pc);
        if (stop >= 0) {
            scratch->stop = stop;
            return 1;
        }
    }
    if (entry->rule.kind == OTP_RULE_SIGNAL) {
        OTP_BOUND(at, RECORD_WORDS - 1);
        scratch->words[at] = frame->pc; /* the kernel made the frame: no call stands before this address */
    }
    scratch->stack.sp = frame->sp;
    stop = otp_unwind_step(&scratch->stack, frame, &entry->rule, scratch->leaf_valid ? &scratch->leaf : 0);
    scratch->leaf_valid = 0;
    if (stop >= 0) {
        scratch->stop = stop;
        return 1;
    }
    if (!frame->pc) {
        scratch->stop = OTP_STOP_COMPLETE; /* a stack that its maker ended with a zero */
        return 1;
    }
    return 0;
}

/* The callbacks of bpf_loop. */
static long walk_frame(uint32_t index, void *context) {
    struct walk *walk = context;
    uint64_t pc = otp_frame_lookup_pc(&walk->scratch->frame);
    uint32_t place = (uint32_t)(pc ^ (pc >> 10));
    OTP_BOUND(place, CACHE - 1);
    return walk_one(walk->scratch, &walk->cache->entries[place], pc);
}

static long walk_frame_alone(uint32_t index, void *context) {
    struct walk *walk = context;
    return walk_one(walk->scratch, &walk->scratch->alone, otp_frame_lookup_pc(&walk->scratch->frame));
}

/* Ready for the first frame. False: there are no tables, and the stack is its leaf alone. */
OTP_INLINE int begin_walk(struct scratch *scratch, const struct otp_control *control) {
    scratch->directory = *(const volatile uint32_t *)&control->directory;
    scratch->segment_count = control->segment_count[scratch->directory & 1];
    scratch->segment.start = scratch->segment.end = 0;
    scratch->stack.base = scratch->stack.size = scratch->stack.reads = 0;
    scratch->count = scratch->misses = 0;
    scratch->stop = OTP_STOP_DEPTH;
    if (!scratch->directory) {
        scratch->stop = OTP_STOP_NO_TABLES;
        scratch->words[scratch->record.kernel_frames & (RECORD_WORDS - 1)] = scratch->frame.pc;
        scratch->count = 1;
        return 0;
    }
    return 1;
}

OTP_INLINE void walk_stack(struct scratch *scratch, const struct otp_control *control) {
    uint32_t zero = 0;
    if (!begin_walk(scratch, control))
        return;
    struct walk walk = {scratch, bpf_map_lookup_elem(&otp_cache, &zero)};
    if (walk.cache)
        bpf_loop(OTP_FRAMES_MAX, walk_frame, &walk, 0);
}

/* ------------------------------------------------------------------------------------------- registers */

#if defined(__TARGET_ARCH_x86)
#define TAKE_REGISTERS(scratch, regs)                                                                                  \
    do {                                                                                                               \
        (scratch)->frame.pc = (regs)->ip;                                                                              \
        (scratch)->frame.sp = (regs)->sp;                                                                              \
        (scratch)->frame.fp = (regs)->bp;                                                                              \
        (scratch)->frame.lr = 0;                                                                                       \
        uint64_t *reg = (scratch)->leaf.reg; /* DWARF numbers of the x86-64 psABI */                                   \
        reg[0] = (regs)->ax, reg[1] = (regs)->dx, reg[2] = (regs)->cx, reg[3] = (regs)->bx;                            \
        reg[4] = (regs)->si, reg[5] = (regs)->di, reg[6] = (regs)->bp, reg[7] = (regs)->sp;                            \
        reg[8] = (regs)->r8, reg[9] = (regs)->r9, reg[10] = (regs)->r10, reg[11] = (regs)->r11;                        \
        reg[12] = (regs)->r12, reg[13] = (regs)->r13, reg[14] = (regs)->r14, reg[15] = (regs)->r15;                    \
    } while (0)

OTP_INLINE int in_user_mode(const struct otp_perf_regs *regs) { return (regs->cs & 3) == 3; }

#elif defined(__TARGET_ARCH_arm64)
#define TAKE_REGISTERS(scratch, regs_)                                                                                 \
    do {                                                                                                               \
        (scratch)->frame.pc = (regs_)->pc;                                                                             \
        (scratch)->frame.sp = (regs_)->sp;                                                                             \
        (scratch)->frame.fp = (regs_)->regs[29];                                                                       \
        (scratch)->frame.lr = (regs_)->regs[30];                                                                       \
        for (int r = 0; r < 16; r++)                                                                                   \
            (scratch)->leaf.reg[r] = (regs_)->regs[r];                                                                 \
    } while (0)

OTP_INLINE int in_user_mode(const struct otp_perf_regs *regs) { return (regs->pstate & 0xf) == 0; }
#endif

/* Registers of user mode, at the interrupt or where the thread entered the kernel. -1: there are none any more. */
OTP_INLINE int take_registers(struct scratch *scratch, struct otp_perf_context *context, struct task_struct *task,
                              int user_mode) {
    scratch->frame.exact = 1;
    scratch->frame.fp_lost = 0;
    scratch->leaf_valid = 1;
    /* The two ends differ so that the compiler cannot make one load of both: to the verifier, the context and kernel
     * memory are pointers of different kinds. By an instruction: two lines at one place are a load error. */
    uint32_t end;
    if (user_mode) {
        TAKE_REGISTERS(scratch, &context->regs);
        asm volatile("%0 = 1" : "=r"(end)::"memory");
        return 0;
    }
    if (!task->mm)
        return -1;
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    TAKE_REGISTERS(scratch, regs);
    asm volatile("%0 = 2" : "=r"(end)::"memory");
    return 0;
}

/* ------------------------------------------------------------------------------------- who is running */

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

static __attribute__((noinline)) uint32_t search_index(uint32_t tid) {
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
    memory->slot = search_index(memory->ns_tid);
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

/* ------------------------------------------------------------------------------------------- programs */

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

OTP_INLINE void send(struct scratch *scratch, struct otp_control *control, struct otp_cpu_counters *counters) {
    uint64_t flags = BPF_RB_NO_WAKEUP;
    if (scratch->stop == OTP_STOP_UNKNOWN_MODULE && !control->rescan_wanted) {
        control->rescan_wanted = 1;
        counters->wakeups++;
        flags = BPF_RB_FORCE_WAKEUP;
    }
    uint64_t size = sizeof(struct otp_record) +
                    (scratch->record.kernel_frames + scratch->record.user_frames) * sizeof(uint64_t) +
                    scratch->record.context_size;
    OTP_BOUND(size, RECORD_WORDS * 8 - 1);
    if (bpf_ringbuf_output(&otp_ring, &scratch->record, size, flags))
        counters->ring_full++;
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
    counters->fired++;

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
    record->weight = control->interval_ns;
    if (!user_mode)
        take_kernel_frames(scratch, context, counters);
    if (take_registers(scratch, context, task, user_mode)) {
        scratch->stop = OTP_STOP_EXITING;
        scratch->count = 0;
        scratch->directory = control->directory;
    } else {
        walk_stack(scratch, control);
    }
    record->user_frames = scratch->count;
    record->stop = scratch->stop;
    record->directory = scratch->directory;
    struct otp_slot *slot = find_slot(control, memory);
    if (slot)
        take_context(scratch, slot);
    counters->stops[scratch->stop & 15]++;
    counters->frames += scratch->count;
    counters->with_span += record->context_size != 0;
    counters->cache_hits += scratch->count - scratch->misses;
    counters->cache_misses += scratch->misses;
    counters->window_reads += scratch->stack.reads;
    send(scratch, control, counters);
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
    struct walk walk = {scratch, 0};
    if (begin_walk(scratch, control))
        bpf_loop(OTP_FRAMES_MAX, walk_frame_alone, &walk, 0);
    request->count = scratch->count;
    request->stop = scratch->stop;
    request->directory = scratch->directory;
    return 0;
}

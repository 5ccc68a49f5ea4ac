// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The few kernel types that the programs touch, by hand: with CO-RE only names matter, so that neither BTF nor
 * kernel headers are needed on the build machine. Structures the kernel fixes for user space (the perf context)
 * are spelled out in full and are not relocated.
 */
#ifndef OTP_BPF_KERNEL_TYPES_H
#define OTP_BPF_KERNEL_TYPES_H

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;

/* The names bpf_helper_defs.h uses. */
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int16_t __s16;
typedef int32_t __s32;
typedef int64_t __s64;
typedef uint16_t __be16;
typedef uint32_t __be32;
typedef uint32_t __wsum;

enum {
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_RINGBUF = 27,
    BPF_MAP_TYPE_TASK_STORAGE = 29
};
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1024 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };

#define OTP_CORE __attribute__((preserve_access_index))

struct upid {
    int nr;
} OTP_CORE;

struct pid {
    unsigned int level;
    struct upid numbers[1];
} OTP_CORE;

struct mm_struct;

struct sched_entity {
    uint64_t sum_exec_runtime;
} OTP_CORE;

struct sched_info {
    unsigned long long run_delay;
} OTP_CORE;

struct task_struct {
    struct mm_struct *mm;
    struct pid *thread_pid;
    int pid;
    int tgid;
    unsigned int __state; /* "state" before Linux 5.14 */
    int exit_state;
    int on_cpu;
    unsigned long nvcsw;
    unsigned long nivcsw;
    uint64_t start_time;
    char comm[16];
    struct sched_entity se;
    struct sched_info sched_info;
} OTP_CORE;

/* Of __state: include/linux/sched.h. */
enum { OTP_TASK_INTERRUPTIBLE = 1, OTP_TASK_UNINTERRUPTIBLE = 2, OTP_TASK_STOPPED = 4, OTP_TASK_TRACED = 8 };

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
    uint64_t seq_num; /* objects before this one */
} OTP_CORE;

/* What a program of type iter/task gets: struct bpf_iter__task, in which a pointer takes 8 bytes. */
struct otp_task_iterator {
    struct bpf_iter_meta *meta;
    struct task_struct *task; /* NULL: the end */
};

#if defined(__TARGET_ARCH_x86)

/* Kernel struct pt_regs, by name. */
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
    unsigned long orig_ax, ip, flags, sp;
} OTP_CORE;

/* bpf_user_pt_regs_t of include/uapi/asm/bpf_perf_event.h: fixed for user space. */
struct otp_perf_regs {
    uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#elif defined(__TARGET_ARCH_arm64)

struct user_pt_regs {
    uint64_t regs[31];
    uint64_t sp;
    uint64_t pc;
    uint64_t pstate;
};

/* Kernel struct pt_regs: struct user_pt_regs in an anonymous union, so CO-RE finds the members by name. */
struct pt_regs {
    uint64_t regs[31];
    uint64_t sp;
    uint64_t pc;
    uint64_t pstate;
    uint64_t orig_x0;
    int32_t syscallno;
} OTP_CORE;

#define otp_perf_regs user_pt_regs

#else
#error "otelprof knows x86-64 and arm64"
#endif

/* What a program of type perf_event gets. */
struct otp_perf_context {
    struct otp_perf_regs regs;
    uint64_t sample_period;
    uint64_t addr;
};

#endif

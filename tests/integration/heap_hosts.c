// SPDX-License-Identifier: Apache-2.0
/*
 * Hosts under the heap profile: their memory keeps its contents, their calls keep their answers, nothing hangs, and the
 * account is exact.
 *
 *     heap_hosts OUTPUT_DIR allocators         all functions, on several threads, blocks freed by others; all freed at
 * the end heap_hosts OUTPUT_DIR switching          the profile off and on 1,000 times meanwhile heap_hosts OUTPUT_DIR
 * loading MODULE     a library loaded and unloaded 1,000 times meanwhile heap_hosts OUTPUT_DIR forks children of all
 * kinds heap_hosts OUTPUT_DIR filter|filter-all  a seccomp filter that kills for bpf(2), perf_event_open(2) and
 *                                              process_vm_readv(2), on the calling thread or on all of them
 *     heap_hosts OUTPUT_DIR full               more live blocks than are followed
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <otelprof/otelprof.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

#define THREADS 3
#define BLOCKS 200 /* of a thread */
#define SHARED 64
#define INTERVAL 65536

static const char *directory, *module_path;
static volatile size_t absurd = (size_t)-1 / 2; /* that the compiler does not warn of */
static int errno_of_calloc, errno_of_realloc;   /* after calls that are refused, without the library */
static _Atomic bool ending;
static _Atomic uint64_t rounds;

static void ask_the_allocator(void) {
    void *block = malloc(100);
    errno = 0;
    EXPECT(calloc(absurd, 4) == NULL);
    errno_of_calloc = errno;
    errno = 0;
    EXPECT(realloc(block, absurd / 2) == NULL);
    errno_of_realloc = errno;
    free(block);
}

static void start(int64_t interval) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    options.output_dir = directory;
    options.window_ms = 300;
    options.start_timeout_ms = 20000;
    options.profiles = OTELPROF_CPU | OTELPROF_HEAP;
    options.heap_interval_bytes = interval;
    options.output_max_files = 20;
    GIVES(0, otelprof_init(&options));
}

static struct otelprof_stats stats(void) {
    struct otelprof_stats now = {.size = sizeof(now)};
    otelprof_stats(&now);
    return now;
}

/* -------------------------------------------------------------------------------------------- the load */

/* A block tells who it is at both ends. */
struct tagged {
    size_t size;
    uint64_t tag;
};

static _Atomic(struct tagged *) shared[SHARED];

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    return *random ^= *random << 17;
}

static struct tagged *mark(void *memory, size_t size, uint64_t tag) {
    struct tagged *block = memory;
    expect(block != NULL, __LINE__, "%zu bytes", size);
    if (!block)
        abort();
    block->size = size;
    block->tag = tag;
    memcpy((char *)memory + size - sizeof(tag), &tag, sizeof(tag));
    return block;
}

static void check(const struct tagged *block) {
    uint64_t end;
    memcpy(&end, (const char *)block + block->size - sizeof(end), sizeof(end));
    expect(end == block->tag, __LINE__, "a block of %zu bytes has lost its contents", block->size);
}

static void *allocate(uint64_t *random, size_t size) {
    void *block = NULL;
    switch (next_random(random) % 8) {
    case 0:
        block = calloc(1, size);
        for (size_t i = 0; i < size; i += 509)
            EXPECT(((char *)block)[i] == 0);
        return block;
    case 1:
        EXPECT(posix_memalign(&block, 64, size) == 0 && (uintptr_t)block % 64 == 0);
        return block;
    case 2:
        block = aligned_alloc(32, (size + 31) & ~(size_t)31);
        EXPECT((uintptr_t)block % 32 == 0);
        return block;
    case 3:
        block = memalign(128, size);
        EXPECT((uintptr_t)block % 128 == 0);
        return block;
    case 4:
        return reallocarray(NULL, size, 1);
    default:
        return malloc(size);
    }
}

static struct tagged *new_block(uint64_t *random) {
    uint64_t choice = next_random(random);
    size_t size = sizeof(struct tagged) + 8 + choice % (choice % 64 ? 500 : 100000);
    return mark(allocate(random, size), size, next_random(random));
}

static struct tagged *resize(struct tagged *block, uint64_t *random) {
    size_t size = sizeof(struct tagged) + 8 + next_random(random) % 3000;
    uint64_t tag = block->tag;
    check(block);
    errno = 0;
    EXPECT(realloc(block, absurd / 2) == NULL && errno == errno_of_realloc);
    check(block);
    struct tagged *larger = realloc(block, size);
    EXPECT(larger->tag == tag);
    return mark(larger, size, tag);
}

static void release(struct tagged *block) {
    if (block)
        check(block);
    free(block);
}

/* A block goes to a place where any thread may take it out. */
static void hand_on(struct tagged *block, uint64_t *random) {
    release(atomic_exchange(&shared[next_random(random) % SHARED], block));
}

static void some_calls(struct tagged **blocks, uint64_t *random) {
    for (int i = 0; i < 100; i++) {
        struct tagged **place = &blocks[next_random(random) % BLOCKS];
        switch (next_random(random) % 4) {
        case 0:
            if (*place)
                *place = resize(*place, random);
            break;
        case 1:
            if (*place)
                hand_on(*place, random);
            *place = NULL;
            break;
        default:
            release(*place);
            *place = new_block(random);
        }
    }
    char *copy = strdup("libc's own call of malloc");
    free(copy);
    errno = 0;
    EXPECT(calloc(absurd, 4) == NULL && errno == errno_of_calloc);
}

static void free_all(struct tagged **blocks) {
    for (int i = 0; i < BLOCKS; i++) {
        release(blocks[i]);
        blocks[i] = NULL;
    }
}

static void *load(void *argument) {
    static _Thread_local struct tagged *blocks[BLOCKS];
    uint64_t random = 88172645463325252u + (uintptr_t)argument;
    while (!atomic_load(&ending)) {
        some_calls(blocks, &random);
        atomic_fetch_add(&rounds, 1);
    }
    free_all(blocks);
    return NULL;
}

static pthread_t threads[THREADS];

static void begin_load(void) {
    for (uintptr_t i = 0; i < THREADS; i++)
        GIVES(0, pthread_create(&threads[i], NULL, load, (void *)i));
}

static void end_load(void) {
    atomic_store(&ending, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED; i++)
        release(atomic_exchange(&shared[i], NULL));
}

static uint64_t lost(const struct otelprof_stats *now) {
    return now->lost_ring_full + now->lost_decode + now->lost_memory + now->lost_window_dropped +
           now->lost_export_failed + now->lost_shutdown + now->lost_scratch + now->delivery_unknown;
}

/* After the end of the load. */
static void expect_account(void) {
    GIVES(0, otelprof_flush(20000));
    struct otelprof_stats now = stats();
    expect(now.heap_live_blocks < 30, __LINE__, "all is freed, but %llu blocks are live",
           (unsigned long long)now.heap_live_blocks);
    GIVES(0, otelprof_disable(OTELPROF_CPU | OTELPROF_HEAP));
    GIVES(0, otelprof_flush(20000));
    now = stats();
    printf("rounds %llu, fired %llu of which heap %llu, lost %llu, live lost %llu, lost frees %llu, unbounded %llu, "
           "complete %llu, reentered %llu\n",
           (unsigned long long)atomic_load(&rounds), (unsigned long long)now.samples_fired,
           (unsigned long long)now.heap_samples, (unsigned long long)lost(&now), (unsigned long long)now.heap_live_lost,
           (unsigned long long)now.heap_lost_frees, (unsigned long long)now.heap_stacks_unbounded,
           (unsigned long long)now.stack_stops[0], (unsigned long long)now.heap_reentered);
    GIVES(now.samples_fired, now.samples_exported + lost(&now));
    EXPECT(now.heap_samples > 1000);
    GIVES(0, now.hook_words_failed);
    GIVES(0, now.heap_live_blocks);
    GIVES(0, now.hook_words);
}

static void pass_time(uint64_t milliseconds) {
    uint64_t until = expect_clock_ms(CLOCK_MONOTONIC) + milliseconds;
    while (expect_clock_ms(CLOCK_MONOTONIC) < until)
        usleep(10000);
}

/* -------------------------------------------------------------------------------------------- the hosts */

static void allocators(void) {
    begin_load();
    pass_time(2500);
    GIVES(OTELPROF_STATE_RUNNING, otelprof_state());
    EXPECT(stats().hook_words > 20);
    end_load();
    GIVES(0, stats().heap_lost_frees);
    expect_account();
}

static void switching(void) {
    uint64_t words = stats().hook_words;
    begin_load();
    for (int i = 0; i < 1000; i++) {
        GIVES(0, otelprof_disable(OTELPROF_HEAP));
        GIVES(0, stats().hook_words);
        GIVES(0, otelprof_enable(OTELPROF_HEAP));
        GIVES(0, otelprof_heap_interval(INTERVAL));
        usleep(500);
    }
    GIVES(words, stats().hook_words);
    pass_time(500);
    end_load();
    expect_account();
}

typedef void *(*allocate_fn)(size_t size);
typedef void (*release_fn)(void *block);

static void use_module(void *module, int count) {
    allocate_fn module_allocate;
    release_fn module_release;
    void *blocks[100];
    *(void **)&module_allocate = dlsym(module, "module_allocate");
    *(void **)&module_release = dlsym(module, "module_release");
    for (int i = 0; i < count; i++)
        blocks[i] = module_allocate(100000);
    for (int i = 0; i < count; i++)
        module_release(blocks[i]);
}

static void module_is_seen(void) {
    void *module = dlopen(module_path, RTLD_NOW);
    expect(module != NULL, __LINE__, "%s", module_path);
    if (!module)
        return;
    usleep(500000);
    uint64_t before = stats().heap_samples;
    use_module(module, 100);
    usleep(500000);
    EXPECT(stats().heap_samples >= before + 50); /* of 100,000 bytes, 78 in 100 are chosen */
    GIVES(0, dlclose(module));
}

static void *load_and_unload(void *argument) {
    (void)argument;
    for (int i = 0; i < 500; i++) {
        void *module = dlopen(module_path, i % 2 ? RTLD_NOW : RTLD_LAZY);
        EXPECT(module != NULL);
        if (module)
            use_module(module, 3);
        if (module)
            GIVES(0, dlclose(module));
    }
    return NULL;
}

static void loading(void) {
    pthread_t other;
    module_is_seen();
    uint64_t words = stats().hook_words;
    begin_load();
    GIVES(0, pthread_create(&other, NULL, load_and_unload, NULL));
    load_and_unload(NULL);
    pthread_join(other, NULL);
    GIVES(words, stats().hook_words);
    module_is_seen();
    end_load();
    expect_account();
}

/* A child allocates, frees what its parent allocated, and sees the library off. */
static int child_work(struct tagged **inherited) {
    static struct tagged *blocks[BLOCKS];
    uint64_t random = 77;
    some_calls(blocks, &random);
    free_all(inherited);
    free_all(blocks);
    return otelprof_state() != OTELPROF_STATE_OFF || atomic_load(&expect_failures) ? 1 : 0;
}

static pid_t vforked(void) {
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    return child;
}

/* malloc() is not for a child of _Fork() in a process of several threads. */
static pid_t forked(struct tagged **blocks, bool plain) {
    pid_t child = plain ? _Fork() : fork();
    if (child == 0) {
        alarm(20);
        _exit(plain ? otelprof_state() != OTELPROF_STATE_OFF : child_work(blocks));
    }
    return child;
}

static void forks(void) {
    static struct tagged *blocks[BLOCKS];
    uint64_t random = 99;
    begin_load();
    for (int i = 0; i < 300; i++) {
        int status = -1;
        some_calls(blocks, &random);
        pid_t child = i % 3 == 2 ? vforked() : forked(blocks, i % 3 == 0);
        GIVES(child, waitpid(child, &status, 0));
        expect(status == 0, __LINE__, "child %d: status 0x%x", i, (unsigned)status);
    }
    free_all(blocks);
    end_load();
    expect_account();
}

static int kill_callers(unsigned flags) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void filtered(bool all) {
    char text[2048];
    GIVES(0, kill_callers(all ? SECCOMP_FILTER_FLAG_TSYNC : 0));
    begin_load(); /* its threads are under the filter in either case */
    pass_time(1500);
    void *library = dlopen("libresolv.so.2", RTLD_NOW); /* tables for something new */
    EXPECT(library != NULL);
    pass_time(1000);
    GIVES(all ? OTELPROF_STATE_DEGRADED : OTELPROF_STATE_RUNNING, otelprof_state());
    otelprof_diagnose(text, sizeof(text));
    if (all)
        expect(strstr(text, "a seccomp filter was installed after the start") != NULL, __LINE__, "it says: %s", text);
    uint64_t before = stats().heap_samples;
    pass_time(500);
    EXPECT(stats().heap_samples > before);
    end_load();
    expect_account();
    GIVES(0, otelprof_shutdown(10000));
}

static void filter(void) { filtered(false); }
static void filter_all(void) { filtered(true); }

/* Far more live blocks than are followed: samples lie further apart, and what is said of live memory stays right. */
static void full(void) {
    enum { COUNT = 200000, SIZE = 1000 };
    void **blocks = malloc(COUNT * sizeof(*blocks));
    uint64_t before = stats().heap_interval_bytes;
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = malloc(SIZE);
        if (i % 2000 == 0)
            usleep(20000);
    }
    GIVES(0, otelprof_flush(20000));
    struct otelprof_stats now = stats();
    printf("interval %llu, live %llu, lost %llu, thinned %llu\n", (unsigned long long)now.heap_interval_bytes,
           (unsigned long long)now.heap_live_blocks, (unsigned long long)now.heap_live_lost,
           (unsigned long long)now.heap_live_thinned);
    EXPECT(now.heap_interval_bytes > before);
    EXPECT(now.heap_live_blocks > 2000 && now.heap_live_blocks <= 16384);
    EXPECT(now.heap_live_thinned > 1000);
    GIVES(0, now.heap_live_lost);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    free(blocks);
    expect_account();
}

static const struct {
    const char *name;
    void (*run)(void);
    int64_t interval;
} hosts[] = {{"allocators", allocators, INTERVAL},
             {"switching", switching, INTERVAL},
             {"loading", loading, INTERVAL},
             {"forks", forks, INTERVAL},
             {"filter", filter, INTERVAL},
             {"filter-all", filter_all, INTERVAL},
             {"full", full, 4096}};

int main(int argc, char **argv) {
    directory = argc > 2 ? argv[1] : NULL;
    module_path = argc > 3 ? argv[3] : NULL;
    for (size_t i = 0; directory && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strcmp(hosts[i].name, argv[2]))
            continue;
        ask_the_allocator();
        start(hosts[i].interval);
        hosts[i].run();
        otelprof_shutdown(10000);
        return atomic_load(&expect_failures) != 0;
    }
    fprintf(stderr, "usage: heap_hosts OUTPUT_DIR HOST [MODULE]\n");
    return 2;
}

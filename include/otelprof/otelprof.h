// SPDX-License-Identifier: Apache-2.0
/*
 * otelprof: a profiler that a C or C++ service carries inside itself.
 *
 * This header is the manual. Read it from top to bottom: a tour, lifecycle, options, spans, threads, then what
 * the library tells about itself.
 *
 *     #include <otelprof/otelprof.h>
 *
 *     int main(void) {
 *         otelprof_init(NULL);                       // everything from the environment
 *         ...
 *         struct otelprof_span_token span = otelprof_span_enter(trace_id, span_id, OTELPROF_FLAG_SAMPLED);
 *         otelprof_span_attribute("http.route", "/users/{id}");
 *         handle_request();
 *         otelprof_span_exit(span);
 *         ...
 *         otelprof_shutdown(5000);                   // writes the last window
 *     }
 *
 * A failure to start is never the service's problem: otelprof_init() returns an error, the state is
 * OTELPROF_STATE_OFF with a reason, and every other call stays safe and does nothing. Nothing is written to
 * stdout or stderr unless OTELPROF_LOG=stderr asks for it.
 *
 * What every function promises unless its comment says otherwise:
 *   threads   may be called from any thread, at any time: before init, after a failed init, after shutdown.
 *   signals   not async-signal-safe.
 *   fork      in a forked child every call sees state "off" until the child initialises again (see `fork` below).
 *   errno     is left as it was.
 *   strings   passed in are copied, or used only during the call; they are never kept.
 *   returns   0 or a positive value for success, a negative enum otelprof_error for failure.
 */
#ifndef OTELPROF_OTELPROF_H
#define OTELPROF_OTELPROF_H

#include <stddef.h>
#include <stdint.h>

#include <otelprof/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OTELPROF_API __attribute__((visibility("default")))
#else
#define OTELPROF_API
#endif

/* ------------------------------------------------------------------------------------------- errors */

/* What a call can answer. Values are part of the ABI. Since 0.1. */
enum otelprof_error {
    OTELPROF_OK = 0,
    OTELPROF_E_INVALID = -1,   /* an argument or an option has no meaning; nothing was changed */
    OTELPROF_E_ALREADY = -2,   /* already running (here, or in another copy of the library in this process) */
    OTELPROF_E_BUSY = -3,      /* another thread is starting or stopping right now */
    OTELPROF_E_STATE = -4,     /* not running, so the call has nothing to act on */
    OTELPROF_E_PRIVILEGE = -5, /* the kernel refused; otelprof_diagnose() names the capability */
    OTELPROF_E_KERNEL = -6,    /* the kernel lacks a feature that is needed */
    OTELPROF_E_MEMORY = -7,    /* out of memory, or over a limit on memory */
    OTELPROF_E_SYSTEM = -8,    /* a system call failed; otelprof_last_error() names it */
    OTELPROF_E_TIMEOUT = -9,   /* the time given ran out; the work goes on in the background */
    OTELPROF_E_LIMIT = -10,    /* a stated limit is reached (keys, slots, nesting, length) */
    OTELPROF_E_ORDER = -11,    /* span calls out of order, on another thread, or a token used twice */
    OTELPROF_E_DISABLED = -12, /* switched off by OTEL_SDK_DISABLED or OTELPROF_DISABLED */
    OTELPROF_E_EXPORT = -13,   /* a profile could not be written or delivered */
};

/* The name of an error as a constant string ("OTELPROF_E_BUSY: ..."). Never NULL; async-signal-safe. Since 0.1. */
OTELPROF_API const char *otelprof_strerror(int error);

/*
 * One sentence about the last call that failed on the calling thread: what failed, on which object, with which
 * errno. "" if none did. Owned by the library, valid until the thread's next otelprof call. Since 0.1.
 */
OTELPROF_API const char *otelprof_last_error(void);

/* ----------------------------------------------------------------------------------------- lifecycle */

/* Since 0.1. */
enum otelprof_state {
    OTELPROF_STATE_OFF = 0,      /* never started, failed to start, or a forked child */
    OTELPROF_STATE_STARTING = 1, /* otelprof_init() is at work, or timed out and goes on in the background */
    OTELPROF_STATE_RUNNING = 2,  /* every profile type that was asked for is being taken */
    OTELPROF_STATE_DEGRADED = 3, /* running, but something that was asked for is not possible */
    OTELPROF_STATE_STOPPED = 4,  /* after otelprof_shutdown(); otelprof_init() starts anew */
};

/* Profile types, as bits. This release takes all of them. Since 0.1. */
enum otelprof_profile_type {
    OTELPROF_CPU = 1,
    OTELPROF_WALL = 2,     /* see "waiting" below */
    OTELPROF_HEAP = 4,     /* see "heap" below */
    OTELPROF_LOCK = 8,     /* see "locks" below */
    OTELPROF_THREADS = 16, /* see "waiting" below */
};

/* How much each CPU sample keeps. Since 0.1. */
enum otelprof_detail {
    OTELPROF_DETAIL_FULL = 0,   /* timestamps, thread id, thread name, CPU number, span (the default) */
    OTELPROF_DETAIL_NAMED = 1,  /* timestamps, thread name, span */
    OTELPROF_DETAIL_MERGED = 2, /* no timestamps: equal samples become one with a count */
};

/* How profiles reach a receiver. Since 0.1. */
enum otelprof_protocol {
    OTELPROF_PROTOCOL_GRPC = 0, /* OTLP/gRPC: HTTP/2, port 4317 */
    OTELPROF_PROTOCOL_HTTP = 1, /* OTLP/HTTP with protobuf, port 4318 */
};

/* How the stack of a chosen allocation is taken. Since 0.1. */
enum otelprof_heap_capture {
    OTELPROF_HEAP_CAPTURE_USER = 0, /* by the thread itself: no system call, no privilege */
    OTELPROF_HEAP_CAPTURE_BPF = 1,  /* by a program of the kernel that the thread runs on itself: a bpf(2) call in the
                                       host's name, which a seccomp filter of the host must allow */
};

/* Since 0.1. */
enum otelprof_compression {
    OTELPROF_COMPRESSION_NONE = 0,
    OTELPROF_COMPRESSION_GZIP = 1,
};

/* What happens in a forked child. Since 0.1. */
enum otelprof_fork_mode {
    OTELPROF_FORK_OFF = 0,    /* the child is off until it calls otelprof_init() itself (default when linked) */
    OTELPROF_FORK_FOLLOW = 1, /* started again at the child's next otelprof_init or span call, on a thread of its own;
                                 under `otelprof run` without any call */
};

/* Severity of a log message. Since 0.1. */
enum otelprof_log_level {
    OTELPROF_LOG_ERROR = 0,
    OTELPROF_LOG_WARN = 1,
    OTELPROF_LOG_INFO = 2,
    OTELPROF_LOG_DEBUG = 3,
};

/*
 * Receives one message, without a newline. Called on the thread that noticed the event: the caller of
 * otelprof_init(), or a thread of the library; never two at once. Must not call otelprof functions other than
 * otelprof_state() and otelprof_strerror(). `message` is valid during the call only.
 */
typedef void (*otelprof_log_fn)(void *user, enum otelprof_log_level level, const char *message);

/*
 * Receives one encoded ExportProfilesServiceRequest (protobuf, uncompressed) instead of the configured output.
 * Called on the thread "otelprof-export". Returns 0 when the bytes were taken, anything else counts them as lost.
 * `bytes` is valid during the call only. It may take its time: sampling does not wait, but windows that do not fit
 * the queue meanwhile are dropped and counted.
 */
typedef int (*otelprof_export_fn)(void *user, const void *bytes, size_t size);

/* An integer option that was not set. It differs from 0. Pointers that are not set are NULL. */
#define OTELPROF_UNSET (-1)

/*
 * Options of otelprof_init(). Initialise with OTELPROF_OPTIONS_INIT, then set what you want. For each field: the
 * value set here, else the environment variable, else the default. A variable that is empty counts as not set;
 * one that cannot be understood is reported through the logger and ignored. Processes with raised privileges
 * (AT_SECURE: setuid, file capabilities) do not read the environment at all. Since 0.1.
 */
struct otelprof_options {
    size_t size; /* sizeof(struct otelprof_options): lets old programs run with newer libraries */

    const char *service_name;        /* OTEL_SERVICE_NAME; default unknown_service:EXECUTABLE */
    const char *service_version;     /* service.version of OTEL_RESOURCE_ATTRIBUTES */
    const char *service_namespace;   /* service.namespace of OTEL_RESOURCE_ATTRIBUTES */
    const char *resource_attributes; /* OTEL_RESOURCE_ATTRIBUTES: "key=value,key=value", percent-encoded */

    int64_t profiles; /* OTELPROF_PROFILES=cpu,...: bits of enum otelprof_profile_type; default: all of this release */
    int64_t rate_hz;  /* OTELPROF_RATE: CPU samples a second on each CPU, 1 to 10000; default 99 */
    /* OTELPROF_WINDOW_MS: length of an export window, 100 to 600000; default 10000. One that has half of the memory
     * that a window may take ends earlier, while the exporter keeps up. */
    int64_t window_ms;
    int64_t detail;        /* OTELPROF_DETAIL=full|named|merged: enum otelprof_detail; default full */
    int64_t kernel_frames; /* OTELPROF_KERNEL_FRAMES: 1 takes the kernel part of stacks too (default), 0 does not */
    /* OTELPROF_MAX_THREADS: threads that can be inside spans at once, 16 to 65536; default 1024. Each takes 576 bytes
     * of kernel memory. A thread without a slot is a counted loss. */
    int64_t max_threads;
    /* OTELPROF_MEMORY_LIMIT: for windows, requests and caches together, at least 16 MiB; default 32 MiB. Beside it: as
     * much again for the moment in which a module's debug information is read, and what libraries keep (libbpf, and for
     * the network libcurl and OpenSSL: 2 to 6 MiB). */
    int64_t memory_limit_bytes;
    /* OTELPROF_START_TIMEOUT_MS: how long otelprof_init() waits until attached; default 2000. */
    int64_t start_timeout_ms;
    int64_t fork_mode;       /* OTELPROF_FORK=off|follow: enum otelprof_fork_mode; default off */
    int64_t publish_context; /* OTELPROF_PUBLISH_CONTEXT: 1 (default) publishes the OpenTelemetry process context */

    /*
     * Where profiles go: to export_bytes if it is set; else as files to output_dir if that is set, and to a receiver if
     * an endpoint is set; if neither is, to the receiver at http://localhost:4317.
     *
     * OTELPROF_ENDPOINT, else OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT, else OTEL_EXPORTER_OTLP_ENDPOINT: a URL, or
     * HOST:PORT. Over http/protobuf "v1development/profiles" is added to its path; the URL of
     * OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT is taken as it is. https means TLS. Default: port 4317 (gRPC) or 4318
     * (http/protobuf) of localhost, in clear text.
     *
     * For each OTEL_EXPORTER_OTLP_X below, OTEL_EXPORTER_OTLP_PROFILES_X goes first.
     */
    const char *endpoint;
    /* OTEL_EXPORTER_OTLP_PROTOCOL=grpc|http/protobuf: enum otelprof_protocol. Not set: http/protobuf if the endpoint
     * has port 4318 or a path, else gRPC. */
    int64_t protocol;
    /* OTEL_EXPORTER_OTLP_HEADERS: "name=value,name=value", values percent-encoded; sent with each request. Never in
     * logs, errors or profiles. */
    const char *headers;
    int64_t compression; /* OTEL_EXPORTER_OTLP_COMPRESSION=gzip|none: enum otelprof_compression; default gzip */
    /* OTEL_EXPORTER_OTLP_CERTIFICATE: PEM file of those who may vouch for the receiver; default: the system's. */
    const char *certificate;
    /* OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY: PEM files to show to the receiver. Both or none. */
    const char *client_certificate;
    const char *client_key;
    /* OTEL_EXPORTER_OTLP_INSECURE: 1 means clear text for an endpoint without http:// or https://; default 0 */
    int64_t insecure;
    /* OTEL_EXPORTER_OTLP_TIMEOUT: of one attempt to send a request, in ms, to 600000; default 10000. 0: none but the
     * longest. What may be taken later is tried again for 5 minutes, at growing distances of 30 s at most. */
    int64_t export_timeout_ms;
    /* OTELPROF_PROXY: URL of an HTTP proxy; "none": none. Not set: https_proxy, HTTPS_PROXY or http_proxy, by the
     * endpoint's scheme, but for the hosts in no_proxy or NO_PROXY, and never for localhost. */
    const char *proxy;

    const char *output_dir; /* OTELPROF_OUTPUT_DIR: OTLP files go there (created if missing) */
    /* OTELPROF_OUTPUT_MAX_BYTES: of all profiles in output_dir, those of earlier runs and of other processes included;
     * the oldest go first. Default 256 MiB. */
    int64_t output_max_bytes;
    int64_t output_max_files; /* OTELPROF_OUTPUT_MAX_FILES: likewise, their number; default 1000 */

    otelprof_log_fn log; /* default: none. OTELPROF_LOG=stderr writes to stderr instead, if this is not set */
    void *log_user;
    int64_t log_level; /* OTELPROF_LOG_LEVEL=error|warn|info|debug; default info */

    otelprof_export_fn export_bytes; /* instead of files and receivers */
    void *export_user;

    int64_t ring_bytes; /* OTELPROF_RING_BYTES: of the kernel's ring, 4096 to 16 MiB, rounded up to a power of two;
                           default: what 600 ms at the rate take, 256 KiB at least */

    /* OTELPROF_HEAP_INTERVAL: mean distance in bytes between two allocations that the heap profile takes, 1 to 2^40;
     * default 524288. See otelprof_heap_interval(). */
    int64_t heap_interval_bytes;
    /* OTELPROF_HEAP_LIVE_MAX: how many of them are followed until they are freed, 256 to 1048576; default 16384. Where
     * three quarters of that are live, the interval doubles, and half of them are left out. Each may take 350 bytes of
     * memory, beside memory_limit_bytes. */
    int64_t heap_live_max;
    int64_t heap_capture; /* OTELPROF_HEAP_CAPTURE=user|bpf: enum otelprof_heap_capture, of locks too; default user */

    /* OTELPROF_LOCK_INTERVAL: mean distance in nanoseconds of waiting between two waits that the lock profile takes, 1
     * to 2^40; default 100000. It doubles where there are more than 1,000 a second, and comes back. */
    int64_t lock_interval_ns;

    /* OTELPROF_WALL_RATE: looks a second at all threads for the wall profile, 1 to 1000; default 99. */
    int64_t wall_rate_hz;
    /* OTELPROF_WALL_BUDGET: what these looks may take, in thousandths of one core, 0 to 1000; default 10. Where they
     * would take more they come less often, and each stands for more time. 0: as much as they take. */
    int64_t wall_budget_permille;
};

#define OTELPROF_OPTIONS_INIT                                                                                          \
    {                                                                                                                  \
        sizeof(struct otelprof_options), NULL, NULL, NULL, NULL, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET,       \
            OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET,            \
            OTELPROF_UNSET, NULL, OTELPROF_UNSET, NULL, OTELPROF_UNSET, NULL, NULL, NULL, OTELPROF_UNSET,              \
            OTELPROF_UNSET, NULL, NULL, OTELPROF_UNSET, OTELPROF_UNSET, NULL, NULL, OTELPROF_UNSET, NULL, NULL,        \
            OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET, OTELPROF_UNSET,            \
            OTELPROF_UNSET                                                                                             \
    }

/*
 * Starts profiling this process. `options` may be NULL: everything from the environment. Returns when the kernel
 * programs are attached (so a host may drop its privileges next), or after start_timeout_ms. Safe from a
 * constructor, and from several threads at once: one starts, the others get OTELPROF_E_BUSY.
 *
 * Errors: OTELPROF_E_INVALID an option is out of range (nothing started); OTELPROF_E_ALREADY running here or in
 * another copy of the library; OTELPROF_E_BUSY; OTELPROF_E_DISABLED; OTELPROF_E_PRIVILEGE, OTELPROF_E_KERNEL,
 * OTELPROF_E_MEMORY, OTELPROF_E_SYSTEM: off, otelprof_diagnose() says why; OTELPROF_E_TIMEOUT: still starting.
 * After otelprof_shutdown() it starts anew. Since 0.1.
 */
OTELPROF_API int otelprof_init(const struct otelprof_options *options);

/*
 * Waits until a start in progress has ended, `timeout_ms` at most. 0 when running or degraded, OTELPROF_E_TIMEOUT,
 * or the error of the failed start. Since 0.1.
 */
OTELPROF_API int otelprof_wait_ready(uint32_t timeout_ms);

/*
 * Stops sampling, hands over the last window, and waits for it to be exported, `timeout_ms` in all at most.
 * 0 when everything was delivered and no thread of the library remains. OTELPROF_E_TIMEOUT: a thread is still
 * busy; it touches nothing of the host and ends by itself; its memory is kept. OTELPROF_E_STATE when not running.
 * Not from a signal handler, not from a log or export callback. Since 0.1.
 */
OTELPROF_API int otelprof_shutdown(uint32_t timeout_ms);

/*
 * Ends the present window, and waits until it has been exported, `timeout_ms` at most. 0, OTELPROF_E_TIMEOUT,
 * OTELPROF_E_EXPORT (it was lost, and counted), OTELPROF_E_STATE. Since 0.1.
 */
OTELPROF_API int otelprof_flush(uint32_t timeout_ms);

/* The present state. Wait-free, async-signal-safe. Since 0.1. */
OTELPROF_API enum otelprof_state otelprof_state(void);

/*
 * Switches profile types on or off while running; `mask` is made of enum otelprof_profile_type. Takes effect
 * before it returns. 0, OTELPROF_E_INVALID (a type that this release does not have), OTELPROF_E_STATE. Since 0.1.
 */
OTELPROF_API int otelprof_enable(uint32_t mask);
OTELPROF_API int otelprof_disable(uint32_t mask);

/* ---------------------------------------------------------------------------------------------- heap */

/*
 * The heap profile says what is allocated, what stays, and for which span: alloc_objects and alloc_space count the
 * allocations of a window; inuse_objects and inuse_space those that are live at its end, by the stack and the
 * attributes of the span that allocated them, and by age. All are estimates of the whole, from samples that lie
 * heap_interval_bytes apart in the mean, small and large allocations alike: a sum of B bytes made of blocks that are
 * small against the interval has a standard error of sqrt(B x interval).
 *
 * How it sees them: words through which loaded objects call malloc, calloc, realloc, reallocarray, free, aligned_alloc,
 * posix_memalign, memalign, valloc, pvalloc, dlopen and dlclose are changed to lead through the library (and operator
 * new and delete, where the allocator brings its own). The process keeps its allocator; return values and errno are as
 * before. One that is not a sample costs about a nanosecond. Addresses of these functions that the program holds in
 * initialised data change with it; copies that it made before do not, and are not seen.
 *
 * A realloc counts as a free of the old block and an allocation of the new size. Requests for 0 bytes do not count. Not
 * seen: what the allocator does within itself; objects in other namespaces (dlmopen); objects that the C library loads
 * by itself, until the next dlopen() of the program; mmap(). A program that brings an allocator of its own (a static
 * jemalloc) calls it directly: then only the libraries' allocations are seen, nothing is said of live memory, and the
 * state is OTELPROF_STATE_DEGRADED. The library's thread-local variables are of the initial-exec kind: dlopen() of the
 * library itself fails where the loader has no room for them left.
 *
 * otelprof_disable(OTELPROF_HEAP) puts the words back. otelprof_shutdown() leaves them, and costs a nanosecond a call.
 */

/*
 * Sets the mean distance in bytes between two samples, from now on; each sample carries the one by which it was chosen,
 * so that sums stay right. 0; OTELPROF_E_INVALID outside of 1 to 2^40; OTELPROF_E_STATE if the heap profile is not on.
 * Any thread. Since 0.1.
 */
OTELPROF_API int otelprof_heap_interval(uint64_t bytes);

/* --------------------------------------------------------------------------------------------- locks */

/*
 * The lock profile says who waits for which lock, who holds it, and for which spans: `contentions` and `delay` of the
 * profile "block" count the waits by the stack and the span of the one who waited, those of the profile "mutex" the
 * same waits by the stack and the span of the one who released the lock at last (as Go's do). All are estimates of the
 * whole, from waits chosen with a probability that grows with their length.
 *
 * How it sees them: words through which loaded objects call pthread_mutex_lock, _timedlock, _clocklock and _unlock, the
 * same of pthread_rwlock_ (to read and to write) and pthread_spin_, pthread_cond_wait and its kind, sem_wait and its
 * kind, pthread_join and its kind, pthread_barrier_wait, and C11's mtx_, cnd_ and thrd_join are changed to lead through
 * the library; std::mutex and the others of C++ are made of these. A lock that is free costs a nanosecond or two more;
 * the clock is read only where a thread must wait. What the functions do and return is as before. (They lock by trying
 * first: a lock order checker such as ThreadSanitizer's learns less from that.)
 *
 * Waiting for work is no contention: conditions, semaphores, joins and barriers are told apart by the attribute
 * otelprof.lock.kind, and have an interval of their own; only mutexes, read/write locks and spin locks have a holder.
 * The lock that a condition's wait takes again at its end is part of that wait. The owner's thread id, where the lock
 * tells it (mutexes, and read/write locks held to write; not those held to read, and not spin locks) is
 * otelprof.lock.owner.thread.id. Not seen: locks that are made of futexes directly (Go, Rust's std, folly), locks of
 * the C library itself, and what is said above of objects that cannot be reached.
 *
 * otelprof_disable(OTELPROF_LOCK) puts the words back. otelprof_shutdown() leaves them.
 */

/*
 * Sets the mean distance in nanoseconds of waiting between two samples, from now on. 0; OTELPROF_E_INVALID outside of 1
 * to 2^40; OTELPROF_E_STATE if the lock profile is not on. Any thread. Since 0.1.
 */
OTELPROF_API int otelprof_lock_interval(uint64_t nanoseconds);

/*
 * Gives the lock at that address (a mutex, a condition, ...) a name of at most 63 bytes, which is copied; NULL or ""
 * takes it back, which a lock that is destroyed should do. A lock without a name is known by the global variable it
 * lies in, or else by the function that waited for it first. Works in every state, also before otelprof_init(); lasts
 * until the process ends. 0; OTELPROF_E_INVALID: `lock` is NULL; OTELPROF_E_LIMIT: 1,024 locks have names. Any thread,
 * but no signal handler. Since 0.1.
 */
OTELPROF_API int otelprof_lock_name(const volatile void *lock, const char *name);

/* ------------------------------------------------------------------------------------------- waiting */

/*
 * The wall profile ("wall", nanoseconds) says where the time of every thread goes, whether it runs or not: summed over
 * a thread it is the time that went by. Each sample has the thread's state (otelprof.thread.state: running, runnable,
 * that is waiting for a CPU (for a millisecond or more between two looks), sleeping, uninterruptible, or stopped), the
 * system call that it is in by name (otelprof.syscall), its span and its stack, kernel part included. Threads that run
 * come from the clock events of the CPU profile, at rate_hz; those that do not are looked at wall_rate_hz times a
 * second, at uneven distances, from the library's own thread: no thread is stopped, no signal is sent, no system call
 * is interrupted. One that still waits where it waited is not walked again; what a thread was blocked between two
 * looks is told where it is seen blocked next. A thread that lives for less than the distance of two looks may be
 * missed.
 *
 * The thread profile ("goroutine", count, as Go calls it) is a snapshot of all threads, one at the start of each
 * window: state, system call, stack and span of each; up to 256 threads also with thread.id and the CPU time used since
 * the snapshot before (otelprof.thread.cpu_ns): above that, threads that agree in the rest are one sample with their
 * count. A thread in pthread_mutex_lock, pthread_rwlock_rdlock, pthread_rwlock_wrlock or their kind says which lock it
 * waits for (otelprof.lock.kind, .mode, .name, .address) and which thread holds that
 * (otelprof.lock.owner.thread.id), where the lock tells: mutexes, and read/write locks held to write. (Robust mutexes
 * without priority inheritance, and the lock that a condition's wait takes again, are not told.)
 *
 * Threads that wait for each other in a circle, without a time limit, are a deadlock. It is reported once a second look
 * has found all of them where they were, without having run in between: a warning in the log, otelprof_stats.deadlocks,
 * and the attribute otelprof.deadlock, a number, of their samples in the thread profile from then on.
 */

/* --------------------------------------------------------------------------------------------- spans */

#define OTELPROF_FLAG_SAMPLED 0x01u /* W3C trace flags */
#define OTELPROF_FLAG_RANDOM 0x02u

/* Undoes one otelprof_span_enter(). A value: copy it, keep it on the stack. All zero: a token that does nothing. */
struct otelprof_span_token {
    uint64_t place;
    uint64_t serial;
};

/*
 * Says that the calling thread now works for this span: 16 bytes of trace id and 8 of span id, in the order of
 * their hex form, and the W3C trace flags. Samples of this thread carry it until otelprof_span_exit(). Attributes
 * of the span around it stay in force inside, and may be overridden. NULL or all-zero ids: E_INVALID is counted
 * and a token that does nothing is returned.
 *
 * A thread's first enter registers it (one allocation-free search, one system call for its id); after that no
 * system call, lock or allocation: a few nanoseconds. Not async-signal-safe. Since 0.1.
 */
OTELPROF_API struct otelprof_span_token otelprof_span_enter(const uint8_t trace_id[16], const uint8_t span_id[8],
                                                            uint8_t flags);

/*
 * Goes back to the span (or none) that was active when `token` was made; spans entered since then and not exited
 * end with it. 0, or OTELPROF_E_ORDER: the token was used before, is from another thread, or from before a
 * shutdown; counted, and nothing happens. A token of an enter that did nothing (not running, no slot, bad ids) gives
 * OTELPROF_E_ORDER too, not counted. Since 0.1.
 */
OTELPROF_API int otelprof_span_exit(struct otelprof_span_token token);

/*
 * Sets an attribute of the active context, such as "http.route". It ends with the span that was active.
 * `value` is UTF-8; over 200 bytes it is cut at a character and counted. The key is looked up at each call: hot
 * paths use otelprof_span_attribute_key(). 0; OTELPROF_E_STATE no span is active on this thread, or not running;
 * OTELPROF_E_LIMIT no room for the key or the value (about 220 bytes of attributes a thread), counted. Since 0.1.
 */
OTELPROF_API int otelprof_span_attribute(const char *key, const char *value);

/*
 * The index of an attribute key, 0 to 255, made if new; valid until the process ends. OTELPROF_E_LIMIT after 256
 * keys, OTELPROF_E_INVALID for an empty name or one over 128 bytes. Takes no lock; a new key allocates once. Works
 * before otelprof_init(). Since 0.1.
 */
OTELPROF_API int otelprof_attribute_key(const char *name);

/* As otelprof_span_attribute(), by key index and length of the value: no search, no lock. Since 0.1. */
OTELPROF_API int otelprof_span_attribute_key(int key, const char *value, size_t length);

/* The whole context of a thread (ids, flags, attributes), to be taken along with a request. Opaque, copyable. */
struct otelprof_context {
    uint64_t opaque[34];
};

/* Copies the calling thread's context; an empty one if no span is active. Always succeeds. Since 0.1. */
OTELPROF_API void otelprof_context_capture(struct otelprof_context *context);

/*
 * Makes `context` the calling thread's context, on whatever thread it was captured. An empty one means "no span".
 * The token brings the context back that was there before; detach with it on the same thread. Up to 8 attached
 * contexts may be nested on one thread. Since 0.1.
 */
OTELPROF_API struct otelprof_span_token otelprof_context_attach(const struct otelprof_context *context);

/* As otelprof_span_exit(). Since 0.1. */
OTELPROF_API int otelprof_context_detach(struct otelprof_span_token token);

/*
 * Parses the value of a W3C traceparent header; the rules of the W3C recommendation, versions above 00 included.
 * 0, or OTELPROF_E_INVALID with the outputs untouched. Flags that W3C does not define come out as 0.
 * Async-signal-safe. Since 0.1.
 */
OTELPROF_API int otelprof_traceparent_parse(const char *header, size_t length, uint8_t trace_id[16], uint8_t span_id[8],
                                            uint8_t *flags);

/* Room for a formatted traceparent, terminator included. */
#define OTELPROF_TRACEPARENT_SIZE 56

/* Writes a version 00 traceparent. 0, or OTELPROF_E_INVALID for all-zero ids. Async-signal-safe. Since 0.1. */
OTELPROF_API int otelprof_traceparent_format(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags,
                                             char out[OTELPROF_TRACEPARENT_SIZE]);

/* ------------------------------------------------------------------------------------------- threads */

/*
 * Names the calling thread, in full, in profiles; the kernel's own name (ps, top) gets the first 15 bytes. NULL or
 * "" is OTELPROF_E_INVALID; over 63 bytes is cut. OTELPROF_E_LIMIT: 2,048 threads have full names already, and only the
 * kernel's is set. Works whether or not the profiler runs. Since 0.1.
 */
OTELPROF_API int otelprof_thread_name(const char *name);

/* -------------------------------------------------------------------------------------------- observe */

/* Why a stack ended before the thread's start. Index of otelprof_stats.stack_stops. Since 0.1. */
enum otelprof_stack_stop {
    OTELPROF_STOP_COMPLETE = 0,       /* it did not: the root was reached */
    OTELPROF_STOP_UNKNOWN_MODULE = 1, /* an address in no module known yet (just loaded), or in none at all */
    OTELPROF_STOP_NO_ROWS = 2,        /* code without unwind information */
    OTELPROF_STOP_UNSUPPORTED = 3,    /* unwind information of a kind that the compact tables cannot hold */
    OTELPROF_STOP_READ_FAULT = 4,     /* the stack could not be read there */
    OTELPROF_STOP_BAD_FRAME = 5,      /* the caller's frame did not lie above: damaged or foreign stack */
    OTELPROF_STOP_DEPTH = 6,          /* over 512 frames: a truncation frame marks it */
    OTELPROF_STOP_EXITING = 7,        /* the thread has already given up its memory */
    OTELPROF_STOP_NO_TABLES = 8,      /* the tables were not there (start-up, or the limit on their size) */
    OTELPROF_STOP_NOT_WALKED = 9,     /* the leaf of who released a lock that is released too often to walk each time;
                                         a thread that ran whenever a snapshot came by */
    OTELPROF_STOP_COUNT = 16,
};

/*
 * Every counter, since the start. All counters only grow. The identity that always holds after a disable and a
 * flush: samples_fired = samples_exported + the sum of the fields named lost_* + delivery_unknown. Since 0.1.
 */
struct otelprof_stats {
    size_t size; /* set by the caller: sizeof(struct otelprof_stats) */

    uint64_t samples_fired;      /* clock events on a thread of this process, own threads not included; heap_samples,
                                    lock_samples, lock_holders */
    uint64_t samples_own_thread; /* clock events on threads of the library and of libcurl: never exported */
    uint64_t samples_expected;   /* CPU time of the process x rate, own threads not included */
    uint64_t samples_exported;   /* delivered: taken by the receiver or the export callback, or written to a file */
    uint64_t samples_with_span;  /* of those fired: carried a span */

    uint64_t lost_ring_full;      /* the kernel's ring had no room */
    uint64_t lost_decode;         /* a record that made no sense to this version */
    uint64_t lost_memory;         /* the window was at its memory limit */
    uint64_t lost_window_dropped; /* the export queue was full, the oldest window went */
    uint64_t lost_export_failed;  /* could not be encoded, written or delivered */
    uint64_t lost_rejected;       /* in profiles that the receiver rejected (a partial success) */
    uint64_t lost_shutdown;       /* still queued when shutdown's time ran out */
    uint64_t lost_scratch;        /* the program could not get its working memory */
    uint64_t delivery_unknown;    /* sent, but no answer said whether they arrived */

    uint64_t stack_stops[OTELPROF_STOP_COUNT]; /* by enum otelprof_stack_stop; sums up to the records made */
    uint64_t frames_unwound;
    uint64_t kernel_stacks_missing; /* interrupted in the kernel, and its stack could not be taken */

    uint64_t detail_lowered; /* samples that lost thread id, CPU or link to the window's memory limit */
    uint64_t stacks_cut;     /* samples whose stack was cut to its leaf by that limit */

    uint64_t threads_without_slot; /* enters on a thread for which there was no slot */
    uint64_t threads_registered;
    uint64_t spans_invalid;      /* NULL or all-zero ids */
    uint64_t spans_out_of_order; /* tokens used twice, on another thread, or after shutdown */
    uint64_t spans_too_deep;     /* nesting over 32 */
    uint64_t attributes_dropped; /* no room for the key or the value */
    uint64_t attributes_cut;     /* value over 200 bytes */

    uint64_t modules_known;
    uint64_t modules_uncovered; /* no room in the tables, or no unwind information that could be read */
    uint64_t table_rows;
    uint64_t table_rows_capacity;
    uint64_t table_builds; /* sets of kernel tables made: 1, and 1 more for each growth */

    uint64_t windows_made;
    uint64_t windows_exported;
    uint64_t windows_dropped;
    uint64_t bytes_exported;    /* before compression */
    uint64_t bytes_sent;        /* over the network: bodies of requests as they left, those sent again included */
    uint64_t files_removed;     /* by rotation */
    uint64_t profiles_rejected; /* by the receiver, in requests that it took otherwise */
    uint64_t export_retries;    /* requests sent again because the receiver could not be reached or had no time */

    uint64_t own_cpu_ns;          /* CPU time of the library's threads */
    uint64_t symbols_resolved;    /* addresses that got a name */
    uint64_t symbols_missing;     /* addresses that left as module, build id and offset */
    uint64_t kernel_memory_bytes; /* of the maps and the ring */

    uint64_t heap_samples;          /* allocations that were chosen; part of samples_fired */
    uint64_t heap_live_blocks;      /* of those: followed now */
    uint64_t heap_live_lost;        /* of those: not followed for lack of room */
    uint64_t heap_live_thinned;     /* of those: left out for a longer interval, which the others make up for */
    uint64_t heap_lost_frees;       /* blocks whose address came again without a free that was seen */
    uint64_t heap_reentered;        /* allocations inside a hook (in a signal handler): never chosen */
    uint64_t heap_stacks_unbounded; /* stacks cut at the end of a page: whose they are was not known yet */
    uint64_t heap_interval_bytes;   /* in force now; 0: off */
    uint64_t hook_words;            /* that lead to hooks now */
    uint64_t hook_words_failed;     /* that could not be changed */
    uint64_t hook_words_foreign;    /* that led elsewhere already, and were left alone */

    uint64_t lock_samples;        /* waits that were chosen; part of samples_fired */
    uint64_t lock_holders;        /* of those: credited to the thread that ended them; part of samples_fired too */
    uint64_t lock_holders_unseen; /* of those, waits for locks: who ended them was not seen */
    uint64_t lock_holders_leaf; /* of those credited: by its leaf alone, as releases came too fast to walk each stack */
    uint64_t lock_holders_lost; /* records of holders that found no buffer free */
    uint64_t lock_unpublished;  /* waits that holders could not see: too many at once */
    uint64_t lock_interval_ns;  /* in force now, of locks; 0: off */
    uint64_t lock_work_interval_ns; /* and of conditions, semaphores, joins, barriers */

    uint64_t wall_ticks;           /* looks at all threads for wall time */
    uint64_t wall_interval_ns;     /* their mean distance, as things are: longer than asked for where the budget is
                                      spent; 0: off */
    uint64_t thread_looks;         /* looks at a thread, for wall time and for snapshots */
    uint64_t thread_records;       /* of those: told with a stack */
    uint64_t thread_unchanged;     /* of those: blocked where it was, so that its time was just added */
    uint64_t thread_moved;         /* of those: it ran off while its stack was read; its time is told later */
    uint64_t thread_untracked;     /* of those: the kernel had no memory to follow the thread */
    uint64_t thread_passes_failed; /* after one, wall and threads are off */
    uint64_t thread_samples_lost;  /* wall and thread samples that the window's memory limit left no room for, or the
                                      ring while the CPU profile was off */
    uint64_t thread_snapshots;     /* taken */
    uint64_t thread_count;         /* threads at the last look, the library's own not included */
    uint64_t deadlocks;            /* found, see "waiting" */
};

/*
 * Fills `stats`, as much of it as the caller's size covers. 0, or OTELPROF_E_INVALID. Works in every state;
 * values of the last run stay after shutdown. Since 0.1.
 */
#if defined(__GNUC__) && defined(__cplusplus)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the function hides the structure's constructor; C has no such thing */
#endif
OTELPROF_API int otelprof_stats(struct otelprof_stats *stats);
#if defined(__GNUC__) && defined(__cplusplus)
#pragma GCC diagnostic pop
#endif

/*
 * Where this process stands, as text of a few lines: state, rung ("ebpf", "off"), the reason (which call, errno,
 * capability or setting), and what to do about it. Writes at most `size` bytes with the terminator, and returns
 * the length of the whole text. Since 0.1.
 */
OTELPROF_API size_t otelprof_diagnose(char *text, size_t size);

/* The version of the library that is loaded, such as "0.1.0"; OTELPROF_VERSION is the one compiled against. */
OTELPROF_API const char *otelprof_version(void);

#ifdef __cplusplus
}
#endif

#endif

// SPDX-License-Identifier: Apache-2.0
/* The process context as a reader outside of the process finds it: by the list of mappings and process_vm_readv. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "context/attribute_keys.h"
#include "context/process_context.h"
#include "context_fixture.h"
#include "failing_calls.h"
#include "opentelemetry/proto/processcontext/v1development/process_context.pb-c.h"

struct header {
    char signature[8];
    uint32_t version;
    uint32_t payload_size;
    uint64_t published_at_ns;
    uint64_t payload;
};

static bool is_context_name(const char *line) {
    const char *name = strstr(line, "OTEL_CTX");
    return name && (strstr(line, "[anon_shmem:OTEL_CTX]") || strstr(line, "[anon:OTEL_CTX]") ||
                    strstr(line, "/memfd:OTEL_CTX"));
}

/* Address of the one mapping of process `pid`, 0 if there is none. */
static uint64_t find_mapping(pid_t pid) {
    char path[64];
    char line[4096];
    uint64_t found = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        uint64_t from;
        char access[8];
        if (!is_context_name(line) || sscanf(line, "%lx-%*x %7s", &from, access) != 2)
            continue;
        ck_assert_uint_eq(found, 0); /* at most one in a process */
        ck_assert_int_eq(access[2], '-');
        found = from;
    }
    fclose(maps);
    return found;
}

static bool read_remote(pid_t pid, uint64_t from, void *to, size_t size) {
    struct iovec local = {to, size};
    struct iovec remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Steps 1 to 7 of OTEP 4719, "Reading". Returns the payload's size, 0 if it changed meanwhile or is not there. */
static size_t read_payload(pid_t pid, uint64_t mapping, uint8_t *payload, size_t room, uint64_t *time_ns) {
    struct header header;
    struct header after;
    if (!read_remote(pid, mapping, &header, sizeof(header)) || header.published_at_ns == 0)
        return 0;
    ck_assert_mem_eq(header.signature, "OTEL_CTX", 8);
    ck_assert_uint_eq(header.version, 2);
    if (header.payload_size > room || !read_remote(pid, header.payload, payload, header.payload_size))
        return 0;
    if (!read_remote(pid, mapping, &after, sizeof(after)) || after.published_at_ns != header.published_at_ns)
        return 0;
    *time_ns = header.published_at_ns;
    return header.payload_size;
}

static uint8_t payload[65536];
static uint64_t published_at;

static size_t read_own(void) {
    uint64_t mapping = find_mapping(getpid());
    ck_assert_uint_ne(mapping, 0);
    return read_payload(getpid(), mapping, payload, sizeof(payload), &published_at);
}

static const struct otp_process_attribute demo[] = {{"service.name", "demo"}};

/* The golden vector: service.name=demo, schema tlsdesc_v1_dev, keys http_route and user_id. */
static const char golden[] = "0a180a160a0c736572766963652e6e616d6512060a0464656d6f122e0a1a7468"
                             "726561646c6f63616c2e736368656d615f76657273696f6e12100a0e746c7364"
                             "6573635f76315f646576123c0a1d7468726561646c6f63616c2e617474726962"
                             "7574655f6b65795f6d6170121b2a190a0c0a0a687474705f726f7574650a090a"
                             "07757365725f6964";

START_TEST(golden_vector) {
    otelprof_attribute_key("http_route");
    otelprof_attribute_key("user_id");
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    size_t size = read_own();
    ck_assert_uint_eq(size, (sizeof(golden) - 1) / 2);
    for (size_t i = 0; i < size; i++) {
        unsigned expected;
        ck_assert_int_eq(sscanf(golden + 2 * i, "%2x", &expected), 1);
        ck_assert_uint_eq(payload[i], expected);
    }
    ck_assert(!otp_process_context_foreign());
}
END_TEST

static Opentelemetry__Proto__Processcontext__V1development__ProcessContext *decode(size_t size) {
    ck_assert_uint_gt(size, 0);
    Opentelemetry__Proto__Processcontext__V1development__ProcessContext *context =
        opentelemetry__proto__processcontext__v1development__process_context__unpack(NULL, size, payload);
    ck_assert_ptr_nonnull(context);
    return context;
}

static size_t keys_in_map(size_t size) {
    Opentelemetry__Proto__Processcontext__V1development__ProcessContext *context = decode(size);
    ck_assert_uint_eq(context->n_attributes, 2);
    ck_assert_str_eq(context->attributes[1]->key, "threadlocal.attribute_key_map");
    Opentelemetry__Proto__Common__V1__ArrayValue *map = context->attributes[1]->value->array_value;
    ck_assert_ptr_nonnull(map);
    size_t count = map->n_values;
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(map->values[i]->string_value, otp_attribute_key_name((uint32_t)i));
    opentelemetry__proto__processcontext__v1development__process_context__free_unpacked(context, NULL);
    return count;
}

START_TEST(updates_keep_the_address_and_move_the_time) {
    ck_assert_int_eq(otp_process_context_refresh(), 0); /* nothing published: nothing happens */
    ck_assert_uint_eq(find_mapping(getpid()), 0);
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    uint64_t mapping = find_mapping(getpid());
    ck_assert_uint_eq(keys_in_map(read_own()), 0);
    uint64_t before = published_at;
    ck_assert_int_eq(otp_process_context_refresh(), 0);
    read_own();
    ck_assert_uint_eq(published_at, before); /* no new key: no update */
    for (int i = 0; i < 256; i++) {
        char name[16];
        snprintf(name, sizeof(name), "key.%d", i);
        otelprof_attribute_key(name);
        ck_assert_int_eq(otp_process_context_refresh(), 0);
        ck_assert_uint_eq(keys_in_map(read_own()), (size_t)i + 1);
        ck_assert_uint_gt(published_at, before);
        before = published_at;
    }
    const struct otp_process_attribute other[] = {{"service.name", "second"}, {"service.version", "1"}};
    ck_assert_int_eq(otp_process_context_publish(other, 2), 0);
    Opentelemetry__Proto__Processcontext__V1development__ProcessContext *context = decode(read_own());
    ck_assert_uint_eq(context->resource->n_attributes, 2);
    ck_assert_str_eq(context->resource->attributes[0]->value->string_value, "second");
    opentelemetry__proto__processcontext__v1development__process_context__free_unpacked(context, NULL);
    ck_assert_uint_eq(find_mapping(getpid()), mapping);
    ck_assert_uint_gt(published_at, before);
    otp_process_context_withdraw();
    ck_assert_uint_eq(find_mapping(getpid()), 0);
    otp_process_context_withdraw();
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    ck_assert_uint_eq(keys_in_map(read_own()), 256);
}
END_TEST

static void tell(int fd, char byte) { ck_assert_int_eq(write(fd, &byte, 1), 1); }

static void hear(int fd) {
    char byte;
    ck_assert_int_eq(read(fd, &byte, 1), 1);
}

/* The child: first without a context, then, when told, with one of its own. */
static void child_side(int in, int out) {
    static const struct otp_process_attribute own[] = {{"service.instance.id", "child"}};
    otp_process_context_child();
    if (otp_process_context_refresh())
        _exit(2);
    tell(out, 1);
    hear(in);
    if (otp_process_context_publish(own, 1))
        _exit(3);
    tell(out, 2);
    hear(in);
    _exit(0);
}

START_TEST(a_child_has_its_own_or_none) {
    int to[2];
    int from[2];
    ck_assert_int_eq(pipe(to), 0);
    ck_assert_int_eq(pipe(from), 0);
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_side(to[0], from[1]);
    hear(from[0]);
    ck_assert_uint_eq(find_mapping(child), 0);
    tell(to[1], 1);
    hear(from[0]);
    uint64_t mapping = find_mapping(child);
    ck_assert_uint_ne(mapping, 0);
    Opentelemetry__Proto__Processcontext__V1development__ProcessContext *context =
        decode(read_payload(child, mapping, payload, sizeof(payload), &published_at));
    ck_assert_str_eq(context->resource->attributes[0]->value->string_value, "child");
    opentelemetry__proto__processcontext__v1development__process_context__free_unpacked(context, NULL);
    tell(to[1], 2);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(read_own(), 0); /* the parent's is still there */
}
END_TEST

START_TEST(another_library_was_first) {
    int fd = memfd_create("OTEL_CTX", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    void *theirs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(theirs, MAP_FAILED);
    close(fd);
    ck_assert_int_eq(otp_process_context_publish(demo, 1), OTELPROF_E_ALREADY);
    ck_assert(otp_process_context_foreign());
    ck_assert_uint_eq(find_mapping(getpid()), (uint64_t)(uintptr_t)theirs);

    /* The thread variable is theirs too: a span of ours must not show in it. */
    struct otp_context_memory memory = fixture_start(16);
    otel_thread_ctx_v1 = NULL;
    struct otelprof_span_token token = otelprof_span_enter(TRACE_A, SPAN_1, 1);
    ck_assert_ptr_nonnull(fixture_record(&memory));
    ck_assert_ptr_null(otel_thread_ctx_v1);
    ck_assert_int_eq(otelprof_span_exit(token), 0);
    munmap(theirs, 4096);
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    ck_assert(!otp_process_context_foreign());
}
END_TEST

START_TEST(finds_a_context_behind_many_mappings) {
    for (int i = 0; i < 2000; i++) { /* every second one differs, so that they do not merge */
        int protection = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
        ck_assert_ptr_ne(mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
    }
    int fd = memfd_create("OTEL_CTX", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    ck_assert_ptr_ne(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), MAP_FAILED);
    close(fd);
    ck_assert_int_eq(otp_process_context_publish(demo, 1), OTELPROF_E_ALREADY);
}
END_TEST

/* An update every millisecond while another process reads: what it gets is whole or nothing. */
START_TEST(a_reader_never_gets_a_mixture) {
    int ready[2];
    ck_assert_int_eq(pipe(ready), 0);
    pid_t writer = fork();
    ck_assert_int_ge(writer, 0);
    if (writer == 0) {
        struct otp_process_attribute changing[] = {{"a", NULL}, {"b", NULL}};
        char value[1200];
        for (uint32_t i = 0; i < 3000; i++) {
            size_t length = 1 + (i * 37) % 1000;
            memset(value, 'a' + (int)(i % 26), length);
            value[length] = 0;
            changing[0].value = changing[1].value = value;
            if (otp_process_context_publish(changing, 2))
                _exit(2);
            if (i == 0)
                tell(ready[1], 1);
            usleep(200);
        }
        _exit(0);
    }
    hear(ready[0]);
    uint64_t mapping = find_mapping(writer);
    ck_assert_uint_ne(mapping, 0);
    int whole = 0;
    int status;
    while (waitpid(writer, &status, WNOHANG) == 0) {
        size_t size = read_payload(writer, mapping, payload, sizeof(payload), &published_at);
        if (!size)
            continue;
        Opentelemetry__Proto__Processcontext__V1development__ProcessContext *context = decode(size);
        ck_assert_str_eq(context->resource->attributes[0]->value->string_value,
                         context->resource->attributes[1]->value->string_value);
        opentelemetry__proto__processcontext__v1development__process_context__free_unpacked(context, NULL);
        whole++;
    }
    ck_assert_int_eq(status, 0);
    ck_assert_int_gt(whole, 100);
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
static int memfd_calls;
static unsigned memfd_flags[2];

static int failing_memfd(const char *name, unsigned flags) {
    (void)name;
    memfd_flags[memfd_calls++ & 1] = flags;
    errno = ENOSYS;
    return -1;
}

static int old_kernel_memfd(const char *name, unsigned flags) {
    if (flags & 8) { /* MFD_NOEXEC_SEAL: Linux 6.3 */
        errno = EINVAL;
        return -1;
    }
    return otp_sys_real.memfd_create(name, flags);
}

static int failing_madvise(void *address, size_t length, int advice) {
    (void)address, (void)length, (void)advice;
    errno = EINVAL;
    return -1;
}

static void *failing_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    (void)address, (void)length, (void)protection, (void)flags, (void)fd, (void)offset;
    errno = ENOMEM;
    return MAP_FAILED;
}

static int failing_open(const char *path, int flags, mode_t mode) {
    (void)path, (void)flags, (void)mode;
    errno = EACCES;
    return -1;
}

START_TEST(failures_leave_nothing_behind) {
    otp_sys.memfd_create = failing_memfd;
    int result = otp_process_context_publish(demo, 1);
    ck_assert_int_eq(memfd_calls, 2);
    ck_assert_uint_eq(memfd_flags[0], 0xb);
    ck_assert_uint_eq(memfd_flags[1], 0x3);
    /* Only a kernel that names anonymous mappings lets readers find it then. */
    ck_assert_int_eq(result, find_mapping(getpid()) ? 0 : OTELPROF_E_SYSTEM);
    otp_process_context_withdraw();
    otp_sys.memfd_create = otp_sys_real.memfd_create;

    otp_sys.madvise = failing_madvise;
    ck_assert_int_eq(otp_process_context_publish(demo, 1), OTELPROF_E_SYSTEM);
    otp_sys.madvise = otp_sys_real.madvise;
    otp_sys.mmap = failing_mmap;
    ck_assert_int_eq(otp_process_context_publish(demo, 1), OTELPROF_E_SYSTEM);
    otp_sys.mmap = otp_sys_real.mmap;
    ck_assert_uint_eq(find_mapping(getpid()), 0);

    for (int left = 0; left < 4; left++) {
        failing_calls_after(left);
        ck_assert_int_eq(otp_process_context_publish(demo, 1), OTELPROF_E_MEMORY);
        ck_assert_uint_eq(find_mapping(getpid()), 0);
    }
    failing_calls_after(4);
    otp_sys.open = failing_open; /* no /proc: then nobody else's can be seen */
    otp_sys.memfd_create = old_kernel_memfd;
    ck_assert_int_eq(otp_process_context_publish(demo, 1), 0);
    ck_assert_uint_gt(read_own(), 0);

    otelprof_attribute_key("new");
    failing_calls_after(2); /* an update that fails leaves the old one */
    otelprof_attribute_key("new too");
    ck_assert_int_eq(otp_process_context_refresh(), OTELPROF_E_MEMORY);
    ck_assert_uint_eq(keys_in_map(read_own()), 0);
}
END_TEST
#endif

int main(void) {
    Suite *suite = suite_create("process_context");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, golden_vector);
    tcase_add_test(all, updates_keep_the_address_and_move_the_time);
    tcase_add_test(all, a_child_has_its_own_or_none);
    tcase_add_test(all, another_library_was_first);
    tcase_add_test(all, finds_a_context_behind_many_mappings);
    tcase_add_test(all, a_reader_never_gets_a_mixture);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_test(all, failures_leave_nothing_behind);
#endif
    suite_add_tcase(suite, all);
    return fixture_run(suite);
}

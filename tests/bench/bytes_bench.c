// SPDX-License-Identifier: Apache-2.0
/*
 * What a sample costs on the wire: bytes a sample by detail and by spans, plain and gzip, for windows of 10 s on two
 * busy cores at 99 Hz. The stacks are made up: 300 different ones of 8 to 40 frames out of 900 addresses, a few of
 * them far more frequent than the others, as in a service. With a folder as argument it writes the requests there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "../unit/profile_fixture.h"
#include "encode/otlp.h"

#define SAMPLES 1980
#define STACKS 300
#define ADDRESSES 900
#define FRAMES_MAX 40
#define WINDOW_S 10

struct total {
    size_t plain, packed;
    uint64_t samples;
    const char *folder;
    const char *name;
};

static uint32_t random_state = 1;

static uint32_t pick(uint32_t below) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(random_state >> 8) * below) >> 24);
}

static size_t names(void *user, const struct otp_mapping *mapping, const struct otp_frame_ref *frame,
                    struct otp_symbol_line *lines, size_t max) {
    static char function[64], file[64];
    (void)user, (void)mapping, (void)max;
    unsigned number = (unsigned)(frame->address & 0xffff) / 16;
    snprintf(function, sizeof(function), "handle_part_%u_of_request", number / 3);
    snprintf(file, sizeof(file), "/src/service/component_%u/source_%u.c", number / 60, number / 12);
    lines[0] = (struct otp_symbol_line){function, function, file, 10 + number % 500, 5 + number % 400};
    return 1;
}

static size_t gzip_size(const void *bytes, size_t size) {
    z_stream stream = {0};
    size_t room = compressBound(size) + 64;
    unsigned char *packed = malloc(room);
    if (!packed || deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        exit(EXIT_FAILURE);
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    deflate(&stream, Z_FINISH);
    size_t result = stream.total_out;
    deflateEnd(&stream);
    free(packed);
    return result;
}

static int count(void *user, const struct otp_otlp_request *request) {
    struct total *total = user;
    total->plain += request->size;
    total->packed += gzip_size(request->bytes, request->size);
    total->samples += request->samples;
    if (total->folder) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s-%u.otlp", total->folder, total->name, request->index);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(request->bytes, 1, request->size, file) != request->size || fclose(file))
            exit(EXIT_FAILURE);
    }
    return 0;
}

/* A frequent stack for two in three samples, any for the others. */
static void add_sample(struct otp_window *window, uint64_t start_ns, uint32_t number, uint32_t spans) {
    struct otp_frame_ref frames[FRAMES_MAX];
    uint32_t stack = pick(3) ? pick(12) : pick(STACKS);
    uint32_t depth = 8 + stack * 7 % (FRAMES_MAX - 8);
    for (uint32_t i = 0; i < depth; i++) {
        /* Outer frames are shared between stacks, inner ones are not. */
        uint32_t address = i + 6 >= depth ? depth - i : (stack * 131 + i * 17) % ADDRESSES;
        frames[i] = (struct otp_frame_ref){.address = 0x1000 + address * 16, .mapping = address % 3};
    }
    uint32_t span = spans ? number * spans / SAMPLES : 0;
    static const char *const routes[] = {"/orders", "/orders/{id}", "/report", "/search"};
    struct otp_thread_record record =
        fixture_record(spans ? (span + 1) * 0x9e3779b97f4a7c15ull : 0, spans ? routes[span % 4] : NULL);
    memcpy(record.trace_id, record.trace_id + 8, 8);
    struct otp_sample sample = fixture_sample(frames, depth);
    sample.time_unix_ns = start_ns + (uint64_t)number * WINDOW_S * SECOND_NS / SAMPLES;
    sample.tid = 1000 + pick(8);
    sample.cpu = number % 2;
    sample.context = &record;
    sample.context_size = sizeof(record);
    otp_window_add(window, &sample);
}

static void measure(const char *label, const char *folder, enum otelprof_detail detail, uint32_t spans) {
    static const struct otp_resource_entry entries[] = {
        {.key = "service.name", .kind = OTP_RESOURCE_TEXT, .text = "bench"},
        {.key = "service.instance.id", .kind = OTP_RESOURCE_TEXT, .text = "5b0e7a52-8c4d-4a53-9a51-3d1f0b8f8c11"},
        {.key = "telemetry.sdk.name", .kind = OTP_RESOURCE_TEXT, .text = "otelprof"},
        {.key = "telemetry.sdk.language", .kind = OTP_RESOURCE_TEXT, .text = "c"},
        {.key = "telemetry.sdk.version", .kind = OTP_RESOURCE_TEXT, .text = OTELPROF_VERSION},
        {.key = "process.pid", .kind = OTP_RESOURCE_INT, .number = 1000},
    };
    const struct otp_resource resource = {entries, sizeof(entries) / sizeof(entries[0])};
    const struct otp_symbolizer symbolizer = {.names = names};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t start_ns = ((uint64_t)now.tv_sec - WINDOW_S) * SECOND_NS;
    struct otp_window_config config = fixture_config(detail, (size_t)8 << 20);
    struct otp_window *window = otp_window_new(&config, start_ns);
    struct total total = {.folder = folder, .name = label};
    struct otp_otlp_result result;
    random_state = 1;
    for (uint32_t module = 1; module <= 3; module++) {
        struct otp_mapping mapping = {.module_number = module,
                                      .start = 0x1000,
                                      .end = 0x10000,
                                      .path = module == 1 ? "/usr/bin/service" : "/usr/lib/x86_64-linux-gnu/libc.so.6"};
        uint8_t id[20] = {(uint8_t)module, 0xab, 0xcd};
        mapping.build_id = id;
        mapping.build_id_size = sizeof(id);
        mapping.htlhash = "00112233445566778899aabbccddeeff";
        otp_window_mapping(window, &mapping);
    }
    for (uint32_t i = 0; i < SAMPLES; i++)
        add_sample(window, start_ns, i, spans);
    otp_window_close(window, start_ns + WINDOW_S * SECOND_NS, &(struct otelprof_stats){.samples_fired = SAMPLES});
    if (otp_otlp_encode(window, &resource, &symbolizer, NULL, count, &total, &result) || total.samples != SAMPLES)
        exit(EXIT_FAILURE);
    printf("%-18s %8zu %8zu %8.1f %8.1f %8.2f %8.2f %8zu\n", label, total.plain, total.packed,
           (double)total.plain / SAMPLES, (double)total.packed / SAMPLES, (double)total.plain / WINDOW_S / 1000,
           (double)total.packed / WINDOW_S / 1000, otp_window_size(window) / 1000);
    otp_window_free(window);
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : NULL;
    printf("%-18s %8s %8s %8s %8s %8s %8s %8s\n", "detail, spans", "bytes", "gzip", "B/sample", "gzip", "KB/s", "gzip",
           "memoryKB");
    measure("full-no-spans", folder, OTELPROF_DETAIL_FULL, 0);
    measure("full-100-spans", folder, OTELPROF_DETAIL_FULL, 100);
    measure("full-all-spans", folder, OTELPROF_DETAIL_FULL, SAMPLES);
    measure("named-no-spans", folder, OTELPROF_DETAIL_NAMED, 0);
    measure("named-100-spans", folder, OTELPROF_DETAIL_NAMED, 100);
    measure("named-all-spans", folder, OTELPROF_DETAIL_NAMED, SAMPLES);
    measure("merged-no-spans", folder, OTELPROF_DETAIL_MERGED, 0);
    measure("merged-100-spans", folder, OTELPROF_DETAIL_MERGED, 100);
    measure("merged-all-spans", folder, OTELPROF_DETAIL_MERGED, SAMPLES);
    return 0;
}

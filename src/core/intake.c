// SPDX-License-Identifier: Apache-2.0
#include "core/intake.h"

#include <string.h>

#include "context/context.h"
#include "core/sample_weight.h"

/* A record taken apart; frames and context point into the ring. */
struct parts {
    struct otp_record header;
    const uint8_t *frames;
    const uint8_t *context;
};

static int take_apart(struct parts *parts, enum otp_record_type type, const void *record, size_t size) {
    if (size < sizeof(parts->header))
        return -1;
    memcpy(&parts->header, record, sizeof(parts->header));
    const struct otp_record *header = &parts->header;
    size_t frames = (size_t)header->kernel_frames + header->user_frames;
    if (header->version != OTP_RECORD_VERSION || header->type != type ||
        header->kernel_frames > OTP_KERNEL_FRAMES_MAX || header->user_frames > OTP_FRAMES_MAX ||
        header->stop >= OTP_STOP_COUNT || size < sizeof(*header) + frames * 8 + header->context_size)
        return -1;
    parts->frames = (const uint8_t *)record + sizeof(*header);
    parts->context = parts->frames + frames * 8;
    return 0;
}

static uint64_t frame_at(const struct parts *parts, size_t index) {
    uint64_t address;
    memcpy(&address, parts->frames + index * 8, sizeof(address));
    return address;
}

static uint32_t mapping_of(struct otp_intake *intake, const struct otp_module *module) {
    struct otp_mapping mapping = {
        .module_number = module->number,
        .path = module->path,
        .start = module->start,
        .end = module->end,
        .file_offset = module->file_offset,
        .bias = module->bias,
        .build_id = module->build_id,
        .build_id_size = module->build_id_size,
        .htlhash = module->htlhash,
        .vdso = module->vdso,
        .anonymous = module->anonymous,
        .deleted = module->deleted,
    };
    return otp_window_mapping(intake->window, &mapping);
}

/*
 * The module that was at the address when the tables of the record were in force. One that was loaded later still is
 * what the walk met and did not know: a rescan has found it since.
 */
static struct otp_frame_ref user_frame(struct otp_intake *intake, uint64_t address, uint32_t generation) {
    const struct otp_module *module = otp_modules_find(intake->modules, address, generation);
    if (!module)
        module = otp_modules_find(intake->modules, address, UINT32_MAX - 1);
    if (!module)
        return (struct otp_frame_ref){address, OTP_NO_MAPPING, OTP_FRAME_UNKNOWN};
    return (struct otp_frame_ref){address, mapping_of(intake, module), OTP_FRAME_NATIVE};
}

static uint32_t fill_frames(struct otp_intake *intake, const struct parts *parts) {
    struct otp_frame_ref *frames = intake->frames;
    const struct otp_record *header = &parts->header;
    uint32_t count = 0;
    uint32_t kernel = OTP_NO_MAPPING;
    if (header->kernel_frames && intake->kernel)
        kernel = otp_window_mapping(intake->window, intake->kernel);
    for (uint32_t i = 0; i < header->kernel_frames; i++) /* all but the leaf are return addresses */
        frames[count++] = (struct otp_frame_ref){frame_at(parts, i) - (i > 0), kernel, OTP_FRAME_KERNEL};
    for (uint32_t i = 0; i < header->user_frames; i++)
        frames[count++] = user_frame(intake, frame_at(parts, header->kernel_frames + i), header->directory >> 1);
    if (header->stop == OTP_STOP_DEPTH || !count) /* a sample has a stack, and be it one that says that it is none */
        frames[count++] = (struct otp_frame_ref){0, OTP_NO_MAPPING, OTP_FRAME_TRUNCATED};
    return count;
}

/* Into the intake's buffer: the full name, or else the kernel's. */
static const char *thread_name_of(struct otp_intake *intake, const struct otp_record *header) {
    char kernel_name[sizeof(header->thread_name) + 1];
    memcpy(kernel_name, header->thread_name, sizeof(header->thread_name));
    kernel_name[sizeof(header->thread_name)] = 0;
    if (otp_context_thread_name(header->tid, kernel_name, intake->thread_name, sizeof(intake->thread_name)) == 0)
        memcpy(intake->thread_name, kernel_name, strlen(kernel_name) + 1);
    return intake->thread_name;
}

/* The sample of a record that says which thread it was and when. */
static struct otp_sample sample_of_thread(struct otp_intake *intake, const struct parts *parts) {
    const struct otp_record *header = &parts->header;
    uint64_t time = header->time_ns + (uint64_t)intake->unix_minus_clock_ns;
    intake->last_ns = time;
    return (struct otp_sample){
        .time_unix_ns = time < intake->window_start_ns ? intake->window_start_ns : time,
        .frames = intake->frames,
        .frame_count = fill_frames(intake, parts),
        .tid = header->tid,
        .thread_name = thread_name_of(intake, header),
        .cpu = header->cpu,
        .stop = header->stop,
        .context = header->context_size ? parts->context : NULL,
        .context_size = header->context_size,
    };
}

void otp_intake_record(struct otp_intake *intake, const void *record, size_t size) {
    struct parts parts;
    if (take_apart(&parts, OTP_RECORD_CPU, record, size)) {
        intake->lost_decode++;
        return;
    }
    if (!intake->window) {
        intake->lost_memory++;
        return;
    }
    struct otp_sample sample = sample_of_thread(intake, &parts);
    sample.type = OTP_PROFILE_CPU;
    sample.value = (double)parts.header.interval;
    if (!(parts.header.flags & OTP_RECORD_WALL_ONLY))
        otp_window_add(intake->window, &sample); /* counts what it loses */
    if (intake->on_cpu)
        intake->on_cpu(intake->on_cpu_user, &parts.header, &sample);
}

bool otp_intake_thread(struct otp_intake *intake, const void *record, size_t size, struct otp_record *header,
                       struct otp_sample *sample) {
    struct parts parts;
    if (take_apart(&parts, OTP_RECORD_THREAD, record, size)) {
        intake->lost_decode++;
        return false;
    }
    *header = parts.header;
    if (!intake->window)
        return false;
    *sample = sample_of_thread(intake, &parts);
    return true;
}

bool otp_intake_heap(struct otp_intake *intake, const void *record, size_t size, uint64_t now_ns,
                     struct otp_record *header, struct otp_sample *sample) {
    struct parts parts;
    memset(header, 0, sizeof(*header));
    if (take_apart(&parts, OTP_RECORD_HEAP, record, size) || !parts.header.weight || !parts.header.interval) {
        intake->lost_decode++;
        return false;
    }
    *header = parts.header;
    if (!intake->window) {
        intake->lost_memory++;
        return false;
    }
    double weight = otp_sample_weight(header->weight, header->interval);
    intake->last_ns = now_ns;
    *sample = (struct otp_sample){
        .type = OTP_PROFILE_ALLOC_OBJECTS,
        .value = weight,
        .twin_value = weight * (double)header->weight,
        .frames = intake->frames,
        .frame_count = fill_frames(intake, &parts),
        .stop = header->stop,
        .context = header->context_size ? parts.context : NULL,
        .context_size = header->context_size,
    };
    otp_window_add(intake->window, sample); /* counts what it loses */
    return true;
}

bool otp_intake_lock(struct otp_intake *intake, enum otp_record_type type, const void *record, size_t size,
                     uint64_t now_ns, struct otp_record *header, struct otp_sample *sample) {
    struct parts parts;
    memset(header, 0, sizeof(*header));
    if (take_apart(&parts, type, record, size) || parts.header.kind >= OTP_LOCK_KINDS) {
        intake->lost_decode++;
        return false;
    }
    *header = parts.header;
    if (!intake->window) {
        intake->lost_memory++;
        return false;
    }
    intake->last_ns = now_ns;
    *sample = (struct otp_sample){
        .frames = intake->frames,
        .frame_count = fill_frames(intake, &parts),
        .stop = header->stop,
        .context = header->context_size ? parts.context : NULL,
        .context_size = header->context_size,
    };
    return true;
}

struct otp_frame_ref otp_intake_code(struct otp_intake *intake, uint64_t address) {
    return user_frame(intake, address, UINT32_MAX - 1);
}

bool otp_intake_data(struct otp_intake *intake, uint64_t address, struct otp_frame_ref *frame) {
    const struct otp_module *module = otp_modules_below(intake->modules, address);
    if (!module || address >= module->image_end)
        return false;
    *frame = (struct otp_frame_ref){address, mapping_of(intake, module), OTP_FRAME_DATA};
    return frame->mapping != OTP_NO_MAPPING;
}

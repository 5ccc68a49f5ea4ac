// SPDX-License-Identifier: Apache-2.0
#include "capture/hook_walker.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hook_walk.h"

/* A descriptor that somebody closed or replaced is an error like any other. */
static bool run(int program_fd, struct otp_hook_walk *request) {
    int saved = errno;
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof(attributes));
    attributes.test.prog_fd = (uint32_t)program_fd;
    attributes.test.ctx_in = (uint64_t)(uintptr_t)request;
    attributes.test.ctx_size_in = sizeof(*request);
    long result = syscall(SYS_bpf, BPF_PROG_RUN, &attributes, sizeof(attributes));
    errno = saved;
    return result == 0 && attributes.test.retval == 0;
}

static bool walk(const struct otp_walker *walker, uint32_t place, const struct otp_frame *frame, uint64_t *frames,
                 uint32_t max, struct otp_walk_result *result) {
    struct otp_hook_walk request = {.pc = frame->pc, .sp = frame->sp, .fp = frame->fp, .lr = frame->lr, .place = place};
    if (place >= OTP_WALK_PLACES || !run(walker->program_fd, &request) || !request.count ||
        request.count > OTP_FRAMES_MAX)
        return false;
    result->count = request.count < max ? request.count : max;
    result->stop = (enum otp_stop)request.stop;
    result->directory = request.directory;
    const char *at = (const char *)walker->walks + place * walker->stride + sizeof(struct otp_record);
    memcpy(frames, at, result->count * sizeof(frames[0]));
    return true;
}

struct otp_walker otp_hook_walker(int program_fd, const void *walks, size_t stride) {
    return (struct otp_walker){walk, program_fd, walks, stride};
}

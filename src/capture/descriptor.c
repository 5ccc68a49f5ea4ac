// SPDX-License-Identifier: Apache-2.0
#include "capture/descriptor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's own id of the object behind a descriptor; 0 if it is no such object. */
static unsigned long long object_id(int fd, enum otp_descriptor_kind kind) {
    if (kind == OTP_DESCRIPTOR_PERF_EVENT) {
        unsigned long long id = 0;
        return ioctl(fd, PERF_EVENT_IOC_ID, &id) ? 0 : id;
    }
    union {
        struct bpf_map_info map;
        struct bpf_prog_info program;
    } info;
    memset(&info, 0, sizeof(info));
    __u32 size = kind == OTP_DESCRIPTOR_BPF_MAP ? sizeof(info.map) : sizeof(info.program);
    if (bpf_obj_get_info_by_fd(fd, &info, &size))
        return 0;
    /* Both begin with type and id. The size that the kernel filled does not tell maps and programs apart, the type of
     * descriptor does: it is part of what is compared. */
    return info.map.id | (unsigned long long)(info.map.type + 1) << 32;
}

static int keep(struct otp_descriptor *descriptor, int fd, enum otp_descriptor_kind kind) {
    unsigned long long id = object_id(fd, kind);
    if (!id) {
        close(fd);
        return -EBADF;
    }
    *descriptor = (struct otp_descriptor){fd, kind, id};
    return 0;
}

int otp_descriptor_take(struct otp_descriptor *descriptor, int fd, enum otp_descriptor_kind kind) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : keep(descriptor, copy, kind);
}

int otp_descriptor_adopt(struct otp_descriptor *descriptor, int fd, enum otp_descriptor_kind kind) {
    if (fd > 2)
        return keep(descriptor, fd, kind);
    int result = otp_descriptor_take(descriptor, fd, kind);
    close(fd);
    return result;
}

bool otp_descriptor_intact(const struct otp_descriptor *descriptor) {
    return descriptor->fd >= 0 && object_id(descriptor->fd, descriptor->kind) == descriptor->id;
}

void otp_descriptor_close(struct otp_descriptor *descriptor) {
    if (otp_descriptor_intact(descriptor))
        close(descriptor->fd);
    descriptor->fd = -1;
}

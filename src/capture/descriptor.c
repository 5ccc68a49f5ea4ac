// SPDX-License-Identifier: Apache-2.0
#include "capture/descriptor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/sys.h"

/* Type and id of a map or a program in one number: what is a map now may have been a program of the same id. */
static unsigned long long type_and_id(unsigned type, unsigned id) {
    return id ? id | (unsigned long long)(type + 1) << 32 : 0;
}

static unsigned number_behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : 0;
}

/* From /proc/thread-self/fdinfo (kernel/bpf/syscall.c: bpf_map_show_fdinfo, bpf_prog_show_fdinfo,
 * bpf_link_show_fdinfo, which names the type by a word). 0: no such object.
 */
static unsigned long long object_in_fdinfo(int fd, enum otp_descriptor_kind kind) {
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
    int info = otp_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (info < 0)
        return 0;
    ssize_t size = otp_sys.read(info, text, sizeof(text) - 1);
    close(info);
    text[size > 0 ? size : 0] = 0;
    if (kind == OTP_DESCRIPTOR_BPF_MAP)
        return type_and_id(number_behind(text, "\nmap_type:"), number_behind(text, "\nmap_id:"));
    if (kind == OTP_DESCRIPTOR_BPF_LINK)
        return type_and_id(BPF_LINK_TYPE_ITER, strstr(text, "link_type:\titer") ? number_behind(text, "link_id:") : 0);
    return type_and_id(number_behind(text, "\nprog_type:"), number_behind(text, "\nprog_id:"));
}

/* The same by bpf(2), which is ten times cheaper. All three begin with type and id. */
static unsigned long long object_by_call(int fd, enum otp_descriptor_kind kind) {
    union {
        struct bpf_map_info map;
        struct bpf_prog_info program;
        struct bpf_link_info link;
    } info;
    memset(&info, 0, sizeof(info));
    __u32 size = kind == OTP_DESCRIPTOR_BPF_MAP    ? sizeof(info.map)
                 : kind == OTP_DESCRIPTOR_BPF_LINK ? sizeof(info.link)
                                                   : sizeof(info.program);
    return bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : type_and_id(info.map.type, info.map.id);
}

/* The kernel's own id of the object behind a descriptor; 0 if it is no such object. */
static unsigned long long object_id(int fd, enum otp_descriptor_kind kind) {
    if (kind == OTP_DESCRIPTOR_PERF_EVENT) {
        unsigned long long id = 0;
        return ioctl(fd, PERF_EVENT_IOC_ID, &id) ? 0 : id;
    }
    /* A filter that the host installed after the start may kill whoever calls bpf(2). */
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0))
        return object_in_fdinfo(fd, kind);
    return object_by_call(fd, kind);
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

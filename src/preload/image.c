// SPDX-License-Identifier: Apache-2.0
#include "preload/image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HEADERS_MAX 512 /* program headers looked at */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

/* Reads up to `size` bytes from `offset`; how many came, or -1. */
static ssize_t read_at(int fd, void *buffer, size_t size, off_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)buffer + done, size - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* By the loader that the program names. Its name goes over what was read before. */
static enum otp_image_kind by_loader(struct otp_image *image, int fd, const Elf64_Ehdr *header) {
    for (unsigned i = 0; i < header->e_phnum && i < HEADERS_MAX; i++) {
        Elf64_Phdr each;
        if (read_at(fd, &each, sizeof(each), (off_t)(header->e_phoff + i * sizeof(each))) != (ssize_t)sizeof(each))
            return OTP_IMAGE_DAMAGED;
        if (each.p_type != PT_INTERP)
            continue;
        size_t size = each.p_filesz < OTP_IMAGE_HEAD ? (size_t)each.p_filesz : OTP_IMAGE_HEAD;
        ssize_t got = read_at(fd, image->head, size, (off_t)each.p_offset);
        if (got < 0)
            return OTP_IMAGE_DAMAGED;
        image->head[got] = '\0';
        image->text = image->head;
        return strstr(image->head, "ld-musl") ? OTP_IMAGE_MUSL : OTP_IMAGE_TAKES_US;
    }
    return OTP_IMAGE_STATIC;
}

static enum otp_image_kind program(struct otp_image *image, int fd, mode_t mode, size_t size) {
    Elf64_Ehdr header;
    if (mode & (S_ISUID | S_ISGID))
        return mode & S_ISUID ? OTP_IMAGE_SET_USER_ID : OTP_IMAGE_SET_GROUP_ID;
    if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return OTP_IMAGE_CAPABILITIES;
    if (size < sizeof(header))
        return OTP_IMAGE_SHORT;
    memcpy(&header, image->head, sizeof(header));
    image->elf_class = header.e_ident[EI_CLASS];
    image->elf_machine = header.e_machine;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != MACHINE)
        return OTP_IMAGE_FOREIGN;
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return OTP_IMAGE_OBJECT;
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        return OTP_IMAGE_DAMAGED;
    return by_loader(image, fd, &header);
}

static enum otp_image_kind look(struct otp_image *image, int fd) {
    struct stat status;
    ssize_t size = fstat(fd, &status) == 0 ? read_at(fd, image->head, OTP_IMAGE_HEAD, 0) : -1;
    if (size < 0)
        return OTP_IMAGE_UNREADABLE;
    image->head[size] = '\0';
    if (size >= SELFMAG && memcmp(image->head, ELFMAG, SELFMAG) == 0)
        return program(image, fd, status.st_mode, (size_t)size);
    if (size >= 2 && image->head[0] == '#' && image->head[1] == '!') {
        image->head[strcspn(image->head, "\n")] = '\0';
        image->text = image->head + 2;
        return OTP_IMAGE_SCRIPT;
    }
    return memchr(image->head, '\0', (size_t)size) ? OTP_IMAGE_BINARY : OTP_IMAGE_TEXT;
}

enum otp_image_kind otp_image_look(struct otp_image *image, int fd) {
    image->text = NULL;
    image->elf_class = image->elf_machine = 0;
    return image->kind = look(image, fd);
}

char *otp_image_word(char **at) {
    char *start = *at + strspn(*at, " \t\r");
    size_t length = strcspn(start, " \t\r");
    *at = start + length;
    if (**at)
        *(*at)++ = '\0';
    return *start ? start : NULL;
}

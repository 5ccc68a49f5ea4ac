// SPDX-License-Identifier: Apache-2.0
/*
 * Call frame information: common entries, frame entries and their programs, reduced to what the tables can hold: how
 * the CFA, the frame pointer and the return address are found. DWARF 5 section 6.4, Linux Standard Base (.eh_frame).
 * Everything reads bounded bytes; nothing allocates.
 */
#ifndef OTP_UNWIND_CFI_H
#define OTP_UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "unwind_table.h"

/* The registers that matter, by DWARF number. */
struct otp_cfi_machine {
    uint16_t elf; /* e_machine */
    uint8_t sp;
    uint8_t fp;
    uint8_t ra;
};

/* The machine of an ELF number (EM_X86_64, EM_AARCH64), or NULL. */
const struct otp_cfi_machine *otp_cfi_machine(uint16_t elf);

enum otp_cfa_form {
    OTP_CFA_BAD = 0,      /* not known, or of a form that no rule has */
    OTP_CFA_REGISTER = 1, /* reg + offset */
    OTP_CFA_DEREF = 2,    /* *(reg + offset) + add */
    OTP_CFA_PLT = 3,      /* sp + 8 + (pc & 15 >= offset ? 8 : 0) */
};

struct otp_cfa {
    enum otp_cfa_form form;
    uint32_t reg;
    int64_t offset;
    int64_t add;
};

enum otp_saved_form {
    OTP_SAVED_SAME = 0, /* never said, or said to be unchanged */
    OTP_SAVED_UNDEFINED = 1,
    OTP_SAVED_AT_CFA = 2,      /* in memory at CFA + offset */
    OTP_SAVED_AT_REGISTER = 3, /* in memory at reg + offset */
    OTP_SAVED_OTHER = 4,       /* anything else */
};

struct otp_saved {
    enum otp_saved_form form;
    uint32_t reg;
    int64_t offset;
};

struct otp_cfi_state {
    struct otp_cfa cfa;
    struct otp_saved fp;
    struct otp_saved ra;
};

/* A common entry, read. */
struct otp_cie {
    uint32_t at; /* offset in the section */
    bool signal; /* augmentation 'S' */
    bool sized;  /* augmentation 'z': frame entries carry augmentation data */
    uint8_t fde_encoding;
    uint64_t code_align;
    int64_t data_align;
    struct otp_cfi_state initial;
};

/* Where encoded pointers count from. */
struct otp_cfi_bases {
    uint64_t section;  /* ELF address of the section's first byte */
    uint64_t data;     /* of data-relative pointers; 0: those are refused */
    uint64_t absolute; /* subtracted from absolute pointers: the bias, if the loader has relocated them */
};

/*
 * Reads a pointer of a DW_EH_PE encoding. `address` is the ELF address of the next byte of `bytes`. Indirect and
 * unknown encodings set bytes->bad.
 */
uint64_t otp_cfi_pointer(struct otp_bytes *bytes, uint8_t encoding, uint64_t address,
                         const struct otp_cfi_bases *bases);

/* Reads a common entry from after its CIE id. false: of no use. */
bool otp_cie_read(struct otp_bytes bytes, const struct otp_cfi_machine *machine, struct otp_cie *cie);

/* The rule for a state. OTP_RULE_UNSUPPORTED where no other fits. */
struct otp_rule otp_cfi_rule(const struct otp_cfi_machine *machine, const struct otp_cfi_state *state, bool signal);

#define OTP_CFI_REMEMBERED_MAX 16

/* A program being run. `state` is in force from `location` on, when otp_cfi_next() has returned. */
struct otp_cfi_run {
    struct otp_bytes bytes;
    const struct otp_cfi_machine *machine;
    const struct otp_cie *cie; /* NULL while the initial program of a common entry runs */
    const struct otp_cfi_bases *bases;
    const uint8_t *section; /* first byte, to know ELF addresses by */
    uint64_t code_align;
    int64_t data_align;
    uint8_t fde_encoding;
    uint64_t location; /* ELF address */
    uint64_t next;     /* where the next state begins */
    struct otp_cfi_state state;
    uint32_t remembered;
    struct otp_cfi_state stack[OTP_CFI_REMEMBERED_MAX];
};

enum otp_cfi_step {
    OTP_CFI_END = 0,     /* `state` holds to the end of the function */
    OTP_CFI_ADVANCE = 1, /* `state` holds from `location` to `next`; set location = next and go on */
    OTP_CFI_ERROR = 2,   /* makes no sense from here on */
};

/* Runs to the next change of location. */
enum otp_cfi_step otp_cfi_next(struct otp_cfi_run *run);

/* The two expression forms, from the bytes of a DWARF expression. */
struct otp_cfa otp_cfi_cfa_expression(const struct otp_cfi_machine *machine, struct otp_bytes expression);
struct otp_saved otp_cfi_saved_expression(struct otp_bytes expression);

#endif

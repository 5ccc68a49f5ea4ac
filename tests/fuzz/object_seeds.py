#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz target object_words: object_seeds.py CORPUS_FOLDER."""
import os
import struct
import sys

NULL, PLTRELSZ, STRTAB, SYMTAB, RELA, RELASZ, STRSZ, PLTREL, JMPREL, RUNPATH = 0, 2, 5, 6, 7, 8, 10, 20, 23, 29
MACHINES = {"x86_64": (7, 6, 1), "arm64": (1026, 1025, 257)}  # slot, GOT word, address taken as data
NAMES = b"\0malloc\0free\0own\0"


def symbol(name, index=0, value=0):
    return struct.pack("<IBBHQQ", name, 0x12, 0, index, value, 0)


def seed(machine):
    slot, got, data = MACHINES[machine]
    tags = 9
    names_at = 8 + 16 * tags
    names_at += -names_at % 8
    symbols_at = names_at + len(NAMES) + (-len(NAMES) % 8)
    symbols = symbol(0) + symbol(1) + symbol(8) + symbol(13, 1, 0x40)
    rela_at = symbols_at + len(symbols)
    rela_bytes, slot_bytes = 24 * 3, 24 * 2
    slots_at = rela_at + rela_bytes
    words_at = slots_at + slot_bytes

    def relocation(word, number, kind, addend=0):
        return struct.pack("<QQq", words_at + 8 * word, number << 32 | kind, addend)

    rela = relocation(0, 1, got) + relocation(1, 2, data) + relocation(2, 3, data, 8)
    slots = relocation(3, 1, slot) + relocation(4, 3, slot)
    dynamic = [(STRTAB, names_at), (STRSZ, len(NAMES)), (SYMTAB, symbols_at), (RELA, rela_at), (RELASZ, rela_bytes)]
    dynamic += [(JMPREL, slots_at), (PLTRELSZ, slot_bytes), (PLTREL, RELA), (RUNPATH, 1)]
    out = struct.pack("<Q", len(dynamic)) + b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    for at, part in ((names_at, NAMES), (symbols_at, symbols), (rela_at, rela), (slots_at, slots)):
        out = out.ljust(at, b"\0") + part
    return out + struct.pack("<5Q", 0x40, 0, 0, 0x40, 0x48)


def main():
    for machine in MACHINES:
        with open(os.path.join(sys.argv[1], "object_words", machine), "wb") as file:
            file.write(seed(machine))


if __name__ == "__main__":
    main()

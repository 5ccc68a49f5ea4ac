#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets eh_rows, maps_line and elf_source: unwind_seeds.py CORPUS_FOLDER."""
import os
import struct
import sys

TEXT, SECTION = 0x10000, 0x40000


def record(body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<I", len(body)) + body


class Section:
    """An .eh_frame in the making."""

    def __init__(self, arm64=False, address=SECTION, text=TEXT):
        self.bytes, self.arm64, self.address, self.text = b"", arm64, address, text

    def cie(self, letters=b"zR", encoding=0x1B):
        at = len(self.bytes)
        body = struct.pack("<IB", 0, 1) + letters + b"\0"
        body += bytes([4, 0x78, 30]) if self.arm64 else bytes([1, 0x78, 16])
        body += bytes([1, encoding])
        body += bytes([0x0C, 31, 0]) if self.arm64 else bytes([0x0C, 7, 8, 0x90, 1])
        self.bytes += record(body)
        return at

    def fde(self, cie, start, length, program):
        at = len(self.bytes)
        place = self.address + at + 8
        body = struct.pack("<IiIB", at + 4 - cie, self.text + start - place, length, 0) + bytes(program)
        self.bytes += record(body)


def x86_64():
    section = Section()
    plain, signal = section.cie(), section.cie(b"zRS")
    section.fde(plain, 0x100, 0x50, [0x41, 0x0E, 16, 0x86, 2, 0x43, 0x0D, 6, 0x60, 0x0A, 0x0C, 7, 8, 0xC6, 0x41, 0x0B])
    section.fde(plain, 0x20, 0x60, [0x0F, 11, 0x77, 8, 0x80, 0, 0x3F, 0x1A, 0x3B, 0x2A, 0x33, 0x24, 0x22])
    section.fde(plain, 0x300, 0x40, [0x0F, 3, 0x76, 0x78, 6, 0x10, 6, 2, 0x76, 0, 0x2E, 16])
    section.fde(plain, 0x2000, 0x1000, [0x04, 0, 1, 0, 0, 0x07, 16, 0x02, 9, 0x05, 6, 3])
    section.fde(signal, 0x400, 9, [0x0F, 4, 0x77, 0xA0, 1, 6, 0x10, 16, 3, 0x77, 0xA8, 1])
    return section.bytes + b"\0\0\0\0"


def arm64():
    section = Section(arm64=True)
    plain = section.cie()
    section.fde(plain, 0x100, 0x40, [0x2D, 0x41, 0x0E, 32, 0x9D, 4, 0x9E, 3, 0x41, 0x0D, 29])
    section.fde(plain, 0x200, 0x40, [0x0E, 16, 0x9E, 2])
    return section.bytes + b"\0\0\0\0"


def elf():
    """Headers, a build id, .eh_frame_hdr, .eh_frame and section headers, all at their own address."""
    eh, hdr, note, names_at, sections_at = 0x200, 0x1E0, 0x1B0, 0x400, 0x440
    section = Section(address=eh, text=0)
    section.fde(section.cie(), 0x100, 0x10, [0x41, 0x0E, 16])
    frames = section.bytes + b"\0\0\0\0"
    names = b"\0.eh_frame\0.shstrtab\0"
    head = b"\x7fELF" + bytes([2, 1, 1]) + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0x100, 64, sections_at, 0, 64, 56, 4, 64, 3, 2)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x500, 0x500, 0x1000)
    eh_frame = struct.pack("<IIQQQQQQ", 0x6474E550, 4, hdr, hdr, hdr, 12, 12, 4)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note, note, note, 0x24, 0x24, 4)
    out = bytearray(0x500)

    def put(at, data):
        out[at : at + len(data)] = data

    put(0, head + load + eh_frame + notes + notes)
    put(note, struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20)))
    put(hdr, bytes([1, 0x1B, 3, 0x3B]) + struct.pack("<iI", eh - (hdr + 4), 1))
    put(eh, frames)
    put(names_at, names)
    sections = [(0, 0, 0, 0, 0), (1, 1, eh, eh, len(frames)), (11, 3, 0, names_at, len(names))]
    for i, (name, kind, address, offset, size) in enumerate(sections):
        put(sections_at + 64 * i, struct.pack("<IIQQQQIIQQ", name, kind, 2, address, offset, size, 0, 0, 8, 0))
    return bytes(out)


MAPS = b"""55d0c0a00000-55d0c0a02000 r--p 00000000 fe:00 131141                     /usr/bin/a program
7f3a10000000-7f3a10155000 r-xp 00026000 fe:00 132001                     /usr/lib/libc.so.6 (deleted)
7f3a20000000-7f3a20001000 rwxp 00000000 00:00 0
7ffd11000000-7ffd11002000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def main():
    seeds = {
        "eh_rows/x86_64": b"\0" + x86_64(),
        "eh_rows/arm64": b"\1" + arm64(),
        "maps_line/maps": MAPS,
        "elf_source/object": elf(),
    }
    for name, data in seeds.items():
        path = os.path.join(sys.argv[1], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()

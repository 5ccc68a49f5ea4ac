# SPDX-License-Identifier: Apache-2.0
"""Judges the stacks of a service that does not know what it calls: of what fired, the share that reaches the root of its
thread, which is looked up in the ELF files and not believed; the rest by reason.

    stacks.py FOLDER PROGRAM LEAST      FOLDER of OTLP files, PROGRAM's main thread begins at its entry point, LEAST
                                        samples
"""

import collections
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402
from judge import Judge  # noqa: E402
from recount import recount  # noqa: E402

WANTED = 0.995
ENTRY_BYTES = 64  # _start of crt1.o, x86-64: 38
THREAD_ROOTS = {"clone3", "__clone3", "clone", "__clone"}


def entry_of(program):
    """Where the program's first instruction is: its address in the file's own numbering."""
    text = subprocess.run(["readelf", "-hW", program], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"Entry point address:\s*(0x[0-9a-f]+)", text)[1], 16)


def is_root(frame, program, entry):
    """The frame is where a thread begins: the program's entry point, or the C library's clone."""
    if os.path.realpath(frame.mapping) == program:
        return entry <= frame.offset < entry + ENTRY_BYTES
    return os.path.basename(frame.mapping).startswith("libc.so") and frame.function in THREAD_ROOTS


def main(folder, program, least):
    judge = Judge()
    program = os.path.realpath(program)
    entry = entry_of(program)
    rooted = marked = total = 0
    reasons, false_roots, depths = collections.Counter(), collections.Counter(), []
    for _, _, request in decode.load([folder]):
        for sample in decode.samples(request):
            total += sample.count
            reason = sample.attributes.get("otelprof.stack.stop")
            if reason:
                marked += sample.count
                reasons[reason] += sample.count
            elif is_root(sample.stack[-1], program, entry):
                rooted += sample.count
                depths.append(len(sample.stack))
            else:
                false_roots[sample.stack[-1].mapping, sample.stack[-1].function, hex(sample.stack[-1].offset)] += sample.count
    counts = recount([folder], [])
    fired, lost = counts["fired"], counts["lost"]
    depths.sort()
    print(f"fired {fired}, lost {lost}, samples {total}: to the root {rooted}, marked {marked}; "
          f"depth median {depths[len(depths) // 2] if depths else 0}, most {depths[-1] if depths else 0}")
    for reason, count in reasons.most_common():
        print(f"  ends early, {reason}: {count}")
    judge.expect(f"at least {least} samples fired", fired >= least)
    judge.expect(f"{100 * rooted / max(1, fired):.3f} % of what fired reaches the root >= {100 * WANTED} %",
                 rooted >= WANTED * fired)
    judge.expect(f"no stack says that it is complete and is not: {dict(false_roots)}", not false_roots)
    judge.expect(f"fired {fired} = exported {total} + lost {lost}", fired == total + lost)
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

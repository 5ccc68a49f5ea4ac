# SPDX-License-Identifier: Apache-2.0
"""Judges span_storm.c: at least 99.9 % of the samples inside storm() carry a span, and no record is torn."""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402


def main(directory):
    inside = with_span = torn = inner = 0
    for _, _, request in decode.load([directory]):
        for sample in decode.samples(request):
            if not any(frame.function == "storm" for frame in sample.stack):
                continue
            inside += sample.count
            if not sample.trace_id:
                continue
            with_span += sample.count
            number = int(sample.span_id[:2], 16)
            inner += sample.count if number != 255 else 0
            whole = sample.trace_id == sample.span_id[:2] * 16 and sample.span_id == sample.span_id[:2] * 8
            # A span without an attribute of its own inherits the outer span's.
            attribute = sample.attributes.get("test.number")
            torn += sample.count if not whole or attribute not in (str(number), "255") else 0
    print(f"samples {inside}, with a span {with_span} ({100 * with_span / max(1, inside):.3f} %), "
          f"in inner spans {inner}, torn {torn}")
    # Before the outer span is entered and after it is left the thread is in storm() without one, for microseconds.
    return 0 if inside >= 1000 and inner > 0 and torn == 0 and with_span >= 0.999 * inside else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether a service feels it when the receiver of its profiles misbehaves: the ratio of the 99th percentile of its answer
times with the profiler (which exports every 500 ms to that receiver) against without, by toggled pairs in random order,
after as many pairs with both off.

    receiver_bench.py BUILD CERTIFICATES [MODE:PROTOCOL ...] [--pairs N] [--slice MS]

CERTIFICATES: a folder that tests/lib/certificates.sh made. Runs under the Python of the tests (build/venv).
"""

import argparse
import math
import os
import pathlib
import subprocess
import sys

from toggle_bench import interval

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from failing_server import FailingServer  # pylint: disable=wrong-import-position

MODES = [
    "ok:grpc", "refuse:grpc", "hang:http", "slow-read:http", "reset-mid-body:http", "400:http", "401:http", "404:http",
    "413:http", "429:http", "429-retry-after:http", "503:http", "garbage:http", "huge-reply:http", "partial-success:http",
    "unavailable:grpc", "exhausted:grpc", "exhausted-retry-info:grpc", "unauthenticated:grpc", "goaway:grpc",
    "wrong-certificate:grpc",
]  # fmt: skip


def slices(options, environment, *arguments):
    """What the service says of each slice: [state, answers, p50, p99]."""
    command = [options.build / "tests/bench/receiver_service", str(options.pairs), str(options.slice), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def ratios(rows):
    """Logarithms of p99 on / p99 off, a pair each; where both are off, of the one that came first."""
    for first, second in zip(rows[::2], rows[1::2]):
        ratio = math.log(float(first[3]) / float(second[3]))
        yield -ratio if second[0] == "on" else ratio


def say(what, rows):
    values = list(ratios(rows))
    middle, low, high = (math.exp(value) for value in interval(values))
    answers = sum(int(row[1]) for row in rows) / len(rows)
    print(f"{what:28} p99 ratio {middle:.3f}   95 %: {low:.3f} .. {high:.3f}   n {len(values)}, {answers:.0f} answers a "
          f"slice", flush=True)
    return high


def run(name, options, noise):
    mode, protocol = name.split(":")
    certificate = {}
    if mode == "wrong-certificate":
        certificate = {"certificate": options.certificates / "wrong.crt", "key": options.certificates / "wrong.key"}
    server = FailingServer(mode, protocol, **certificate)
    environment = dict(os.environ, OTELPROF_WINDOW_MS="500", OTEL_EXPORTER_OTLP_ENDPOINT=server.url(),
                       OTEL_EXPORTER_OTLP_PROTOCOL="grpc" if protocol == "grpc" else "http/protobuf",
                       OTEL_EXPORTER_OTLP_TIMEOUT="300")
    cost = say(name, slices(options, environment))
    server.stop()
    good = cost <= max(1.02, noise + 0.01)
    if not good:
        print(f"  MORE than wanted: at most 1.02, or {noise + 0.01:.3f}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("certificates", type=pathlib.Path)
    parser.add_argument("modes", nargs="*", default=MODES)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--slice", type=int, default=700, metavar="MS")
    options = parser.parse_args()
    noise = say("A/A, both off", slices(options, os.environ, "aa"))
    results = [run(name, options, noise) for name in options.modes or MODES]
    print(f"{sum(results)} of {len(results)} receivers are not felt")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

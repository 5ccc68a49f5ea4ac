#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether a service feels it when the receiver of its profiles misbehaves: the ratio of the 99th percentile of its answer
times with the profiler (which exports every 250 ms to that receiver) against without, by toggled pairs in random order,
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


def ratios(rows, mode):
    """Logarithms of p99 on / p99 off, a pair each; where both are off, of the one that came first."""
    halves = [(row[2], float(row[5])) for row in rows if row[0] == mode]
    for first, second in zip(halves[::2], halves[1::2]):
        yield math.log(second[1] / first[1]) if second[0] == "on" else math.log(first[1] / second[1])


def say(what, rows, mode):
    values = list(ratios(rows, mode))
    middle, low, high = (math.exp(value) for value in interval(values))
    print(f"  {what:24} p99 ratio {middle:.3f}   95 %: {low:.3f} .. {high:.3f}   n {len(values)}")
    return high


def run(name, options):
    mode, protocol = name.split(":")
    certificate = {}
    if mode == "wrong-certificate":
        certificate = {"certificate": options.certificates / "wrong.crt", "key": options.certificates / "wrong.key"}
    server = FailingServer(mode, protocol, **certificate)
    environment = dict(os.environ, OTELPROF_WINDOW_MS="250", OTEL_EXPORTER_OTLP_ENDPOINT=server.url(),
                       OTEL_EXPORTER_OTLP_PROTOCOL="grpc" if protocol == "grpc" else "http/protobuf",
                       OTEL_EXPORTER_OTLP_TIMEOUT="300")
    command = [options.build / "tests/bench/receiver_service", str(options.pairs), str(options.slice)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    server.stop()
    rows = [line.split() for line in done.stdout.splitlines()]
    answers = sum(int(row[3]) for row in rows) / len(rows)
    print(f"{name}: {answers:.0f} answers a slice, {len(server.requests.all())} requests, "
          f"{server.requests.connections} connections")
    noise, cost = say("A/A, both off", rows, "aa"), say("on against off", rows, "ab")
    good = cost <= max(1.02, noise + 0.01)
    print(f"  {'as wanted' if good else 'MORE than wanted'}: upper limit {cost:.3f}, at most 1.02 or {noise + 0.01:.3f}",
          flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("certificates", type=pathlib.Path)
    parser.add_argument("modes", nargs="*", default=MODES)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--slice", type=int, default=300, metavar="MS")
    options = parser.parse_args()
    results = [run(name, options) for name in options.modes or MODES]
    print(f"{sum(results)} of {len(results)} receivers are not felt")


if __name__ == "__main__":
    main()

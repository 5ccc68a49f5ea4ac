#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the profiler costs a service under load: CPU time per answer with and without it, by toggled pairs of short
slices in one run, after a run in which both halves are off (what this machine can tell apart at all).

    toggle_bench.py BUILD [shop|redis ...] [--pairs N] [--slice MS] [--steady S] [--rate HZ] [--types NAMES]

BUILD: the folder of the release preset. The server is pinned to CPU 0, the load to CPU 1. The shop enters spans; redis
is unmodified and knows of none. "own threads" come from a stretch with the profiler always on.
"""

import argparse
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench_process import stop

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TYPES = {"cpu": 1, "heap": 4, "lock": 8}  # enum otelprof_profile_type
LIMIT_PERCENT, LIMIT_KB = 5.0, 200.0  # the promise


def trimmed_mean(values, cut=0.1):
    values = sorted(values)
    drop = int(len(values) * cut)
    return statistics.fmean(values[drop:len(values) - drop] or values)


def interval(values, rounds=2000):
    """Trimmed mean, and its 95 % confidence limits by the bootstrap."""
    source = random.Random(1)
    means = sorted(trimmed_mean(source.choices(values, k=len(values))) for _ in range(rounds))
    return trimmed_mean(values), means[int(rounds * 0.025)], means[int(rounds * 0.975)]


def percent(log_ratio):
    return 100 * (math.exp(log_ratio) - 1)


def say(what, values):
    middle, low, high = interval(values)
    print(f"  {what:42} {percent(middle):+7.2f} %   95 %: {percent(low):+6.2f} .. {percent(high):+6.2f}   n {len(values)}")
    return percent(middle)


def pairs_of(rows, mode):
    """[(on, off)] of each pair, as (CPU ns, calls, wall ns)."""
    halves = [(row[3] == "on", tuple(map(int, row[4:7]))) for row in rows if row[0] == "pair" and row[1] == mode]
    pairs = []
    for first, second in zip(halves[::2], halves[1::2]):
        on, off = (first, second) if first[0] else (second, first)
        if min(on[1]) > 0 and min(off[1]) > 0:
            pairs.append((on[1], off[1]))
    return pairs


def report(name, file, rate):
    rows = [line.split() for line in file.read_text().splitlines()]
    print(f"{name} at {rate} Hz")
    extra = 0.0
    for mode, title in (("aa", "A/A, both off"), ("ab", "on against off")):
        pairs = pairs_of(rows, mode)
        cost = say(f"{title}: CPU of its threads an answer",
                   [math.log(on[0] / on[1]) - math.log(off[0] / off[1]) for on, off in pairs])
        say(f"{title}: answers a second",
            [math.log(on[1] / on[2]) - math.log(off[1] / off[2]) for on, off in pairs])
        extra = cost if mode == "ab" else extra
    steady = [list(map(int, row[1:7])) for row in rows if row[0] == "steady"]
    cpu, own, calls, wall, sent, fired = (sum(column) for column in zip(*steady))
    share, rate_kb = 100 * own / (cpu + own), sent / wall * 1e6
    course = [100 * sum(row[1] for row in part) / max(1, sum(row[0] + row[1] for row in part))
              for part in (steady[at:at + 10] for at in range(0, len(steady), 10))]
    print("  own threads, share of each 10 s: " + " ".join(f"{value:.2f}" for value in course) + " %")
    print(f"  own threads: {share:.2f} % of the process's CPU; {rate_kb:.2f} KB/s as files; {fired / wall * 1e9:.0f} "
          f"samples/s, {sent / max(1, fired):.0f} bytes each; {calls / wall * 1e9:.0f} answers/s")
    print(f"  in all: {extra + share:.2f} % of CPU (promise: under {LIMIT_PERCENT:.0f}), {rate_kb:.2f} KB/s "
          f"(promise: under {LIMIT_KB:.0f})\n")


def build_shop(build, work):
    """As a user does: installed library, make, pkg-config."""
    prefix = work / "prefix"
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], **quiet)
    module = next(prefix.rglob("otelprof.pc"))
    subprocess.run(["make", "-C", str(SOURCE / "examples/shop"), f"BUILD={work / 'shop'}",
                    f"PKG_CONFIG_PATH={module.parent}", f"LDFLAGS=-Wl,-rpath,{module.parent.parent}"], **quiet)
    return work / "shop" / "shop"


def start_shop(build, work, environment):
    program = build_shop(build, work)
    server = subprocess.Popen(["taskset", "-c", "0", program], env=environment, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)
    for line in server.stdout:
        if "listening on" in line:
            url = line.split("listening on ")[1].split()[0]
            break
    # One route: a mix of fast and slow requests would drown the difference in the luck of each slice.
    trace = f"traceparent: 00-{'1' * 32}-{'2' * 16}-01"
    return server, ["wrk", "-t1", "-c8", "-d900s", "-H", trace, f"{url}/products?category=1"]


def start_redis(_, work, environment):
    socket = work / "redis.sock"
    environment["OTP_TOGGLE_INIT"] = "1"
    server = subprocess.Popen(["taskset", "-c", "0", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
                               "--dir", work], env=environment, stdout=subprocess.DEVNULL)
    while not socket.exists() and server.poll() is None:
        time.sleep(0.05)
    return server, ["redis-benchmark", "-s", socket, "-t", "set,get,lpush,lpop,sadd,zadd,hset,mset", "-r", "100000", "-d",
                    "100", "-n", "300000", "-l", "-q"]


def run(name, options):
    starters = {"shop": start_shop, "redis": start_redis}
    work = pathlib.Path(tempfile.mkdtemp(prefix="otelprof-toggle."))
    out = work / "slices"
    environment = dict(os.environ, LD_PRELOAD=str(options.build / "tests/bench/libtoggle_control.so"),
                       OTELPROF_OUTPUT_DIR=str(work / "profiles"), OTELPROF_RATE=str(options.rate),
                       OTP_TOGGLE_OUT=str(out), OTP_TOGGLE_PAIRS=str(options.pairs),
                       OTP_TOGGLE_SLICE_MS=str(options.slice), OTP_TOGGLE_STEADY_S=str(options.steady),
                       OTELPROF_PROFILES=options.types,
                       OTP_TOGGLE_TYPES=str(sum(TYPES[name] for name in options.types.split(","))))
    server, command = starters[name](options.build, work, environment)
    load = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30 + options.pairs * 4 * (options.slice + 10) / 1000 + options.steady
        while not out.exists() and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        stop(load)
        stop(server)
    if not out.exists():
        sys.exit(f"{name}: the server ended, or did not get through its slices in time")
    report(name, out, options.rate)
    shutil.rmtree(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("servers", nargs="*", default=["shop", "redis"])
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--slice", type=int, default=25, metavar="MS")
    parser.add_argument("--steady", type=int, default=40, metavar="S")
    parser.add_argument("--rate", type=int, default=99, metavar="HZ")
    parser.add_argument("--types", default="cpu", metavar="NAMES", help="which are taken, and switched: cpu,heap,lock")
    options = parser.parse_args()
    options.build = options.build.resolve()
    for name in options.servers or ["shop", "redis"]:
        run(name, options)


if __name__ == "__main__":
    main()

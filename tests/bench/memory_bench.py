#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Private memory that the profiler adds to a redis-server under load and to a program that sleeps, beyond what loading its
libraries costs anyway. Three kinds of the same process in one run: plain; with the preload object, switched off by
OTELPROF_DISABLED; with the profiler on.

    memory_bench.py BUILD [--seconds S]

Private is Private_Dirty of /proc/PID/smaps without the maps that are shared with the kernel (those are kernel memory, shown
apart): the median of a stretch
before the first window ends, and of one after names have been looked up.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from bench_process import stop

GOAL_MB = 4.0
WINDOW_S = 10
EARLY, LATE = (0.4, 0.9), (3.0, 6.0)  # stretches, in windows


def private_kb(pid):
    total, shared = 0, False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            first = line.split(None, 1)[0]
            if "-" in first and not first.endswith(":"):
                shared = "bpf-map" in line or "bpf_ringbuf" in line
            elif first == "Private_Dirty:" and not shared:
                total += int(line.split()[1])
    return total


def bpf_kb(pid):
    """Size of the maps that the process shares with the kernel programs."""
    total, shared = 0, False
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Size:"):
                total += int(line.split()[1]) if shared else 0
            elif "-" in line.split(None, 1)[0]:
                shared = "bpf-map" in line
    return total


def settle(server):
    """Private memory early and late, and the BPF maps', in KB."""
    seen, maps, start = [], 0, time.monotonic()
    while server.poll() is None and (now := (time.monotonic() - start) / WINDOW_S) < LATE[1]:
        time.sleep(0.25)
        seen.append((now, private_kb(server.pid)))
        maps = max(maps, bpf_kb(server.pid))
    return [statistics.median(value for at, value in seen if low <= at < high) for low, high in (EARLY, LATE)], maps


def run_redis(environment, work):
    socket = work / "redis.sock"
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", work],
                              env=environment, stdout=subprocess.DEVNULL)
    while not socket.exists() and server.poll() is None:
        time.sleep(0.05)
    load = subprocess.Popen(["redis-benchmark", "-s", socket, "-t", "set,get,incr,hset", "-r", "1000", "-d",
                             "100", "-c", "10", "-n", "20000", "-l", "-q"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        return settle(server)
    finally:
        stop(load)
        stop(server)
        socket.unlink(missing_ok=True)


def run_idle(environment, _):
    server = subprocess.Popen(["sleep", "1000"], env=environment)
    try:
        return settle(server)
    finally:
        stop(server)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    options = parser.parse_args()
    preload = options.build.resolve() / "src/preload/libotelprof-preload.so"
    for name, run in (("redis-server under load", run_redis), ("sleep", run_idle)):
        work = pathlib.Path(tempfile.mkdtemp(prefix="otelprof-memory."))
        plain = dict(os.environ)
        loaded = dict(plain, LD_PRELOAD=str(preload), OTELPROF_OUTPUT_DIR=str(work / "profiles"))
        seen = {kind: run(environment, work)
                for kind, environment in (("plain", plain), ("libraries", dict(loaded, OTELPROF_DISABLED="true")),
                                          ("profiler", loaded))}
        shutil.rmtree(work)
        print(f"{name}, MB of private memory; kernel maps {seen['profiler'][1] / 1024:.2f} MB")
        for stage, title in enumerate(("before the first names", "after names of a minute")):
            plain_mb, libraries_mb, profiler_mb = (seen[kind][0][stage] / 1024 for kind in seen)
            print(f"  {title:24} plain {plain_mb:6.2f}   libraries' load +{libraries_mb - plain_mb:.2f}   "
                  f"profiler +{profiler_mb - libraries_mb:.2f} (goal {GOAL_MB:.0f})   ratio {profiler_mb / plain_mb:.2f}")



if __name__ == "__main__":
    main()

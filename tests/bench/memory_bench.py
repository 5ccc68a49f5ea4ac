#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Private memory that the profiler adds to a redis-server under load and to a program that sleeps, beyond what loading its
libraries costs anyway. Three kinds of the same process in one run: plain; with the preload object, switched off by
OTELPROF_DISABLED; with the profiler on.

    memory_bench.py BUILD [--seconds S]

Private is Private_Clean + Private_Dirty of /proc/PID/smaps_rollup, the highest that is seen in the last half of the run.
Memory of the BPF maps is the kernel's own figure (memlock in fdinfo).
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

GOAL_MB = 4.0
FIELDS = ("Private_Clean:", "Private_Dirty:")


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(FIELDS))


def bpf_kb(pid):
    """Memory of the BPF maps that the process holds, as the kernel accounts for it."""
    total = 0
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            text = pathlib.Path(f"/proc/{pid}/fdinfo/{name}").read_text(encoding="ascii")
        except OSError:
            continue
        if "map_id:" in text:
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("memlock:"))
    return total // 1024


def stop(process):
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def settle(server, seconds):
    """The highest private memory of the last half, and the BPF maps'."""
    highest, maps, start = 0, 0, time.monotonic()
    while time.monotonic() < start + seconds and server.poll() is None:
        time.sleep(0.25)
        if time.monotonic() > start + seconds / 2:
            highest, maps = max(highest, private_kb(server.pid)), bpf_kb(server.pid)
    return highest, maps


def run_redis(environment, work, seconds):
    socket = work / "redis.sock"
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", work],
                              env=environment, stdout=subprocess.DEVNULL)
    while not socket.exists() and server.poll() is None:
        time.sleep(0.05)
    load = subprocess.Popen(["redis-benchmark", "-s", socket, "-t", "set,get,incr,hset", "-r", "1000", "-d",
                             "100", "-c", "10", "-n", "20000", "-l", "-q"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        return settle(server, seconds)
    finally:
        stop(load)
        stop(server)
        socket.unlink(missing_ok=True)


def run_idle(environment, _, seconds):
    server = subprocess.Popen(["sleep", "1000"], env=environment)
    try:
        return settle(server, min(seconds, 15))
    finally:
        stop(server)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    preload = options.build.resolve() / "src/preload/libotelprof-preload.so"
    for name, run in (("redis-server under load", run_redis), ("sleep", run_idle)):
        work = pathlib.Path(tempfile.mkdtemp(prefix="otelprof-memory."))
        plain = dict(os.environ)
        loaded = dict(plain, LD_PRELOAD=str(preload), OTELPROF_OUTPUT_DIR=str(work / "profiles"))
        seen = {kind: run(environment, work, options.seconds)
                for kind, environment in (("plain", plain), ("libraries", dict(loaded, OTELPROF_DISABLED="true")),
                                          ("profiler", loaded))}
        shutil.rmtree(work)
        megabytes = {kind: private / 1024 for kind, (private, _) in seen.items()}
        libraries = megabytes["libraries"] - megabytes["plain"]
        added = megabytes["profiler"] - megabytes["libraries"]
        print(f"{name}: private memory {megabytes['plain']:.2f} MB plain; the libraries' load adds {libraries:.2f} MB; "
              f"the profiler adds {added:.2f} MB more (goal {GOAL_MB:.0f} MB), ratio {megabytes['profiler'] / megabytes['plain']:.2f}; "
              f"kernel maps {seen['profiler'][1] / 1024:.2f} MB")


if __name__ == "__main__":
    main()

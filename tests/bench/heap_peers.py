#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ns of a pair of malloc() and free() in a program that knows of no profiler (heap_load), under allocators with and without
their own heap profiling, under heaptrack, and under otelprof over each allocator. One process each, in rounds of random
order; differences and ratios are taken within a round, to the same allocator without profiling, with 95 % limits.

    heap_peers.py BUILD [--rounds N] [--slices N] [--slice MS] [--wall] [--only TEXT ...]

BUILD: the folder of the release preset. Needs the packages that it names when they are missing. The figures are CPU time of
the threads that allocate; with --wall their wall time, in which those wait that write what they have seen through a pipe.
"""

import argparse
import collections
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

from toggle_bench import interval

INTERVAL = 512 * 1024  # bytes, otelprof's default; jemalloc takes its logarithm
JEMALLOC_INTERVAL = f"lg_prof_sample:{INTERVAL.bit_length() - 1}"
PACKAGES = {  # what is looked for: the Debian package that has it
    "libjemalloc.so.2": "libjemalloc2",
    "libtcmalloc.so.4": "libgoogle-perftools4",
    "libmimalloc.so.2": "libmimalloc2.0",
    "heaptrack": "heaptrack",
}


class Peer:
    """One way to start the program. `base` names the way that it is compared with; None: it is such a way."""

    def __init__(self, name, base=None, library=None, environment=None, tool=None):  # pylint: disable=too-many-arguments
        self.name, self.base, self.library, self.tool = name, base, library, tool
        self.environment = environment or {}
        self.path = None

    def needs(self):
        return [name for name in (self.library, "heaptrack" if self.tool == "heaptrack" else None) if name]

    def command(self, options, work):
        load = [options.build / "tests/bench/heap_load", str(options.slices), str(options.slice)]
        if self.tool == "heaptrack":
            return ["heaptrack", "-o", work / "heaptrack", *load]
        if self.tool == "otelprof":
            return [options.build / "src/tool/otelprof", "run", "--profiles", "heap", "--out", work / "profiles", "--", *load]
        return load


def peers():
    jemalloc = {"library": "libjemalloc.so.2"}
    tcmalloc = {"library": "libtcmalloc.so.4"}
    unsampled = {"TCMALLOC_SAMPLE_PARAMETER": "0"}
    mimalloc = {"library": "libmimalloc.so.2"}
    yield Peer("glibc")
    yield Peer("glibc again (A/A)", "glibc")
    yield Peer("otelprof over glibc", "glibc", tool="otelprof")
    yield Peer("heaptrack over glibc", "glibc", tool="heaptrack")
    yield Peer("jemalloc", **jemalloc)
    yield Peer("jemalloc, profiling not active", "jemalloc", environment={"MALLOC_CONF": "prof:true,prof_active:false"},
               **jemalloc)
    yield Peer("jemalloc, profiling", "jemalloc", **jemalloc,
               environment={"MALLOC_CONF": f"prof:true,prof_active:true,{JEMALLOC_INTERVAL}"})
    yield Peer("otelprof over jemalloc", "jemalloc", tool="otelprof", **jemalloc)
    yield Peer("tcmalloc", environment=unsampled, **tcmalloc)
    yield Peer("tcmalloc, sampling", "tcmalloc", environment={"TCMALLOC_SAMPLE_PARAMETER": str(INTERVAL)}, **tcmalloc)
    yield Peer("otelprof over tcmalloc", "tcmalloc", environment=unsampled, tool="otelprof", **tcmalloc)
    yield Peer("mimalloc", **mimalloc)
    yield Peer("otelprof over mimalloc", "mimalloc", tool="otelprof", **mimalloc)


def libraries():
    """Path of each shared object that the loader knows, by name."""
    listing = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = [line.split() for line in listing.splitlines() if "=>" in line]
    return {line[0]: line[-1] for line in reversed(lines)}


def otelprof_works(options):
    """Whether this build takes heap profiles here; says why not."""
    with tempfile.TemporaryDirectory(prefix="otelprof-peers.") as work:
        done = subprocess.run([options.build / "src/tool/otelprof", "run", "--profiles", "heap", "--out", work, "--", "true"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"left out, otelprof: {done.stderr.strip()}")
    return done.returncode == 0


def jemalloc_profiles(path):
    """Whether it was built with profiling. It prints what it is at exit, of a program that leaves stderr open."""
    environment = dict(os.environ, LD_PRELOAD=path, MALLOC_CONF="stats_print:true,stats_print_opts:mdablx")
    done = subprocess.run([sys.executable, "-c", ""], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    return "config.prof: true" in done.stderr


def usable(options):
    """The peers that can run here; says which cannot, and what to install."""
    known, missing, chosen = libraries(), set(), []
    otelprof = otelprof_works(options)
    for peer in peers():
        lacking = [name for name in peer.needs() if name not in known and not shutil.which(name)]
        missing.update(lacking)
        peer.path = known.get(peer.library)
        if lacking or peer.tool == "otelprof" and not otelprof:
            continue
        if "prof:true" in peer.environment.get("MALLOC_CONF", "") and not jemalloc_profiles(peer.path):
            print(f"left out, {peer.name}: {peer.path} was built without --enable-prof")
            continue
        chosen.append(peer)
    if missing:
        print(f"missing: {' '.join(sorted(missing))}; apt-get install --no-install-recommends "
              f"{' '.join(sorted(PACKAGES[name] for name in missing))}")
    if options.only:
        wanted = [peer for peer in chosen if any(text in peer.name for text in options.only)]
        bases = {peer.base for peer in wanted}
        chosen = [peer for peer in chosen if peer in wanted or peer.name in bases]
    return chosen


def measure(peer, options):
    """{(threads, kind): ns}: of each, the median of the slices of one process."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="otelprof-peers."))
    environment = dict(os.environ, **peer.environment)
    if peer.path:
        environment["LD_PRELOAD"] = peer.path
    try:
        done = subprocess.run(peer.command(options, work), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
    finally:
        shutil.rmtree(work)
    if done.returncode:
        sys.exit(f"{peer.name}: exit status {done.returncode}\n{done.stderr}")
    slices = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        if line.startswith("pair "):
            _, threads, kind, cpu, wall = line.split()
            slices[int(threads), int(kind)].append(float(wall if options.wall else cpu))
    return {key: statistics.median(values) for key, values in slices.items()}


def limits(values, digits):
    middle, low, high = interval(values)
    return f"{middle:8.{digits}f} ({low:.{digits}f} .. {high:.{digits}f})"


def ratios(mine, plain):
    logs = [math.log(one / other) for one, other in zip(mine, plain)]
    middle, low, high = (math.exp(value) for value in interval(logs))
    return f"{middle:6.3f} ({low:.3f} .. {high:.3f})"


def report(chosen, rounds, names):
    """A table of each kind of pairs and number of threads."""
    for key in sorted(next(iter(rounds[0].values()))):
        print(f"\n{names[key[1]]}, {key[0]} thread{'s' if key[0] > 1 else ''}")
        print(f"  {'':32}{'ns a pair (95 %)':>28}{'more than plain, ns (95 %)':>32}{'ratio to plain (95 %)':>28}")
        for peer in chosen:
            mine = [results[peer.name][key] for results in rounds]
            line = f"  {peer.name:32}{limits(mine, 2):>28}"
            if peer.base:
                plain = [results[peer.base][key] for results in rounds]
                line += f"{limits([one - other for one, other in zip(mine, plain)], 2):>32}{ratios(mine, plain):>28}"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slices", type=int, default=3, help="of each kind, in each process")
    parser.add_argument("--slice", type=int, default=20, metavar="MS")
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="peers whose names have it, and what they are compared with")
    options = parser.parse_args()
    options.build = options.build.resolve()
    chosen = usable(options)
    if not chosen:
        sys.exit("nothing left to measure")
    names = subprocess.run([options.build / "tests/bench/heap_load", "names"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.splitlines()
    rounds = []
    for _ in range(options.rounds):
        order = random.sample(chosen, len(chosen))
        rounds.append({peer.name: measure(peer, options) for peer in order})
    print(f"{options.rounds} rounds, {'wall' if options.wall else 'CPU'} time of the threads that allocate")
    report(chosen, rounds, names)


if __name__ == "__main__":
    main()

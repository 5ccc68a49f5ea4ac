#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The price of a followed fork: a server that forks and waits, by itself and under `otelprof run`, in turns.

    fork_bench.py BUILD [--rounds N] [--forks N]

As root a child with both capabilities starts its own profiler before fork() returns in it; another one later, if it lives
for 200 ms. Figures in microseconds: what fork() takes in the parent, until the child runs, until it is gone.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile

CAPABILITIES = "+bpf,+perfmon"


def plain_user(*command):
    """A user without root's rights, with the two capabilities."""
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", CAPABILITIES,
            "--ambient-caps", CAPABILITIES, *command]  # fmt: skip


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--forks", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otelprof-fork.") as work:
        prefix = pathlib.Path(work) / "prefix"
        os.chmod(work, 0o777)
        subprocess.run(["cmake", "--install", options.build, "--prefix", prefix], stdout=subprocess.DEVNULL, check=True)
        server = prefix / "fork_price"
        server.write_bytes((options.build / "tests/bench/fork_price").read_bytes())
        server.chmod(0o755)
        run = [prefix / "bin/otelprof", "run", "--out"]
        kinds = {
            "by itself": [server],
            "run --no-follow": [*run, f"{work}/a", "--no-follow", "--", server],
            "run, as root": [*run, f"{work}/b", "--", server],
            "by itself, plain user": plain_user(server),
            "run, plain user": plain_user(*run, f"{work}/c", "--", server),
        }
        rows = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for kind, command in kinds.items():
                done = subprocess.run([*command, str(options.forks)], stdout=subprocess.PIPE, text=True, check=True)
                rows[kind] += [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        print(f"{'':24}" + "".join(f"{name:>26}" for name in ("fork() p50, p99", "child runs p50, p99", "gone p50, p99")))
        for kind, values in rows.items():
            cells = (f"{percentile(column, .5):14.0f}{percentile(column, .99):12.0f}" for column in zip(*values))
            print(f"{kind:24}" + "".join(cells))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Judges what wall_truth.c exported against what its threads measured themselves.

    wall_truth.py [--spoil] FOLDER...      each with out/ and facts.json; --spoil: facts that are wrong, must fail

A thread that waits at one place only has its blocked time there, whole, whatever the ticks hit. One that waits at two
is hit in proportion, as a sample.
"""

import collections
import json
import math
import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.environ.get("OTP_SOURCE", "."), "tests", "decoder"))
import decode  # noqa: E402
from judge import Z_MOST, Judge  # noqa: E402

CPU_PERIOD = 1e9 / 99
WHOLE_MOST = 0.01  # of threads times elapsed time
SITE_MOST = 0.03  # of a thread's elapsed time: waking up takes its time too, and counts as computing
DELAY_MOST = 0.05
DELAY_SHORT = 0.015  # of elapsed time: waits for a CPU below 1 ms between two looks count as blocked
BLOCKED = {"sleeping", "uninterruptible"}


class Look:
    """Sums of one run: nanoseconds by thread, state, place and system call; threads of each snapshot."""

    def __init__(self, folder, workers):
        self.time = collections.Counter()
        self.sites = collections.Counter()
        self.syscalls = collections.defaultdict(collections.Counter)
        self.routes = collections.Counter()
        self.snapshots = []
        self.wrong = collections.Counter()
        for _, _, request in decode.load([folder / "out"]):
            snapshot = collections.Counter()
            for sample in decode.samples(request):
                if sample.type == "wall":
                    self.wall(sample, workers)
                elif sample.type == "goroutine":
                    snapshot[sample.attributes.get("thread.id")] += sample.count
                    self.wrong["a state that is none"] += sample.attributes.get("otelprof.thread.state") not in (
                        BLOCKED | {"running", "runnable"})
            if snapshot:
                self.snapshots.append(snapshot)

    def wall(self, sample, workers):
        name, state = sample.attributes.get("thread.name"), sample.attributes.get("otelprof.thread.state")
        self.time[name, state] += sample.count
        if (sample.unit, sample.period_type, sample.timestamps) != ("nanoseconds", "wall", []):
            self.wrong["a wall sample of another form"] += 1
        if name not in workers:
            return
        if sample.attributes.get("http.route") != name or sample.trace_id[:2] != f"{list(workers).index(name) + 1:02x}":
            self.wrong["a span that is not the thread's"] += 1
        if state not in BLOCKED:
            return
        places = [frame.function for frame in sample.stack if frame.function.startswith("wait_") and frame.function != "wait_at"]
        self.sites[name, places[-1] if places else "nowhere"] += sample.count
        if places:
            self.syscalls[name][sample.attributes.get("otelprof.syscall")] += sample.count


def judge_whole(judge, facts, look):
    """What each thread's samples add up to is the time that went by; the part that runs is a sample of its CPU time."""
    elapsed, total = facts["elapsed"], 0
    for worker in facts["workers"]:
        name = worker["name"]
        parts = {state: look.time[name, state] / elapsed for state in
                 ("running", "runnable", "sleeping", "uninterruptible", "stopped")}
        total += sum(parts.values())
        noise = Z_MOST * math.sqrt(worker["cpu"] * CPU_PERIOD) / elapsed
        print(f"  {name:12} whole {sum(parts.values()):7.4f}   running {parts['running']:.4f} of "
              f"{worker['cpu'] / elapsed:.4f}   runnable {parts['runnable']:.4f} of {worker['delay'] / elapsed:.4f}   "
              f"waited {(worker['waited'] + worker['other']) / elapsed:.4f}")
        judge.expect(f"{name}: adds up to the time that went by", abs(sum(parts.values()) - 1) <= WHOLE_MOST + noise)
        judge.expect(f"{name}: runs as its clock says", abs(parts["running"] - worker["cpu"] / elapsed) <= 0.005 + noise)
        if worker["delay"] > 0.1 * elapsed:
            judge.expect(f"{name}: waits for a CPU as the scheduler says",
                         abs(parts["runnable"] - worker["delay"] / elapsed) <= DELAY_MOST * worker["delay"] / elapsed + DELAY_SHORT)
    share = total / len(facts["workers"])
    judge.expect(f"all threads together: {share:.4f} of threads times elapsed", abs(share - 1) <= WHOLE_MOST)


def judge_sites(judge, facts, look):
    elapsed = facts["elapsed"]
    for worker in facts["workers"]:
        name = worker["name"]
        if name.startswith("burner"):
            continue
        blocked = sum(look.time[name, state] for state in BLOCKED)
        there = look.sites[name, f"wait_{name}"] + (look.sites[name, "wait_second"] if name == "first" else 0)
        judge.expect(f"{name}: is blocked where it waits: {there / max(1, blocked):.4f}", there >= 0.99 * blocked)
        waited, runnable = worker["waited"] + worker["other"], look.time[name, "runnable"]
        judge.expect(f"{name}: blocked {blocked / elapsed:.4f}, and {runnable / elapsed:.4f} runnable, where it says "
                     f"{waited / elapsed:.4f}",
                     blocked <= waited + SITE_MOST * elapsed and blocked + runnable >= waited - SITE_MOST * elapsed)
        calls = look.syscalls[name]
        wanted = {"clock_nanosleep", "poll"} if name == "first" else {worker["syscall"]}
        judge.expect(f"{name}: in {dict(calls)}", set(calls) <= wanted and bool(calls))
    first = next(worker for worker in facts["workers"] if worker["name"] == "first")
    judge_two_places(judge, facts, first, look)


def judge_two_places(judge, facts, worker, look):
    """Each look finds the thread at one of two places with the probability of its share."""
    first, second = look.sites["first", "wait_first"], look.sites["first", "wait_second"]
    share = worker["waited"] / (worker["waited"] + worker["other"])
    looks = (first + second) / facts["interval"]
    z = (first / (first + second) - share) / math.sqrt(share * (1 - share) / looks)
    # A look stands for the time since the one before, which varies: the variance is up to half more than binomial.
    print(f"  first: {first / (first + second):.4f} of its waits at one of two places, true {share:.4f}, z {z:+.2f}")
    judge.expect(f"first: |z| <= {Z_MOST * math.sqrt(1.5):.1f} over {looks:.0f} looks",
                 abs(z) <= Z_MOST * math.sqrt(1.5) and looks * share >= 100)


def judge_snapshots(judge, facts, look):
    known = {worker["tid"] for worker in facts["workers"]}
    judge.expect(f"{len(look.snapshots)} snapshots in files, {facts['snapshots']} taken",
                 len(look.snapshots) >= 4 and abs(len(look.snapshots) - facts["snapshots"]) <= 1)
    for number, snapshot in enumerate(look.snapshots[1:-1]):
        judge.expect(f"snapshot {number + 1} has each of the {len(known) + 2} threads once",
                     known <= set(snapshot) and set(snapshot.values()) == {1} and len(snapshot) == len(known) + 2)


def run(judge, folder):
    facts = json.loads((folder / "facts.json").read_text())
    if "--spoil" in sys.argv:
        for worker in facts["workers"]:
            worker["waited"] = worker["waited"] * 1.1 + 0.06 * facts["elapsed"]
    look = Look(folder, {worker["name"]: worker for worker in facts["workers"]})
    print(f"{folder.name}: {facts['elapsed'] / 1e9:.1f} s, {facts['ticks']} ticks, {facts['interval'] / 1e6:.1f} ms apart")
    judge.expect("nothing is lost", facts["lost"] == 0)
    judge.expect("no system call was interrupted", facts["interrupted"] == 0)
    judge_whole(judge, facts, look)
    judge_sites(judge, facts, look)
    judge_snapshots(judge, facts, look)
    judge.expect(f"nothing is wrong with a sample: {dict(+look.wrong)}", not +look.wrong)


def main():
    folders = [argument for argument in sys.argv[1:] if argument != "--spoil"]
    judge = Judge()
    for folder in folders:
        run(judge, pathlib.Path(folder))
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main())

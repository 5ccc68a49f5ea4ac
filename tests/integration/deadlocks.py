# SPDX-License-Identifier: Apache-2.0
"""Judges what deadlocks.c exported: each thread in the circle is told with its stack, its span, its lock and its holder.

    deadlocks.py FOLDER...      each with out/ and facts.txt
"""

import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.environ.get("OTP_SOURCE", "."), "tests", "decoder"))
import decode  # noqa: E402
from judge import Judge  # noqa: E402


def run(judge, folder):
    lines = [line.split(" ", 1) for line in (folder / "facts.txt").read_text().splitlines()]
    facts = {int(tid): rest.split() for tid, rest in lines if tid.isdigit()}
    logs = [rest for first, rest in lines if first == "log"]
    judge.expect(f"{folder.name}: counted once: {[rest for first, rest in lines if first == 'stats']}",
                 ["stats", "1"] in lines)
    judge.expect(f"{folder.name}: one line in the log, with all of them",
                 len(logs) == 1 and all(f"thread {tid} " in logs[0] for tid in facts))
    told, others = {}, 0
    for _, _, request in decode.load([folder / "out"]):
        for sample in decode.samples(request):
            if sample.type != "goroutine" or "otelprof.deadlock" not in sample.attributes:
                continue
            others += sample.attributes["thread.id"] not in facts
            told[sample.attributes["thread.id"]] = sample
    judge.expect(f"{folder.name}: {len(told)} threads in a deadlock, of {len(facts)}, and {others} others",
                 set(told) == set(facts) and not others)
    for tid, (route, lock, owner, function) in facts.items():
        if tid not in told:
            continue
        attributes, stack = told[tid].attributes, [frame.function for frame in told[tid].stack]
        kind = "rwlock" if lock.startswith("rwlock") else "mutex"
        wanted = {"http.route": route, "otelprof.lock.name": lock, "otelprof.lock.owner.thread.id": int(owner),
                  "otelprof.lock.kind": kind, "otelprof.deadlock": 1, "otelprof.syscall": "futex",
                  "otelprof.thread.state": "sleeping"}
        missing = {key: attributes.get(key) for key, value in wanted.items() if attributes.get(key) != value}
        judge.expect(f"{folder.name}: {route} waits for {lock} of {owner} in {function} {missing or ''}",
                     not missing and function in stack and "lock_up" in stack and
                     bytes.fromhex(told[tid].trace_id).startswith(b"deadlock"))


def main():
    judge = Judge()
    for folder in sys.argv[1:]:
        run(judge, pathlib.Path(folder))
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Judges the profiles that forks.c wrote.

    forks.py parent FACTS DIRECTORY               every sample is the parent's, on a thread of the parent's
    forks.py processes COUNT FACTS DIRECTORY      so many processes, each with profiles of its own work only
"""

import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402

WORK = ("parent_work", "child_work")


class Process:
    def __init__(self):
        self.samples = 0
        self.work = collections.Counter()
        self.instances = set()
        self.threads = set()


def read(directory):
    processes = collections.defaultdict(Process)
    for _, _, request in decode.load([directory]):
        for sample in decode.samples(request):
            if sample.type != "samples":
                continue  # of the heap and of locks: the work takes CPU time
            process = processes[sample.resource["process.pid"]]
            process.samples += sample.count
            process.instances.add(sample.resource["service.instance.id"])
            if sample.attributes.get("otelprof.stack.stop") != "exiting":  # there the kernel has taken the id back
                process.threads.add(sample.attributes.get("thread.id"))
            functions = {frame.function for frame in sample.stack}
            process.work.update({function: sample.count for function in WORK if function in functions})
    return processes


def expect(what, holds):
    print(("ok   " if holds else "FAIL ") + what)
    return not holds


def judge_parent(facts, processes):
    parent = processes[facts["pid"]]
    strangers = parent.threads - set(facts["threads"])
    wrong = expect(f"samples of {sorted(processes)} only: {facts['pid']}", set(processes) == {facts["pid"]})
    wrong += expect(f"no sample of a child's work: {dict(parent.work)}", not parent.work["child_work"])
    wrong += expect("the parent's work was sampled", parent.work["parent_work"] > 100)
    wrong += expect(f"threads of the parent only: {sorted(map(str, strangers))[:5]}", not strangers)
    wrong += expect(f"{parent.samples} samples = exported {facts['exported']} = fired {facts['fired']}",
                    parent.samples == facts["exported"] == facts["fired"])
    wrong += expect(f"fired within 5 % of expected {facts['expected']}",
                    abs(facts["fired"] - facts["expected"]) <= 0.05 * facts["expected"])
    return wrong


def judge_processes(count, facts, processes):
    instances = [instance for process in processes.values() for instance in process.instances]
    wrong = expect(f"{len(processes)} processes, not {count}", len(processes) == count)
    wrong += expect("an instance id of its own for each", len(instances) == len(set(instances)) == count)
    for pid, process in processes.items():
        own, other = WORK if pid == facts["pid"] else reversed(WORK)
        wrong += expect(f"{pid}: its own work only: {dict(process.work)}",
                        process.work[own] > 50 and not process.work[other])
        wrong += expect(f"{pid}: threads of its own", all(
            not process.threads & others.threads for number, others in processes.items() if number != pid))
    return wrong


def main(arguments):
    kind, (facts_file, directory) = arguments[0], arguments[-2:]
    with open(facts_file, encoding="utf-8") as file:
        facts = json.load(file)
    if kind == "parent":
        return 1 if judge_parent(facts, read(directory)) else 0
    return 1 if judge_processes(int(arguments[1]), facts, read(directory)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

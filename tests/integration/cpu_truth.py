# SPDX-License-Identifier: Apache-2.0
"""Judges what cpu_truth.c exported against what it knows: shares of CPU by function and by route, complete stacks,
spans, and the accounting identity recounted from the files by the independent decoder.

    cpu_truth.py FOLDER...      each with out/ and facts.json
"""

import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402
from judge import judge_runs  # noqa: E402

ROUTE = {"truth_plain": "/plain", "truth_libm": "/libm", "truth_qsort": "/qsort", "truth_loaded": "/loaded"}
ROOTS = ("truth_plain", "truth_libm", "truth_qsort", "truth_loaded")


def is_chain(stack, root):
    """From the thread's start to the known function, frame for frame; below it only what that function calls."""
    names = [frame.function for frame in reversed(stack)]
    start = names[1:] if names and names[0] in ("__clone3", "clone3", "clone", "__clone") else names
    return start[:3] == ["start_thread", "work", root] and not set(start[3:]) & {"work", "main", *ROOTS}


def run(judge, folder):
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    by_function, by_route = collections.Counter(), collections.Counter()
    total = spans = complete = chained = 0
    for _, _, request in decode.load([folder / "out"]):
        for sample in decode.samples(request):
            total += sample.count
            functions = {frame.function for frame in sample.stack}
            roots = [root for root in ROOTS if root in functions]
            route = sample.attributes.get("http.route")
            by_route[route] += sample.count
            by_function[roots[0] if len(roots) == 1 else None] += sample.count
            chained += sample.count if roots and is_chain(sample.stack, roots[0]) else 0
            spans += sample.count if sample.trace_id else 0
            complete += sample.count if "otelprof.stack.stop" not in sample.attributes else 0

    cpu = sum(facts["cpu_ns"].values())
    inside = sum(count for function, count in by_function.items() if function)
    routed = sum(count for route, count in by_route.items() if route)
    print(f"samples {total}, in the four functions {inside}, with a route {routed}, complete {complete}")
    del by_function[None], by_route[None]
    judge.rows(by_function, facts["cpu_ns"], "function ")
    judge.rows(by_route, {ROUTE[function]: ns for function, ns in facts["cpu_ns"].items()}, "route ")
    judge.expect(f"known chains, frame for frame: {chained} of {inside} >= 99.5 %", chained >= 0.995 * inside)
    judge.expect("the library in the middle was loaded", facts["loaded"])

    lost = sum(facts["lost"].values())
    judge.expect(f"accounting: fired {facts['fired']} = exported {facts['exported']} + lost {lost}",
                 facts["fired"] == facts["exported"] + lost)
    judge.expect(f"recounted from the files: {total} = exported", total == facts["exported"])
    judge.expect(f"reasons sum up to the records: {sum(facts['stops'])}",
                 sum(facts["stops"]) == facts["fired"] - facts["lost"]["scratch"])
    share = facts["stops"][0] / max(1, facts["fired"])
    judge.expect(f"complete stacks {100 * share:.3f} % >= 99.5 %", share >= 0.995)
    judge.expect(f"fired {facts['fired']} within 3 % of expected {facts['expected']}",
                 abs(facts["fired"] - facts["expected"]) <= 0.03 * facts["expected"])
    judge.expect(f"samples of the four functions that carry a span: {100 * spans / max(1, total):.2f} %",
                 spans >= 0.99 * inside)
    print(f"bytes {facts['bytes']}, own CPU {100 * facts['own_cpu_ns'] / cpu:.2f} % of the program's")


if __name__ == "__main__":
    sys.exit(judge_runs(run, sys.argv[1:]))

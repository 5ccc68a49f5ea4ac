# SPDX-License-Identifier: Apache-2.0
"""Judges runs of span_truth.c: CPU by stage, route and kind of span against what the program spent there, and that each
sample's ids and attributes belong together, exactly.

    span_truth.py FOLDER...      each with out/ and facts.json
"""

import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402
from judge import judge_runs  # noqa: E402

ROUTES = ("/a", "/b/{id}", "/c", "/d/{x}/{y}", "/e")
KINDS = ("none", "outer", "inner", "innermost")


YES, EARLY, NO = "yes", "early", "no"


def belongs(sample, requests):
    """Whether the ids are the program's and say the same as the attributes. EARLY: the span is entered, and its attributes
    are not set yet, which are calls of their own: those of the span around it are still in force."""
    trace, span = bytes.fromhex(sample.trace_id), bytes.fromhex(sample.span_id)
    route, kind = trace[0] - 0xa0, span[0]
    number = int.from_bytes(trace[8:], "little")
    if not (0 <= route < len(ROUTES) and 1 <= kind < len(KINDS) and trace[1:8] == bytes(7) and 1 <= number <= requests
            and int.from_bytes(span[2:], "little") == number
            # the outer span was entered by the first stage, and goes along
            and (kind == 1 and span[1] == 0 or sample.attributes.get("thread.name") == f"stage-{span[1]}")):
        return NO
    said = sample.attributes.get("http.route"), sample.attributes.get("truth.kind")
    if said == (ROUTES[route], KINDS[kind]):
        return YES
    around = ((None, None), (ROUTES[route], None)) if kind == 1 else ((ROUTES[route], KINDS[kind - 1]),)
    return EARLY if said in around else NO


def run(judge, folder):
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    cells, bare = collections.Counter(), collections.Counter()
    total = strangers = early = 0
    for _, _, request in decode.load([folder / "out"]):
        for sample in decode.samples(request):
            total += sample.count
            stage = sample.attributes.get("thread.name", "")
            if not stage.startswith("stage-"):
                continue
            if not sample.trace_id:
                bare[stage] += sample.count
                strangers += sample.count if {"http.route", "truth.kind"} & set(sample.attributes) else 0
                continue
            verdict = belongs(sample, facts["requests"])
            early += sample.count if verdict == EARLY else 0
            strangers += sample.count if verdict == NO else 0
            if verdict == YES:
                cells[stage, sample.attributes["http.route"], sample.attributes["truth.kind"]] += sample.count
    truth = {(f"stage-{number}", route, kind): ns for number, stage in enumerate(facts["stages"])
             for route, kinds in stage["spent"].items() for kind, ns in kinds.items()}
    print(f"{folder.name}: {facts['requests']} requests, {total} samples, {sum(cells.values())} of them in spans")
    for name, parts in (("stage and route", (0, 1)), ("kind of span", (2,)), ("route", (1,))):
        observed, expected = collections.Counter(), collections.Counter()
        for key, count in cells.items():
            observed[" ".join(key[part] for part in parts)] += count
        for key, ns in truth.items():
            expected[" ".join(key[part] for part in parts)] += ns
        judge.rows(observed, expected, f"{name} ")
    for number, stage in enumerate(facts["stages"]):
        inside = sum(ns for kinds in stage["spent"].values() for ns in kinds.values())
        spans = sum(count for key, count in cells.items() if key[0] == f"stage-{number}")
        outside = bare[f"stage-{number}"]
        judge.row(f"stage-{number} outside of spans", outside, outside + spans, 1 - inside / stage["cpu"])
    judge.expect(f"ids and attributes belong together: {strangers} do not", strangers == 0)
    judge.expect(f"between a span's enter and its attributes: {early} <= 0.1 %", early * 1000 <= total)
    judge.expect(f"fired {facts['fired']} = exported {facts['exported']} + lost {facts['lost']}",
                 facts["fired"] == facts["exported"] + facts["lost"])
    judge.expect(f"recounted {total} = exported", total == facts["exported"])
    judge.expect("every span call was in order", facts["misuse"] == 0)


if __name__ == "__main__":
    sys.exit(judge_runs(run, sys.argv[1:]))

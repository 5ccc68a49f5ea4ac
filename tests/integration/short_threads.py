# SPDX-License-Identifier: Apache-2.0
"""Judges a run of short_threads.c: each class of threads has its share of the samples, in spans and not.

    short_threads.py FOLDER FACTS
"""

import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["OTP_SOURCE"], "tests", "decoder"))
import decode  # noqa: E402
from judge import Judge  # noqa: E402


def main(directory, facts_file):
    judge = Judge()
    with open(facts_file, encoding="utf-8") as file:
        facts = json.load(file)
    functions = facts["functions"]
    seen, spans, names = collections.Counter(), collections.Counter(), collections.Counter()
    total = mixed = 0
    threads = collections.defaultdict(set)
    for _, _, request in decode.load([directory]):
        for sample in decode.samples(request):
            total += sample.count
            known = [frame.function for frame in sample.stack if frame.function in functions]
            if len(known) != 1:
                continue
            function = known[0]
            seen[function] += sample.count
            names[function, sample.attributes.get("thread.name")] += sample.count
            threads[function].add(sample.attributes.get("thread.id"))
            route = sample.attributes.get("http.route")
            spans[function] += sample.count if route else 0
            mixed += sample.count if route and route != functions[function]["route"] else 0
    judge.rows(seen, {name: fact["cpu"] for name, fact in functions.items()})
    short = [name for name, fact in functions.items() if 0 < fact["in_span"] < fact["cpu"]]
    judge.row("short threads in spans", sum(spans[name] for name in short), sum(seen[name] for name in short),
              sum(functions[name]["in_span"] for name in short) / sum(functions[name]["cpu"] for name in short))
    for name in functions:
        if name in short:
            own = names[name, "short-lived"]
            judge.expect(f"{name}: {len(threads[name])} threads seen, named in {own} of {seen[name]} samples",
                         own >= 0.99 * seen[name] and len(threads[name]) > 100)
        else:
            judge.expect(f"{name}: all in spans", spans[name] >= 0.995 * seen[name])
    judge.mean()
    judge.expect(f"routes that are another function's: {mixed}", mixed == 0)
    judge.expect(f"fired {facts['fired']} = exported {facts['exported']} = recounted {total}",
                 facts["fired"] == facts["exported"] == total)
    judge.expect(f"threads without a slot: {facts['without_slot']}, registered: {facts['registered']}",
                 facts["without_slot"] == 0 and facts["registered"] >= facts["threads"] // 2)
    judge.expect("no descriptor is left over", not facts["leaked"])
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

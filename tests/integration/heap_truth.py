# SPDX-License-Identifier: Apache-2.0
"""Judges what heap_truth.c exported against its exact counts.

    heap_truth.py FOLDER...      each with out/ and facts.json
    heap_truth.py --self-test    the judge alone: a simulated sampler is found right, wrong ones are not

An allocation of S bytes is chosen with p = 1 - exp(-S/R) and counts 1/p: unbiased, with variance (1-p)/p for objects and
S^2 (1-p)/p for bytes. Rows in which everything is chosen with p > 0.9999 are compared exactly.
"""

import collections
import json
import math
import os
import pathlib
import random
import sys

sys.path.insert(0, os.path.join(os.environ.get("OTP_SOURCE", "."), "tests", "decoder"))
from judge import ROW_LEAST, Z_MOST  # noqa: E402

TYPES = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
SURE = 0.9999
SCATTER = (0.8, 1.2)  # thinning of known variance
# Between a site and the allocator; names as the C and the C++ library's have them.
WRAPPERS = {
    "site_new": {"operator new(unsigned long)", "operator new[](unsigned long)", "operator new[](unsigned long, std::nothrow_t const&)",
                 "operator new(unsigned long, std::nothrow_t const&)"},
    "site_strdup": {"strdup", "__strdup", "__GI___strdup"},
    "site_module": {"module_allocate"},
}  # fmt: skip
CALLERS = ["between", "around", "work_at", "worker", "start_thread"]


class Row:
    """What one type says of one site, and what is true."""

    def __init__(self, sizes, interval, column, bytes_):
        self.exact = self.variance = self.expected_samples = 0
        self.sure = True
        for size, *counts in sizes:
            count, value = counts[column], size if bytes_ else 1
            p = -math.expm1(-size / interval)
            self.exact += count * value
            self.variance += count * value * value * (1 - p) / p
            self.expected_samples += count * p
            self.sure &= p > SURE or not count

    def z(self, measured):
        return (measured - self.exact) / math.sqrt(self.variance)


class Judge:
    """Says each verdict, and remembers how many failed."""

    def __init__(self, quiet=False):
        self.failed, self.quiet = 0, quiet
        self.scores = collections.defaultdict(list)  # by type, of independent rows

    def expect(self, what, holds):
        if not self.quiet and not holds:
            print("FAIL " + what)
        self.failed += not holds

    def say(self, text):
        if not self.quiet:
            print(text)

    def row(self, kind, site, row, measured):
        where = f"{site} {kind}: {measured:.0f} of {row.exact}"
        if row.sure:
            # Each counts 1/p, and each group of the wire is rounded.
            self.expect(f"{where}, exactly", abs(measured - row.exact) <= 1e-4 * row.exact + 1)
            return
        z = row.z(measured)
        self.expect(f"{where}, z {z:+.2f}", abs(z) <= Z_MOST)
        self.expect(f"{where}: {row.expected_samples:.0f} samples are enough", row.expected_samples >= ROW_LEAST)
        self.scores[kind].append(z)

    def site(self, site, interval, measured):
        """`measured`: by type."""
        for kind in TYPES:
            column, bytes_ = int(kind.startswith("inuse")), kind.endswith("space")
            self.row(kind, site["name"], Row(site["sizes"], interval, column, bytes_), measured[kind])

    def together(self):
        """After all rows. Objects and bytes of a site, or what is allocated and live, are not independent."""
        for kind, scores in sorted(self.scores.items()):
            count = len(scores)
            mean = sum(scores) / count
            scatter = math.sqrt(sum((z - mean) ** 2 for z in scores) / count)
            self.say(f"{kind:14} {count} rows: mean of z {mean:+.3f} (within {3 / math.sqrt(count):.3f}), scatter "
                     f"{scatter:.3f}, largest {max(map(abs, scores)):.2f}")  # fmt: skip
            self.expect(f"{kind}: mean of z {mean:+.3f}", abs(mean) <= 3 / math.sqrt(count))
            if count >= 200:
                self.expect(f"{kind}: scatter {scatter:.3f}", SCATTER[0] <= scatter <= SCATTER[1])


def is_chain(stack, site):
    """From the allocator's caller to the thread's start, frame for frame."""
    names = [frame.function for frame in stack]
    while names and names[0] in WRAPPERS.get(site, ()):
        names.pop(0)
    if site == "site_resized" and names[1:2] == ["through_sizes"]:
        names.pop(1)
    elif site == "site_resized" and names[1:2] == ["site_realloc"]:
        names[1:2] = ["between"] if names[2:3] != ["between"] else []
    elif site == "site_resized":
        names.insert(1, "between")
    callers = [name for name in CALLERS if name != "between" or site != "site_resized"]
    names = [name for name in names if name != "between" or site != "site_resized"]
    return names[:1] == [site] and names[1 : 1 + len(callers)] == callers and len(names) <= 2 + len(callers)


def read(folder, facts):
    """By site and type: sums; and what is said of stacks and spans."""
    import decode  # noqa: PLC0415 - the self-test needs no files

    sums = collections.defaultdict(lambda: collections.Counter())
    left, wrong = collections.Counter(), collections.Counter()
    sites = {site["name"]: site for site in facts["sites"]}
    windows = sorted((min(p.time_unix_nano + p.duration_nano for _, _, p in decode.profiles(request)), request)
                     for _, _, request in decode.load([folder / "out"]))  # fmt: skip
    at_live = next(end for end, _ in windows if end >= facts["live_ns"])
    # A window in which nothing is live and nothing was allocated is not sent.
    at_freed = next((end for end, _ in windows if end >= facts["freed_ns"]), math.inf)
    events = 0
    for end, request in windows:
        for sample in decode.samples(request):
            value = sum(sample.values)
            names = {frame.function for frame in sample.stack}
            site = next((sites[name] for name in names if name in sites), None)
            if sample.type.startswith("inuse"):
                if end >= at_freed:
                    left[site["name"] if site else None] += value if sample.type == "inuse_objects" else 0
                if end != at_live:
                    continue
            if not site:
                continue
            sums[site["name"]][sample.type] += value
            if sample.type in ("alloc_objects", "inuse_objects"):
                judge_sample(sample, site, wrong)
                events += 1
    return sums, left, wrong, events


def judge_sample(sample, site, wrong):
    if not is_chain(sample.stack, site["name"]):
        wrong["chain"] += 1
        if wrong["chain"] <= 3:
            print("     ", site["name"], [frame.function for frame in sample.stack], sample.attributes)
    if sample.attributes.get("http.route", "") != site["route"]:
        wrong["route"] += 1
    linked = sample.trace_id != ""
    if sample.type == "alloc_objects" and linked != bool(site["route"]):
        wrong["link"] += 1
    if linked and (not site["route"] or not sample.trace_id.endswith(site["trace"])):
        wrong["trace"] += 1
    if sample.type.startswith("inuse") and sample.attributes.get("otelprof.heap.age") != "<1m":
        wrong["age"] += 1


def run(judge, folder):
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    sums, left, wrong, groups = read(folder, facts)
    for site in facts["sites"]:
        judge.site(site, facts["interval"], sums[site["name"]])
    others = left.pop(None, 0)
    judge.say(f"{folder.name}: fired {facts['fired']}, {groups} groups, live in the end {dict(left)}, others {others}")
    judge.expect(f"nothing of the sites is live in the end: {left}", not +left)
    judge.expect(f"blocks of others that are followed in the end: {facts['left']}", facts["left"] < 20)
    judge.expect(f"chains, routes, links and ages: {dict(wrong)}", not wrong)
    for key in ("ring_full", "lost_frees", "live_lost", "thinned"):
        judge.expect(f"{key} {facts[key]} = 0", facts[key] == 0)
    judge.expect(f"fired {facts['fired']} = exported {facts['exported']}", facts["fired"] == facts["exported"])


# ---------------------------------------------------------------------------------------------- self-test

INTERVAL = 16384
SIMULATED = [
    {"name": "small", "sizes": [[64, 400000, 200000]]},
    {"name": "mixed", "sizes": [[100, 60000, 30000], [3000, 6000, 3000]]},
    {"name": "pages", "sizes": [[4096, 6000, 3000]]},
    {"name": "large", "sizes": [[100000, 1000, 500]]},
    {"name": "sure", "sizes": [[1 << 20, 40, 10]]},
]


def binomial(count, p):
    """Good enough: the normal form, and never outside of what is possible."""
    value = random.gauss(count * p, math.sqrt(count * p * (1 - p)))
    return min(count, max(0, round(value)))


def simulate(site, weight=None, keep=1.0, lost_frees=0, regular=False):
    """What a sampler says; `weight(size, p)`, `keep` (share of samples that arrive) and the rest make it a wrong one."""
    sums = collections.Counter()
    for size, asked, live in site["sizes"]:
        p = -math.expm1(-size / INTERVAL)
        count = (lambda n: round(n * p)) if regular else (lambda n: binomial(n, p * keep))
        chosen_live, chosen_freed = count(live), count(asked - live)
        value = weight(size, p) if weight else 1 / p
        sums["alloc_objects"] += (chosen_live + chosen_freed) * value
        sums["alloc_space"] += (chosen_live + chosen_freed) * value * size
        shown = chosen_live + round(chosen_freed * lost_frees)
        sums["inuse_objects"] += shown * value
        sums["inuse_space"] += shown * value * size
    return sums


def judged(**how):
    judge = Judge(quiet=True)
    for _ in range(60):
        for site in SIMULATED:
            judge.site(site, INTERVAL, simulate(site, **how))
    judge.together()
    return judge.failed


def self_test():
    random.seed(1)
    wrong = {
        "weights of the interval alone": {"weight": lambda size, p: INTERVAL / size},
        "3 % of the samples missing": {"keep": 0.97},
        "1 % of the frees missing": {"lost_frees": 0.01},
        "every so many bytes, not at random": {"regular": True},
    }
    failures = 0
    right = judged()
    print(f"{'ok   ' if not right else 'FAIL '}a right sampler: {right} findings")
    failures += right != 0
    for name, how in wrong.items():
        found = judged(**how)
        print(f"{'ok   ' if found else 'FAIL '}{name}: {found} findings")
        failures += not found
    return failures != 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    judge = Judge()
    for folder in arguments:
        run(judge, pathlib.Path(folder))
    judge.together()
    print(f"{judge.failed} findings")
    return judge.failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

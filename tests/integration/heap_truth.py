# SPDX-License-Identifier: Apache-2.0
"""Judges what heap_truth.c exported against its exact counts.

    heap_truth.py FOLDER...      each with out/ and facts.json

An allocation of S bytes is chosen with p = 1 - exp(-S/R) and counts 1/p: unbiased, with variance (1-p)/p for objects and
S^2 (1-p)/p for bytes. A row is judged as a normal deviate where at least 400 blocks are chosen and at least 100 are not
(the fewer, the more lopsided: with 2 not chosen, one right run in 1,000 is beyond 4.5), and no sample of it counts for
more than a standard deviation; one in which all are chosen with
p > 0.9999 is compared exactly.
"""

import collections
import dataclasses
import json
import math
import os
import pathlib
import sys

sys.path.insert(0, os.path.join(os.environ.get("OTP_SOURCE", "."), "tests", "decoder"))
import decode  # noqa: E402
from judge import ROW_LEAST, SCATTER_ROWS, Z_MOST  # noqa: E402
from recount import profile_counters  # noqa: E402

UNITS = {"alloc_objects": "count", "alloc_space": "bytes", "inuse_objects": "count", "inuse_space": "bytes"}
SURE = 0.9999
MISSED_LEAST = 100
SCATTER = (0.8, 1.2)  # thinning of known variance
AGES = ((60, "<1m"), (600, "1m-10m"), (3600, "10m-1h"), (86400, "1h-1d"), (math.inf, ">=1d"))
AGE_SLACK = 1.5  # seconds between an allocation and the moment from which its age is counted
OTHERS_MOST = 4  # samples of blocks that the C library and the loader keep


class Truth:
    """What one type should say of some sites, and how much it may scatter."""

    def __init__(self, sizes, interval, kind):
        self.exact = self.variance = self.chosen = self.missed = self.excess = self.heaviest = 0
        self.sure = True
        for size, asked, live in sizes:
            count = live if kind.startswith("inuse") else asked
            if not size or not count:
                continue
            value = size if kind.endswith("space") else 1
            p = -math.expm1(-size / interval)
            self.exact += count * value
            self.variance += count * value * value * (1 - p) / p
            self.heaviest = max(self.heaviest, value / p)
            self.chosen += count * p
            self.missed += count * (1 - p)
            self.excess += count * value * (1 / p - 1)  # where all are chosen
            self.sure &= p > SURE


@dataclasses.dataclass
class Window:
    """One export: when it ended, and its samples."""

    end: int
    samples: list


class Judge:
    """Says what fails, and sums up the rest."""

    def __init__(self, quiet=False):
        self.quiet = quiet
        self.failures = []
        self.checks = 0
        self.scores = collections.defaultdict(list)  # by type, of independent rows
        self.totals = collections.defaultdict(lambda: [0, 0, 0])  # by type and site: measured, exact, variance

    def say(self, text):
        if not self.quiet:
            print(text)

    def expect(self, what, holds):
        self.checks += 1
        if not holds:
            self.failures.append(what)
            self.say("FAIL " + what)

    def score(self, what, measured, exact, variance):
        z = (measured - exact) / math.sqrt(variance)
        self.expect(f"{what}: {measured} of {exact}, z {z:+.2f} within {Z_MOST}", abs(z) <= Z_MOST)
        return z

    def row(self, name, kind, truth, measured, groups):
        """One site and type of a run. `groups`: how many sums were rounded for it."""
        if not truth.chosen or truth.sure:
            most = truth.excess + (groups / 2 if kind.endswith("space") else 0)
            self.expect(f"{name} {kind}: {measured} = {truth.exact}, exactly", abs(measured - truth.exact) <= most)
            return
        self.expect(f"{name} {kind}: {truth.chosen:.0f} samples >= {ROW_LEAST}, {truth.missed:.0f} missed >= {MISSED_LEAST}",
                    truth.chosen >= ROW_LEAST and truth.missed >= MISSED_LEAST and truth.heaviest**2 <= truth.variance)
        self.scores[kind].append(self.score(f"{name} {kind}", measured, truth.exact, truth.variance))
        for i, value in enumerate((measured, truth.exact, truth.variance)):
            self.totals[kind, name][i] += value

    def together(self):
        """After all runs. Objects and bytes, or what is allocated and what is live, are not independent of each other."""
        for kind, scores in sorted(self.scores.items()):
            count = len(scores)
            mean = sum(scores) / count
            scatter = math.sqrt(sum((z - mean) ** 2 for z in scores) / count)
            self.say(f"{kind:14} {count} rows: mean of z {mean:+.3f}, scatter {scatter:.3f}, largest {max(map(abs, scores)):.2f}")
            self.expect(f"{kind}: mean of z over {count} rows {mean:+.3f} within {3 / math.sqrt(count):.3f}",
                        abs(mean) <= 3 / math.sqrt(count))
            if count >= SCATTER_ROWS:
                self.expect(f"{kind}: scatter of z over {count} rows {scatter:.3f} in {SCATTER}",
                            SCATTER[0] <= scatter <= SCATTER[1])
        for (kind, name), (measured, exact, variance) in sorted(self.totals.items()):
            self.score(f"{name} {kind} over all runs", measured, exact, variance)
        self.say(f"{self.checks} checks, {len(self.failures)} failed")


# ------------------------------------------------------------------------------------------- single samples


def stands_in(frame, name):
    return os.path.basename(frame.mapping).startswith(name)


def is_chain(stack, site):
    """From the allocator's caller to the thread's start, frame for frame."""
    names = [frame.function for frame in stack]
    at = names.index(site["name"])
    end = at + len(site["chain"])
    above, below = stack[:at], stack[end:]
    return (names[at:end] == site["chain"]
            and bool(above) == bool(site["above"]) and all(stands_in(frame, site["above"]) for frame in above)
            and 1 <= len(below) <= 2 and all(stands_in(frame, "libc.so") for frame in below))


def ids_fit(sample, site):
    """The ids are those that the program makes for this site: its number, the thread and the round."""
    trace, span = bytes.fromhex(sample.trace_id), bytes.fromhex(sample.span_id)
    number, thread, turn = trace[12:15]
    made = trace[:12] == b"heap truth\0\0" and trace[15] == 0 and span == b"heap" + trace[12:15] + b"\0"
    return made and number == site["number"] and bool(thread) == bool(turn) == (not site["one_span"])


def ages_between(youngest, oldest):
    """Names of the classes of these ages, in seconds."""
    return [name for i, (end, name) in enumerate(AGES) if end > youngest and (AGES[i - 1][0] if i else 0) <= oldest]


class Look:
    """What is wrong with the samples of known sites: how often, with the first example."""

    def __init__(self, facts):
        self.facts = facts
        self.sites = {site["name"]: site for site in facts["sites"]}
        self.callers = {name for site in facts["sites"] for name in site["chain"]}
        self.wrong = collections.Counter()
        self.example = {}

    def blame(self, what, sample):
        self.wrong[what] += 1
        self.example.setdefault(what, (sample.type, [frame.function for frame in sample.stack], sample.attributes,
                                       sample.trace_id, sample.span_id, sample.values))

    def site_of(self, sample):
        names = {frame.function for frame in sample.stack}
        site = next((self.sites[name] for name in names if name in self.sites), None)
        if not site and names & self.callers:
            self.blame("a stack of the work without its site", sample)
        return site

    def ages(self, window):
        youngest = (window.end - self.facts["all_live"][0]) / 1e9 - AGE_SLACK
        return ages_between(youngest, (window.end - self.facts["started"]) / 1e9 + AGE_SLACK)

    def sample(self, sample, site, window):
        inuse = sample.type.startswith("inuse")
        keys = ({"http.route"} if site["route"] else set()) | ({"otelprof.heap.age"} if inuse else set())
        for what, holds in (
            ("type, unit or period", UNITS.get(sample.type) == sample.unit and sample.period_type == "space"
             and sample.period == self.facts["interval"]),
            ("values", len(sample.values) == 1 and sample.values[0] > 0 and not sample.timestamps),
            ("chain", is_chain(sample.stack, site)),
            ("attributes", set(sample.attributes) == keys),
            ("route", sample.attributes.get("http.route", "") == site["route"]),
            ("link without a span, or an allocation in a span without", bool(sample.trace_id) == bool(site["route"])
             or inuse and not sample.trace_id),
            ("ids", not sample.trace_id or ids_fit(sample, site)),
            ("age", not inuse or sample.attributes.get("otelprof.heap.age") in self.ages(window)),
        ):
            if not holds:
                self.blame(what, sample)


# ----------------------------------------------------------------------------------------------------- runs


def window_of(windows, span):
    """The window that a flush ended; the last one, if another ended in the same moment."""
    return next((window for window in reversed(windows) if span[0] <= window.end <= span[1]), None)


def add_up(look, windows, prefix):
    """Sums and numbers of samples, by site and type and by route and type, of types that begin with `prefix`."""
    sums, groups, routes, others = (collections.Counter() for _ in range(4))
    for window in windows:
        for sample in window.samples:
            if not sample.type.startswith(prefix):
                continue
            site = look.site_of(sample)
            if not site:
                others[sample.type] += 1
                continue
            look.sample(sample, site, window)
            sums[site["name"], sample.type] += sample.count
            groups[site["name"], sample.type] += 1
            routes[sample.attributes.get("http.route", ""), sample.type] += sample.count
    return sums, groups, routes, others


def judge_routes(judge, facts, sums, kind):
    """All sites of a route together: sizes and all. Not of new blocks where the C library asks for some of its own."""
    sizes = collections.defaultdict(list)
    for site in facts["sites"]:
        sizes[site["route"]] += site["sizes"]
    own = {site["route"] for site in facts["sites"] if site["asks_more"] and kind.startswith("alloc")}
    for route, list_ in sizes.items():
        truth = Truth(list_, facts["interval"], kind)
        if route not in own and truth.variance and not truth.sure:
            judge.score(f"route {route or '(none)'} {kind}", sums[route, kind], truth.exact, truth.variance)


def judge_sites(judge, facts, look, windows, prefix):
    """All types with this prefix. Returns the sums by site."""
    sums, groups, routes, _ = add_up(look, windows, prefix)
    for kind in (kind for kind in UNITS if kind.startswith(prefix)):
        for site in facts["sites"]:
            truth = Truth(site["sizes"], facts["interval"], kind)
            key = site["name"], kind
            if site["asks_more"] and prefix == "alloc":
                least = truth.exact - Z_MOST * math.sqrt(truth.variance)
                judge.expect(f"{site['name']} {kind}: {sums[key]}, at least {truth.exact}", sums[key] >= least)
            else:
                judge.row(site["name"], kind, truth, sums[key], groups[key])
        judge_routes(judge, facts, routes, kind)
    return sums, groups


def judge_leak(judge, facts, look, window, before, groups_before):
    """All but the leak is freed: the same blocks of it are there as before, with their links, and nothing else."""
    sums, groups, _, _ = add_up(look, [window], "inuse")
    for site in facts["sites"]:
        for kind in ("inuse_objects", "inuse_space"):
            key = site["name"], kind
            wanted = before[key] if site["outlives"] else 0
            rounding = (groups[key] + groups_before[key]) / 2
            judge.expect(f"{site['name']} {kind}: {sums[key]}, when all but the leak is freed, = {wanted}",
                         abs(sums[key] - wanted) <= rounding)
    bare = sum(not sample.trace_id for sample in window.samples for site in [look.site_of(sample)] if site)
    judge.expect(f"live samples of the leak without a link: {bare}", bare == 0)


def judge_end(judge, look, window):
    """All is freed."""
    sums, _, _, others = add_up(look, [window], "inuse")
    judge.expect(f"live when all is freed: {dict(sums)}", not sums)
    judge.expect(f"live samples of others in the end: {dict(others)}, at most {OTHERS_MOST} a type",
                 all(count <= OTHERS_MOST for count in others.values()))


def judge_program(judge, facts):
    """What the program says of itself and of the library."""
    lost = {name: count for name, count in facts["losses"].items() if count}
    judge.expect(f"lost: {lost}", not lost)
    judge.expect(f"fired {facts['fired']} = chosen {facts['chosen']} = exported {facts['exported']}",
                 facts["fired"] == facts["chosen"] == facts["exported"])
    for site in facts["sites"]:
        if site["moved"] or site["in_place"]:
            judge.expect(f"{site['name']}: blocks moved {site['moved']} times, and stayed {site['in_place']} times",
                         site["moved"] and site["in_place"])


def judge_run(judge, name, facts, windows):
    """One run: its facts, and its windows in order."""
    look = Look(facts)
    judge_program(judge, facts)
    judge_sites(judge, facts, look, windows, "alloc")
    all_live, leak_live, none_live = (window_of(windows, facts[key]) for key in ("all_live", "leak_live", "none_live"))
    judge.expect(f"{name}: a window for each of three flushes", all_live and leak_live and none_live)
    if all_live and leak_live and none_live:
        sums, groups = judge_sites(judge, facts, look, [all_live], "inuse")
        judge_leak(judge, facts, look, leak_live, sums, groups)
        judge_end(judge, look, none_live)
    for what, count in look.wrong.items():
        judge.expect(f"{name}: {count} samples with a wrong {what}, the first: {look.example[what]}", False)
    judge.say(f"{name}: {facts['chosen']} chosen, {len(windows)} windows, "
              f"{sum(len(window.samples) for window in windows)} samples, {len(judge.failures)} failures so far")


def read(folder):
    """The windows of a run, in the order of their ends, and what their counters add up to."""
    windows, counters = [], collections.Counter()
    for _, _, request in decode.load([folder / "out"]):
        ends = [profile.time_unix_nano + profile.duration_nano for _, _, profile in decode.profiles(request)]
        counters.update(profile_counters(request))
        if ends:
            windows.append(Window(max(ends), list(decode.samples(request))))
    return sorted(windows, key=lambda window: window.end), counters


def main(folders):
    judge = Judge()
    for folder in map(pathlib.Path, folders):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        windows, counters = read(folder)
        judge_run(judge, folder.name, facts, windows)
        judge.expect(f"{folder.name}: chosen {facts['chosen']} = counted in the files {counters['otelprof.heap.samples']}",
                     facts["chosen"] == counters["otelprof.heap.samples"])
    judge.together()
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

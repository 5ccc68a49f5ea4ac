# SPDX-License-Identifier: Apache-2.0
"""Judges what lock_truth.c exported against what it knows of its waits.

    lock_truth.py FOLDER...      each with out/ and facts.json

A wait of W ns that counts for m ns in its choice (src/hooks/lock_wait.h) is chosen with p = 1 - exp(-m/R), and stands for
1/p waits and W/p ns: unbiased, with variance (1-p)/p and W^2 (1-p)/p. The holder's side carries the same weights, so it
must agree with the waiter's but for rounding.
"""

import collections
import json
import math
import os
import pathlib
import sys
import types

sys.path.insert(0, os.path.join(os.environ.get("OTP_SOURCE", "."), "tests", "decoder"))
import decode  # noqa: E402
from heap_truth import MISSED_LEAST, Judge  # noqa: E402
from recount import profile_counters  # noqa: E402

UNITS = {"contentions": "count", "delay": "nanoseconds"}
BARGING_SHARE = 0.95  # of the weight at the function that let go
BARGING_LEAST = 100
EARLY_MOST = 4
HOOK_NS = 150  # of a wait: two looks at the clock, and the board
CAPTURE_MOST = 8000  # ns of one that is chosen: its stack, by cold memory; how much it is, each machine's runs tell
ROWS_LEAST = 0.5
# A waiter that is held up before it has posted itself (and waits all the longer) is not seen by the one who releases.
HOLDER_LEAST = {"contentions": 0.98, "delay": 0.9}


class Look:
    """Sums by site, side and type, and what is wrong with single samples."""

    def __init__(self, facts):
        self.facts = facts
        self.sites = {site["name"]: site for site in facts["sites"]}
        self.sums = collections.Counter()
        self.groups = collections.Counter()
        self.wrong = collections.Counter()
        self.example = {}
        self.barging = collections.Counter()
        self.early = collections.Counter()
        self.got_after_all = collections.Counter()

    def blame(self, what, sample):
        self.wrong[what] += 1
        self.example.setdefault(what, (sample.period_type, sample.type, [frame.function for frame in sample.stack],
                                       sample.attributes, sample.trace_id, sample.values))

    def expected(self, site, side):
        """Attributes that a sample of the site has, and those that it may have."""
        wanted = {"otelprof.lock.kind": site["kind"], "http.route": f"/{site['name']}/{'wait' if side == 'block' else 'hold'}"}
        mode = site["mode"] if side == "block" else site["holder_mode"]
        if mode:
            wanted["otelprof.lock.mode"] = mode
        if site["lock"]:
            wanted["otelprof.lock.name"] = site["lock"]
            wanted["otelprof.lock.address"] = site["address"]
        if side == "block" and site["owner"]:
            wanted["otelprof.lock.owner.thread.id"] = site["owner"]
        if site["times_out"]:
            wanted["otelprof.lock.outcome"] = "timeout"
        return wanted

    def ids_fit(self, sample, site, side):
        number = list(self.sites).index(site["name"])
        trace = bytes.fromhex(sample.trace_id or "")
        if site["name"] == "join":
            number = len(self.sites) - 1
        return trace == (b"lock truth\0\0" + bytes([number + 1]) + (b"w" if side == "block" else b"h") + b"\0\0")

    def sample(self, sample):
        side = sample.period_type
        leaf = sample.stack[0].function
        if leaf.startswith("release_barging_") and side == "mutex":
            self.barging[sample.type, leaf[-1]] += sample.count
            if sample.attributes.get("http.route") != f"/barging_{leaf[-1]}/hold":
                self.blame("route of a barging holder", sample)
            return
        prefix = {"block": "wait_", "mutex": "release_"}.get(side)
        site = self.sites.get(leaf[len(prefix):]) if prefix and leaf.startswith(prefix) else None
        if not site:
            return
        kind = sample.attributes.get("otelprof.lock.kind")
        if site["name"] in ("condition", "barrier") and kind != site["kind"]:
            return  # the mutex that goes with a condition
        if site["times_out"] and "otelprof.lock.outcome" not in sample.attributes and side == "block":
            self.got_after_all[site["name"], sample.type] += sample.count
            return  # which the program does not count
        if side == "mutex" and site["times_out"]:
            return
        if side == "mutex" and not site["has_holder"]:
            self.blame("holder of what has none", sample)
            return
        self.sums[site["name"], side, sample.type] += sample.count
        if site["name"] == "module" and sample.attributes.get("otelprof.stack.stop") == "unknown_module":
            self.early[side] += 1  # before the profiler has seen that something was loaded
            return
        self.groups[site["name"], side, sample.type] += 1
        for what, holds in (
            ("unit", UNITS.get(sample.type) == sample.unit),
            ("period", sample.period == self.facts["interval"]),
            ("values", len(sample.values) == 1 and sample.values[0] > 0 and not sample.timestamps),
            ("attributes", sample.attributes == self.expected(site, side)),
            ("ids", self.ids_fit(sample, site, side)),
            ("stack", sample.stack[-1].function in ("clone3", "_start")),
        ):
            if not holds:
                self.blame(what, sample)


def fit_capture(runs):
    """ns that the work of the hook adds to a wait that is chosen: the program's clock stands around that too. It is what
    the delays of all sites together lack, within bounds that leave a wrong weight nowhere to hide."""
    lacks = weights = 0
    for facts, look in runs:
        for site in facts["sites"]:
            if site["missed"] < MISSED_LEAST or not site["delay_variance"]:
                continue
            lack = site["delay"] - site["contentions"] * HOOK_NS - look.sums[site["name"], "block", "delay"]
            lacks += lack * site["chosen"] / site["delay_variance"]
            weights += site["chosen"] ** 2 / site["delay_variance"]
    return min(max(lacks / weights if weights else 0, 0), CAPTURE_MOST)


def truth_of(site, kind, capture_ns):
    exact = site[kind]
    if kind == "delay":
        exact -= site["contentions"] * HOOK_NS + site["chosen"] * capture_ns
    return types.SimpleNamespace(exact=exact, variance=site[kind + "_variance"], chosen=site["chosen"],
                                 missed=site["missed"], heaviest=site[kind + "_heaviest"], sure=False, excess=0)


def judge_row(judge, site, kind, measured, groups):
    """A row that hangs on one wait, or in which nearly all are chosen (a busy machine makes waits long), is no normal
    deviate, and says nothing."""
    truth = truth_of(site, kind, judge.capture_ns)
    says = truth.heaviest**2 <= truth.variance and truth.missed >= MISSED_LEAST
    judge.rows[says] += 1
    if says:
        judge.row(site["name"], kind, truth, measured, groups)


def judge_sites(judge, facts, look):
    for site in facts["sites"]:
        for kind in UNITS:
            key = site["name"], "block", kind
            judge_row(judge, site, kind, look.sums[key], look.groups[key])
            if not site["has_holder"]:
                continue
            held = look.sums[site["name"], "mutex", kind]
            rounding = (look.groups[key] + look.groups[site["name"], "mutex", kind]) / 2
            least = HOLDER_LEAST[kind] * look.sums[key]
            judge.expect(f"{site['name']} {kind}: {held} at the holder, {look.sums[key]} at the waiter",
                         least - rounding <= held <= look.sums[key] + rounding)


def judge_barging(judge):
    """Shares of the delay by who let go, of all runs: how far they are from the truth, all in all."""
    exact, measured, waits = ([sum(run) for run in zip(*column)] for column in zip(*judge.barging))
    if not sum(measured) or not sum(exact):
        judge.expect("barging threads were seen", False)
        return
    judge.expect(f"barging: {sum(waits)} waits seen, at least {BARGING_LEAST}", sum(waits) >= BARGING_LEAST)
    apart = sum(abs(m / sum(measured) - e / sum(exact)) for m, e in zip(measured, exact)) / 2
    judge.expect(f"barging: {1 - apart:.3f} of the weight at the function that let go, at least {BARGING_SHARE}",
                 1 - apart >= BARGING_SHARE)


def look_at(facts, samples):
    look = Look(facts)
    for sample in samples:
        look.sample(sample)
    return look


def judge_run(judge, name, facts, look, counters):
    judge_sites(judge, facts, look)
    numbers = range(len(facts["barging"]))
    judge.barging.append((facts["barging"], [look.barging["delay", str(i)] for i in numbers],
                          [look.barging["contentions", str(i)] for i in numbers]))  # fmt: skip
    judge.expect(f"{name}: groups of the library's waits before it was known: {dict(look.early)}",
                 all(count <= EARLY_MOST for count in look.early.values()))
    for (site, kind), count in look.got_after_all.items():
        judge.expect(f"{name}: {site}: {kind} {count} without a timeout, {look.sums[site, 'block', kind]} with",
                     count <= look.sums[site, "block", kind])
    lost = {what: count for what, count in facts["losses"].items() if count}
    judge.expect(f"{name}: lost: {lost}", not lost)
    judge.expect(f"{name}: unseen holders {facts['unseen']} of {facts['chosen']}", facts["unseen"] <= facts["chosen"] / 100)
    judge.expect(f"{name}: the interval stayed: {facts['interval_at_end']}", facts["interval_at_end"] == facts["interval"])
    judge.expect(f"{name}: fired {facts['fired']} = waits {facts['chosen']} + holders {facts['holders']} = exported "
                 f"{facts['exported']}", facts["fired"] == facts["chosen"] + facts["holders"] == facts["exported"])
    judge.expect(f"{name}: chosen {facts['chosen']} = counted in the files {counters['otelprof.lock.samples']}",
                 facts["chosen"] == counters["otelprof.lock.samples"])
    for what, count in look.wrong.items():
        judge.expect(f"{name}: {count} samples with a wrong {what}, the first: {look.example[what]}", False)
    judge.say(f"{name}: {facts['chosen']} waits chosen, {facts['holders']} holders, {facts['by_leaf']} by their leaf, "
              f"{len(judge.failures)} failures so far")


def read(folder):
    samples, counters = [], collections.Counter()
    for _, _, request in decode.load([folder / "out"]):
        counters.update(profile_counters(request))
        samples += list(decode.samples(request))
    return samples, counters


def main(folders):
    judge = Judge()
    judge.rows, judge.barging = collections.Counter(), []
    runs = []
    for folder in map(pathlib.Path, folders):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        samples, counters = read(folder)
        runs.append((folder.name, facts, look_at(facts, samples), counters))
    judge.capture_ns = fit_capture([(facts, look) for _, facts, look, _ in runs])
    judge.say(f"the stack of a chosen wait takes {judge.capture_ns:.0f} ns")
    for run in runs:
        judge_run(judge, *run)
    judge_barging(judge)
    judge.expect(f"rows that say something: {judge.rows[True]} of {judge.rows.total()}",
                 judge.rows[True] >= ROWS_LEAST * judge.rows.total())
    judge.together()
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

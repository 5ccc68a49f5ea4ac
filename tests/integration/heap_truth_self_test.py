# SPDX-License-Identifier: Apache-2.0
"""The judge of heap_truth.py itself: runs that a right sampler draws pass, and each wrong one is found by the check that
is meant to find it.

    heap_truth_self_test.py [JUDGEMENTS]    with a number: how often a right sampler is found wrong, of so many
"""

import collections
import copy
import math
import random
import sys

from heap_truth import SURE, UNITS, Judge, Window, decode, judge_run

RUNS = 20
INTERVAL = 65536
SECOND = 10**9
START = 1_700_000_000 * SECOND
KEPT = {"outlives": 0, "asks_more": 0, "one_span": 0, "moved": 0, "in_place": 0, "above": "", "route": ""}


def site(number, name, sizes, **more):
    chain = ["site_" + name, "call_" + name, "allocate_one", "serve", "work_a_round", "worker"]
    return KEPT | {"number": number, "name": "site_" + name, "chain": chain, "sizes": sizes} | more


SITES = [
    site(1, "small", [[64, 3072000, 768000]], route="/small"),
    site(2, "mixed", [[20, 218000, 54500], [150, 218000, 54500], [600, 218000, 54500]], route="/small"),
    site(3, "pages", [[4096, 48000, 12000]], route="/pages"),
    site(4, "middle", [[102400, 3000, 1500]]),
    site(5, "sure", [[1 << 20, 60, 15]], route="/large"),
    site(6, "leak", [[2000, 22937, 22937]], route="/leak", outlives=1, one_span=1),
    site(7, "resized", [[100, 60000, 0], [3000, 60000, 0], [1500, 60000, 30000]], moved=7, in_place=9),
    site(8, "new", [[700, 280000, 70000]], above="libstdc++.so"),
    site(9, "text", [[450, 291000, 97000]], above="libc.so", asks_more=1),
    site(10, "handed", [[500, 393000, 98000]], route="/handed"),
    site(11, "module", [[1500, 131000, 32000]], above="heap_module.so"),
    site(12, "aligned", [[896, 219000, 54000]]),
    site(13, "zero", [[0, 100000, 50]]),
]


# ------------------------------------------------------------------------------------------- a right sampler


def binomial(count, p):
    """The normal form where it is good enough."""
    if not p:
        return 0
    if count * p * (1 - p) < 50:
        return sum(random.random() < p for _ in range(count))
    return min(count, max(0, round(random.gauss(count * p, math.sqrt(count * p * (1 - p))))))


class Sampler:
    """What is chosen of some allocations, and what it counts. Wrong ones differ in one of these."""

    def chosen(self, _name, count, p):
        return binomial(count, p)

    def sums(self, chosen):
        """Objects and bytes of {size: how many were chosen}."""
        weights = {size: -1 / math.expm1(-size / INTERVAL) for size in chosen if size}
        return (sum(count * weights[size] for size, count in chosen.items() if count),
                sum(count * weights[size] * size for size, count in chosen.items() if count))

    def live(self, _name, live, _freed):
        """Of what is chosen: what is shown as live."""
        return live


def frames_of(about):
    names = ([("above", about["above"] + ".6")] if about["above"] else []) + [(name, "heap_truth") for name in about["chain"]]
    names += [("start_thread", "libc.so.6"), ("clone3", "libc.so.6")]
    return [decode.Frame(name, name, "", 0, "/lib/" + mapping, "", 0, 0, "native", False) for name, mapping in names]


def sample_of(about, kind, value, turn):
    thread = (0, 0) if about["one_span"] else (1 + turn % 3, 1 + turn)
    tail = bytes((about["number"], *thread, 0))
    linked = bool(about["route"])
    attributes = {"http.route": about["route"]} if linked else {}
    if kind.startswith("inuse"):
        attributes["otelprof.heap.age"] = "<1m"
    return decode.Sample(kind, UNITS[kind], "space", INTERVAL, frames_of(about), attributes,
                  (b"heap truth\0\0" + tail).hex() if linked else "", (b"heap" + tail).hex() if linked else "",
                  [], [round(value)], {})


def samples_of(sampler, about, chosen, prefix, turn):
    values = sampler.sums(chosen)
    kinds = (prefix + "_objects", prefix + "_space")
    return [sample_of(about, kind, value, turn) for kind, value in zip(kinds, values) if value]


def facts_of_a_run():
    sites = copy.deepcopy(SITES)
    late = site(14, "late", [[1 << 20, 16, 0]], route="/late")
    late["chain"][-2:] = ["late_worker"]
    flushes = {name: [START + at * SECOND, START + at * SECOND + SECOND // 10]
               for name, at in (("all_live", 2), ("leak_live", 3), ("none_live", 4))}
    return {"interval": INTERVAL, "started": START, "fired": 9, "chosen": 9, "exported": 9, "losses": {"live": 0},
            "sites": [*sites, late]} | flushes


def simulate(sampler):
    """Facts and windows: two in which work is done, the second of them ended by the first flush; the leak; the end."""
    facts = facts_of_a_run()
    first, *flushed = (Window(START + at * SECOND // 100, []) for at in (100, 205, 305, 405))
    for about in facts["sites"]:
        live, freed, early = (collections.Counter() for _ in range(3))
        for size, asked, kept in about["sizes"]:
            p = -math.expm1(-size / INTERVAL)
            live[size] = sampler.chosen(about["name"], kept, p)
            freed[size] = sampler.chosen(about["name"], asked - kept, p)
            early[size] = (live[size] + freed[size]) // 3
        late = about["name"] == "site_late"
        first.samples += [] if late else samples_of(sampler, about, early, "alloc", 1)
        rest = {size: live[size] + freed[size] - (0 if late else early[size]) for size in live}
        flushed[2 if late else 0].samples += samples_of(sampler, about, rest, "alloc", 2)
        shown = samples_of(sampler, about, sampler.live(about["name"], live, freed), "inuse", 2)
        flushed[0].samples += shown
        flushed[1].samples += copy.deepcopy(shown) if about["outlives"] else []
    return facts, [first, *flushed]


# ----------------------------------------------------------------------------------------- wrong samplers


class OfSummedSizes(Sampler):
    """Corrects the sum of a stack, by its mean size."""

    def sums(self, chosen):
        count = sum(chosen.values())
        if not count:
            return 0, 0
        total = sum(size * number for size, number in chosen.items())
        weight = -1 / math.expm1(-total / count / INTERVAL)
        return count * weight, total * weight


class RoundedWeights(Sampler):
    """Whole numbers for the objects that a sample stands for."""

    def sums(self, chosen):
        _, space = super().sums(chosen)
        return sum(count * round(-1 / math.expm1(-size / INTERVAL)) for size, count in chosen.items() if size), space


class Short(Sampler):
    """3 % of the samples of one site do not arrive."""

    def chosen(self, name, count, p):
        return binomial(count, p * (0.97 if name == "site_small" else 1))


class LosesFrees(Sampler):
    """1 % of the frees is not seen."""

    def live(self, _name, live, freed):
        return {size: live[size] + binomial(freed[size], 0.01) for size in live}


class LosesLive(Sampler):
    """A realloc that fails loses the block."""

    def live(self, name, live, _freed):
        return {size: 0 for size in live} if name == "site_resized" else live


class Regular(Sampler):
    """One in so many bytes, not at random: right on the average."""

    def chosen(self, _name, count, p):
        return math.floor(count * p + random.random()) if p < SURE else count


class Clustered(Sampler):
    """Two at a time, half as often: right on the average."""

    def chosen(self, _name, count, p):
        return 2 * binomial(count // 2, p) if p < SURE else count


class TakesNothing(Sampler):
    """Chooses requests for 0 bytes as if they were of 1."""

    def chosen(self, _name, count, p):
        return binomial(count, p or 1 / INTERVAL)

    def sums(self, chosen):
        objects, space = super().sums({size: count for size, count in chosen.items() if size})
        return objects + chosen.get(0, 0) * INTERVAL, space


# ------------------------------------------------------------------------------------------ wrong windows


def first_of(windows, name, kind="alloc_objects"):
    return next(sample for window in windows for sample in window.samples
                if sample.type == kind and any(frame.function == name for frame in sample.stack))


def other_route(_facts, windows):
    first_of(windows, "site_small").attributes["http.route"] = "/pages"


def other_span(_facts, windows):
    sample = first_of(windows, "site_pages")
    sample.span_id = first_of(windows, "site_small").span_id


def other_trace_of_leak(_facts, windows):
    first_of(windows[2:], "site_leak", "inuse_objects").trace_id = first_of(windows, "site_pages").trace_id


def no_link(_facts, windows):
    sample = first_of(windows, "site_small")
    sample.trace_id = sample.span_id = ""


def leak_without_link(_facts, windows):
    sample = first_of(windows[2:], "site_leak", "inuse_objects")
    sample.trace_id = sample.span_id = ""


def frame_missing(_facts, windows):
    del first_of(windows, "site_pages").stack[2]


def frame_too_many(_facts, windows):
    stack = first_of(windows, "site_pages").stack
    stack.insert(1, stack[1])


def leaf_above(_facts, windows):
    stack = first_of(windows, "site_pages").stack
    stack.insert(0, stack[-1])


def no_root(_facts, windows):
    del first_of(windows, "site_pages").stack[-2:]


def no_site(_facts, windows):
    del first_of(windows, "site_small").stack[0]


def marked(_facts, windows):
    first_of(windows, "site_new").attributes["otelprof.stack.stop"] = "no rows"


def other_age(_facts, windows):
    first_of(windows, "site_new", "inuse_space").attributes["otelprof.heap.age"] = "1m-10m"


def other_period(_facts, windows):
    first_of(windows, "site_new").period *= 2


def timestamps(_facts, windows):
    first_of(windows, "site_new").timestamps.append(START)


def swapped_types(_facts, windows):
    for sample in windows[0].samples:
        sample.unit = {"count": "bytes", "bytes": "count"}[sample.unit]


def one_of_the_sure(_facts, windows):
    first_of(windows, "site_sure").values[0] -= 1


def stays_with_the_leak(_facts, windows):
    windows[2].samples.append(copy.deepcopy(first_of(windows, "site_new", "inuse_objects")))


def leak_shrinks(_facts, windows):
    first_of(windows[2:], "site_leak", "inuse_objects").values[0] -= 3


def stays_in_the_end(_facts, windows):
    windows[3].samples.append(copy.deepcopy(first_of(windows, "site_leak", "inuse_objects")))


def others_in_the_end(_facts, windows):
    sample = copy.deepcopy(first_of(windows, "site_leak", "inuse_objects"))
    sample.stack = sample.stack[-2:]
    windows[3].samples += [sample] * 5


def no_last_window(_facts, windows):
    windows.pop()


def never_in_place(facts, _windows):
    facts["sites"][6]["in_place"] = 0


def loss(facts, _windows):
    facts["losses"]["live"] = 1


def not_exported(facts, _windows):
    facts["exported"] -= 1


WRONG_SAMPLERS = (
    (OfSummedSizes, "site_mixed alloc_objects"),
    (RoundedWeights, "site_middle alloc_objects"),
    (Short, "site_small alloc_objects over all runs"),
    (LosesFrees, "inuse_objects: mean of z"),
    (LosesLive, "site_resized inuse_space"),
    (Regular, "scatter of z"),
    (Clustered, "scatter of z"),
    (TakesNothing, "site_zero alloc_objects"),
)
WRONG_WINDOWS = (
    (other_route, "wrong route"), (other_span, "wrong ids"), (other_trace_of_leak, "wrong ids"), (no_link, "wrong link"),
    (leak_without_link, "without a link"), (frame_missing, "wrong chain"), (frame_too_many, "wrong chain"),
    (leaf_above, "wrong chain"), (no_root, "wrong chain"), (no_site, "without its site"), (marked, "wrong attributes"),
    (other_age, "wrong age"), (other_period, "wrong type, unit or period"), (timestamps, "wrong values"),
    (swapped_types, "wrong type, unit or period"), (one_of_the_sure, "exactly"),
    (stays_with_the_leak, "when all but the leak is freed"), (leak_shrinks, "when all but the leak is freed"),
    (stays_in_the_end, "live when all is freed"), (others_in_the_end, "live samples of others"),
    (no_last_window, "a window for each"), (never_in_place, "stayed 0 times"), (loss, "lost:"),
    (not_exported, "exported"),
)  # fmt: skip


# --------------------------------------------------------------------------------------------- self-test


def failures_of(sampler, runs, spoil=None):
    """What the judge says of so many runs, the first of them spoilt."""
    judge = Judge(quiet=True)
    for number in range(runs):
        facts, windows = simulate(sampler)
        if spoil and not number:
            spoil(facts, windows)
        judge_run(judge, f"run {number}", facts, windows)
    judge.together()
    return judge.failures


def self_test():
    random.seed(1)
    right = failures_of(Sampler(), RUNS)
    verdicts = [("a right sampler", not right, right[:3])]
    for sampler, meant in WRONG_SAMPLERS:
        found = failures_of(sampler(), RUNS)
        verdicts.append((sampler.__doc__, any(meant in text for text in found), (meant, found[:3])))
    for spoil, meant in WRONG_WINDOWS:
        found = failures_of(Sampler(), 1, spoil)
        verdicts.append((spoil.__name__, any(meant in text for text in found), (meant, found[:3])))
    for what, holds, said in verdicts:
        if not holds:
            print(f"FAIL {what}: {said}")
    failed = sum(not holds for _, holds, _ in verdicts)
    print(f"the judge: {len(verdicts)} cases, {failed} failed")
    return 1 if failed else 0


def false_alarms(judgements):
    """Of so many judgements of a right sampler."""
    alarms = collections.Counter()
    for seed in range(judgements):
        random.seed(seed)
        found = failures_of(Sampler(), RUNS)
        alarms["any"] += bool(found)
        alarms.update(found)
    print(f"{judgements} judgements: {alarms.pop('any')} found something: {dict(alarms)}")
    return 0


if __name__ == "__main__":
    sys.exit(false_alarms(int(sys.argv[1])) if sys.argv[1:] else self_test())

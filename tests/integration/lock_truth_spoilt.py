# SPDX-License-Identifier: Apache-2.0
"""The judge judged: what a real run exported, spoilt in one way after the other, must fail each time.

    lock_truth_spoilt.py FOLDER     with out/ and facts.json, which passes as it is
"""

import collections
import copy
import dataclasses
import json
import pathlib
import sys

import lock_truth
from heap_truth import Judge


def verdict(facts, samples, counters):
    judge = Judge(quiet=True)
    judge.rows, judge.barging = collections.Counter(), []
    look = lock_truth.look_at(facts, samples)
    judge.capture_ns = lock_truth.fit_capture([(facts, look)])
    lock_truth.judge_run(judge, "spoilt", facts, look, counters)
    lock_truth.judge_barging(judge)
    return judge.failures


def changed(samples, wanted, change):
    """Copies of the samples, those that are wanted changed by the function."""
    return [change(copy.deepcopy(sample)) if wanted(sample) else sample for sample in samples]


def at(name, side):
    prefix = "wait_" if side == "block" else "release_"
    return lambda sample: sample.period_type == side and sample.stack[0].function == prefix + name


def times(factor):
    def change(sample):
        sample.values = [max(1, round(value * factor)) for value in sample.values]
        return sample
    return change


def with_attribute(key, value):
    def change(sample):
        sample.attributes = {name: text for name, text in sample.attributes.items() if name != key}
        if value is not None:
            sample.attributes[key] = value
        return sample
    return change


def with_leaf(name):
    def change(sample):
        sample.stack = [dataclasses.replace(sample.stack[0], function=name)] + sample.stack[1:]
        return sample
    return change


def without_trace(sample):
    sample.trace_id = ""
    return sample


def with_period(sample):
    sample.period *= 2
    return sample


def is_delay(sample):
    return sample.type == "delay"


def spoilt_samples(samples):
    """Name and samples of each way."""
    swap = {"release_barging_0": "release_barging_2", "release_barging_2": "release_barging_0"}
    yield "a site is gone", [sample for sample in samples if not at("normal", "block")(sample)]
    yield "a holder is gone", [sample for sample in samples if not at("c11", "mutex")(sample)]
    yield "a holder counts double", changed(samples, at("robust", "mutex"), times(2))
    yield "a waiter counts 1.5 times", changed(samples, at("recursive", "block"), times(1.5))
    yield "delay is not weighted", changed(samples, lambda s: is_delay(s) and s.period_type == "block", times(0.7))
    yield "a holder takes the blame for another", changed(samples, at("checking", "mutex"), with_leaf("release_normal"))
    yield "barging holders are swapped", changed(samples, lambda s: s.stack[0].function in swap,
                                                 lambda s: with_leaf(swap[s.stack[0].function])(s))
    yield "a route is missing", changed(samples, at("named", "block"), with_attribute("http.route", None))
    yield "the waiter's route at the holder", changed(samples, at("named", "mutex"),
                                                      with_attribute("http.route", "/named/wait"))
    yield "a name is missing", changed(samples, at("named", "mutex"), with_attribute("otelprof.lock.name", None))
    yield "another name", changed(samples, at("allocated", "block"), with_attribute("otelprof.lock.name", "unknown"))
    yield "another mode", changed(samples, at("reader_for_writer", "mutex"), with_attribute("otelprof.lock.mode", "read"))
    yield "another kind", changed(samples, at("semaphore", "block"), with_attribute("otelprof.lock.kind", "mutex"))
    yield "no owner", changed(samples, at("normal", "block"), with_attribute("otelprof.lock.owner.thread.id", None))
    yield "no address", changed(samples, at("spinning", "mutex"), with_attribute("otelprof.lock.address", None))
    yield "no outcome", changed(samples, at("given_up", "block"), with_attribute("otelprof.lock.outcome", None))
    yield "no trace", changed(samples, at("adaptive", "mutex"), without_trace)
    yield "another period", changed(samples, at("timed", "block"), with_period)


def spoilt_facts(facts):
    """Name and facts of each way."""
    for name, change in (("a ring was full", lambda f: f["losses"].update(ring=1)), ("fired more", lambda f: f.update(fired=1)),
                         ("holders unseen", lambda f: f.update(unseen=f["chosen"])),
                         ("the interval rose", lambda f: f.update(interval_at_end=f["interval"] * 2))):
        copied = copy.deepcopy(facts)
        change(copied)
        yield name, copied


def main(folder):
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    samples, counters = lock_truth.read(folder)
    samples = [sample for sample in samples if sample.stack]
    passed = not verdict(facts, samples, counters)
    wrong = [] if passed else ["the run as it is fails"]
    cases = [(name, verdict(facts, spoilt, counters)) for name, spoilt in spoilt_samples(samples)]
    cases += [(name, verdict(spoilt, samples, counters)) for name, spoilt in spoilt_facts(facts)]
    wrong += [f"not noticed: {name}" for name, failures in cases if not failures]
    print("\n".join(wrong + [f"{len(cases)} ways to spoil a run, {len(wrong)} problems"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

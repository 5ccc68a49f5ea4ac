# SPDX-License-Identifier: Apache-2.0
"""How a sampler is judged: as a statistic, so that a right build passes and a wrong one fails.

No row beyond |z| = 4.5; the mean of z over n rows within 3/sqrt(n) of 0; at least 400 expected samples a row; the
scatter of z is judged over 200 rows and more only: at most 1.2 (a regular clock scatters less than binomial).
"""

import math
import pathlib

Z_MOST = 4.5
ROW_LEAST = 400
SCATTER_ROWS = 200
SCATTER_MOST = 1.2


def z_of(observed, total, share):
    """How many binomial standard deviations `observed` of `total` samples lie from the true share."""
    return (observed - total * share) / math.sqrt(total * share * (1 - share))


class Judge:
    """Says each verdict, and remembers whether one failed."""

    def __init__(self):
        self.failed = 0
        self.scores = []

    def expect(self, what, holds):
        print(("ok   " if holds else "FAIL ") + what)
        self.failed += not holds

    def row(self, name, observed, total, share):
        """One row of truth: `observed` of `total` samples where the true share of CPU time is `share`."""
        z = z_of(observed, total, share) if total and 0 < share < 1 else math.inf
        self.scores.append(z)
        print(f"  {name:32} true {share:7.4f}   sampled {observed / max(1, total):7.4f}   z {z:+.2f}")
        self.expect(f"{name}: |z| <= {Z_MOST} and {ROW_LEAST} samples", abs(z) <= Z_MOST and total * share >= ROW_LEAST)

    def rows(self, observed, truth, prefix=""):
        """Rows that are the whole: {name: samples}, {name: CPU time}."""
        total, cpu = sum(observed.values()), sum(truth.values())
        for name, spent in truth.items():
            self.row(f"{prefix}{name}", observed.get(name, 0), total, spent / cpu)
        self.expect(f"{prefix}nothing but what is known: {sorted(map(str, set(observed) - set(truth)))}",
                    not set(observed) - set(truth))

    def mean(self):
        """After all rows: mean and, if there are enough, scatter."""
        count = len(self.scores)
        mean = sum(self.scores) / count
        self.expect(f"mean of z over {count} rows {mean:+.3f} within 3/sqrt(n) = {3 / math.sqrt(count):.3f}",
                    abs(mean) <= 3 / math.sqrt(count))
        if count < SCATTER_ROWS:
            return
        scatter = math.sqrt(sum((z - mean) ** 2 for z in self.scores) / count)
        self.expect(f"scatter of z over {count} rows {scatter:.3f} <= {SCATTER_MOST}", scatter <= SCATTER_MOST)


def judge_runs(run, folders):
    """Judges the runs in these folders by run(judge, folder), and their rows together. The exit status."""
    judge = Judge()
    for folder in folders:
        run(judge, pathlib.Path(folder))
    judge.mean()
    return 1 if judge.failed else 0

# SPDX-License-Identifier: Apache-2.0
"""Self-test of the checker: valid requests pass, and a mutant for each rule is caught by that rule.

mutants.py [FILE|DIR...]
Mutates the known request of golden.py, and each file given (a rule that a file has nothing to break for is left out
there). Exit status: 0 every mutant was caught, 1 otherwise.
"""

import sys

from check import Checker
from decode import Request, load, profiles
from findings import RULES
from golden import golden, valid
from mutations import BYTES, OVER_FILES, REQUESTS, Inapplicable


def rules_found(checker, data):
    return set(checker.check("mutant", data).counts)


def mutate(function, data):
    """The bytes of a mutant, or None when there is nothing to break."""
    request = Request.FromString(data)
    try:
        function(request)
    except Inapplicable:
        return None
    mutant = request.SerializeToString()
    return mutant if mutant != data else None


class SelfTest:
    def __init__(self):
        self.caught = self.passed_over = 0
        self.failures = []
        self.covered = set()

    def expect(self, rule, description, found):
        self.covered.add(rule)
        if rule in found:
            self.caught += 1
        else:
            self.failures.append(f"NOT CAUGHT by {rule}: {description} (found: {sorted(found) or 'nothing'})")

    def run(self, name, data):
        """All mutants of one valid file."""
        clean = Checker().check(name, data)
        if clean.counts:
            self.failures += ["NOT VALID: " + line for line in clean.report()]
            return
        for rule, function in REQUESTS:
            mutant = mutate(function, data)
            if mutant is None:
                self.passed_over += 1
            else:
                self.expect(rule, f"{name}: {function.__name__}", rules_found(Checker(), mutant))
        for rule, function in BYTES:
            self.expect(rule, f"{name}: {function.__name__}", rules_found(Checker(), function(data)))
        for rule, function in OVER_FILES:
            checker = Checker()
            checker.check(name, data)
            self.expect(rule, f"{name}: {function.__name__}", rules_found(checker, mutate(function, data) or data))
        self.expect("age", name, rules_found(Checker(max_age_s=-1e6), data))


def main(arguments):
    test = SelfTest()
    known = set(Checker().check("golden", golden().SerializeToString()).counts)
    if known != {"resource_keys"}:
        test.failures.append(f"golden vector: expected a finding of resource_keys alone, got {sorted(known)}")
    test.run("known request", valid().SerializeToString())
    missing = set(RULES) - test.covered
    test.failures += [f"no mutant for rule {rule}" for rule in sorted(missing)]
    if test.passed_over:
        test.failures.append(f"{test.passed_over} mutations found nothing to break in the known request")
    for path, data, request in load(arguments):
        if any(True for _ in profiles(request)):
            test.run(str(path), data)
    print("".join(line + "\n" for line in test.failures), end="")
    print(f"{test.caught} mutants of {len(RULES)} rules caught, {len(test.failures)} failures")
    return 1 if test.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

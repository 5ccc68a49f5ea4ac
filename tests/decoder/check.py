# SPDX-License-Identifier: Apache-2.0
"""Conformance checker for OTLP profile files: every rule of the wire format and of the receivers that matter.

check.py [--max-age SECONDS] [--rules] FILE|DIR...
Prints one finding a line, then a summary. Exit status: 0 all rules hold, 1 findings, 2 wrong use or no files.
"""

import argparse
import sys
import time

import rules_dictionary
import rules_profile
import rules_resource
import rules_wire
from decode import files_of, key_values, profiles
from findings import RULES, Findings


class Checker:
    """Checks files one after another; keeps what must be unique over all of them."""

    def __init__(self, now_ns=None, max_age_s=None):
        self.now_ns = time.time_ns() if now_ns is None else now_ns
        self.max_age_ns = None if max_age_s is None else int(max_age_s * 1e9)
        self.profile_ids = {}
        self.instances = {}

    def check(self, name, data):
        """Findings about one file."""
        findings = Findings(name)
        request = rules_wire.parse(data, findings)
        if request is None:
            return findings
        rules_resource.check(request, findings)
        same = rules_dictionary.check(request, findings)
        if same is not None:
            rules_profile.check(request, same, self.now_ns, self.max_age_ns, findings)
        self._check_unique(request, findings)
        return findings

    def _check_unique(self, request, findings):
        for number, (resource, _, profile) in enumerate(profiles(request)):
            place = f"profile[{number}]"
            other = self.profile_ids.setdefault(profile.profile_id, f"{findings.name} {place}")
            if profile.profile_id and other != f"{findings.name} {place}":
                findings.add("profile_id_unique", place, f"same id as {other}")
            found = key_values(resource.attributes)
            process = (found.get("process.pid"), found.get("process.creation.time"))
            if self.instances.setdefault(found.get("service.instance.id"), process) != process:
                findings.add("instance_id", place, f"service.instance.id of another process than {process}")


def main(arguments):
    parser = argparse.ArgumentParser(description="Checks OTLP profile files.")
    parser.add_argument("--max-age", type=float, metavar="SECONDS", help="refuse profiles that are older")
    parser.add_argument("--rules", action="store_true", help="list the rules")
    parser.add_argument("paths", nargs="*", metavar="FILE|DIR")
    options = parser.parse_args(arguments)
    if options.rules:
        for rule, demand in RULES.items():
            print(f"{rule:26} {demand}")
        return 0
    files = list(files_of(options.paths))
    if not files:
        print("check.py: no files", file=sys.stderr)
        return 2
    checker = Checker(max_age_s=options.max_age)
    count = 0
    for path in files:
        findings = checker.check(str(path), path.read_bytes())
        count += sum(findings.counts.values())
        print("".join(line + "\n" for line in findings.report()), end="")
    print(f"{len(files)} files, {count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

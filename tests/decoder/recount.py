# SPDX-License-Identifier: Apache-2.0
"""Counts again what the library says it exported, from the files alone.

recount.py [--by KEY]... [--identity] FILE|DIR...
Prints one JSON object: samples by profile type (events of CPU profiles, sums of values of others), CPU samples by each
attribute asked for, and the sums of the integer attributes of the profiles; one profile of a request at most holds the
counters of a window, whatever its type. With --identity the exit status is 1 unless
    otelprof.samples.fired = samples of the type "samples" + the sum of otelprof.samples.lost.*
"""

import argparse
import collections
import json
import sys

from decode import Resolver, load, profiles, samples

CPU = "samples"  # the sample type of CPU profiles
FIRED = "otelprof.samples.fired"
LOST = "otelprof.samples.lost."


def profile_counters(request):
    """Sums of the integer attributes of all profiles."""
    sums = collections.Counter()
    resolver = Resolver(request.dictionary)
    for _, _, profile in profiles(request):
        for key, value in resolver.attributes(profile.attribute_indices).items():
            if isinstance(value, int) and not isinstance(value, bool):
                sums[key] += value
    return sums


def recount(paths, keys):
    """The object that main() prints."""
    by_type, with_link, counters = collections.Counter(), collections.Counter(), collections.Counter()
    by = {key: collections.Counter() for key in keys}
    files = size = 0
    for _, data, request in load(paths):
        files, size = files + 1, size + len(data)
        counters.update(profile_counters(request))
        for sample in samples(request):
            by_type[sample.type] += sample.count
            with_link[sample.type] += sample.count if sample.trace_id else 0
            for key, counter in by.items() if sample.type == CPU else ():
                counter[str(sample.attributes.get(key, "(none)"))] += sample.count
    lost = {key: value for key, value in counters.items() if key.startswith(LOST)}
    return {
        "files": files,
        "bytes": size,
        "samples": dict(by_type),
        "with_span": dict(with_link),
        "by": {key: dict(counter.most_common()) for key, counter in by.items()},
        "counters": dict(sorted(counters.items())),
        "fired": counters[FIRED],
        "exported": by_type[CPU],
        "lost": sum(lost.values()),
    }


def main(arguments):
    parser = argparse.ArgumentParser(description="Counts the samples of OTLP profile files.")
    parser.add_argument("--by", action="append", default=[], metavar="KEY", help="count CPU samples by an attribute")
    parser.add_argument("--identity", action="store_true", help="fail unless fired = exported + lost, and fired > 0")
    parser.add_argument("paths", nargs="+", metavar="FILE|DIR")
    options = parser.parse_args(arguments)
    result = recount(options.paths, options.by)
    print(json.dumps(result, indent=2))
    if not options.identity:
        return 0
    holds = result["fired"] > 0 and result["fired"] == result["exported"] + result["lost"]
    if not holds:
        print(f"fired {result['fired']} != exported {result['exported']} + lost {result['lost']}", file=sys.stderr)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

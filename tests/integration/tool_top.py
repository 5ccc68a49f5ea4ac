# SPDX-License-Identifier: Apache-2.0
"""Makes profiles with random stacks, adds them up in Python, and compares with `otelprof top --json`; then reads the
text, the messages and the exit codes, and damaged files. Arguments: the program, a folder to work in."""

import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2

PROGRAM, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
SEEDS = int(os.environ.get("OTP_SEEDS", "8"))
START = 1_763_900_000_000_000_000
PERIOD = 10_101_010
TRACE = bytes(range(0xA0, 0xB0))
OTHER_TRACE = bytes(range(0x10, 0x20))
ROUTES = ("/products", "/report", "/cart/{id}", None)
FUNCTIONS = [("f%d" % i, "src/shop/part%d.c" % (i % 3), 10 * i + 1) for i in range(12)]
failures = []


def expect(truth, what):
    if not truth:
        failures.append(what)
        print("FAILED:", what)


def top(*arguments):
    return subprocess.run([PROGRAM, "top", *map(str, arguments)], capture_output=True, text=True, timeout=60)


class Writer:
    """One request, with a dictionary that grows as it is needed."""

    def __init__(self, pid, instance="", start=START):
        self.start = start
        self.request = profiles_service_pb2.ExportProfilesServiceRequest()
        self.dictionary = self.request.dictionary
        for table in ("mapping_table", "location_table", "function_table", "link_table", "attribute_table", "stack_table"):
            getattr(self.dictionary, table).add()
        self.strings = {}
        self.string("")
        envelope = self.request.resource_profiles.add()
        envelope.resource.attributes.add(key="service.name").value.string_value = "shop"
        envelope.resource.attributes.add(key="process.pid").value.int_value = pid
        if instance:
            envelope.resource.attributes.add(key="service.instance.id").value.string_value = instance
        self.scope = envelope.scope_profiles.add()
        self.begin("samples", "count", "cpu", "nanoseconds", PERIOD)
        mapping = self.dictionary.mapping_table.add(memory_start=0x7000000, memory_limit=0x7100000, file_offset=0x1000)
        mapping.filename_strindex = self.string("/usr/lib/libz.so.1")

    def begin(self, name, unit, period_name, period_unit, period):
        """Samples that follow are of this type."""
        self.profile = self.scope.profiles.add()
        self.profile.sample_type.type_strindex = self.string(name)
        self.profile.sample_type.unit_strindex = self.string(unit)
        self.profile.period_type.type_strindex = self.string(period_name)
        self.profile.period_type.unit_strindex = self.string(period_unit)
        self.profile.period = period
        self.profile.time_unix_nano = self.start
        self.profile.duration_nano = 10_000_000_000

    def string(self, text):
        if text not in self.strings:
            self.strings[text] = len(self.dictionary.string_table)
            self.dictionary.string_table.append(text)
        return self.strings[text]

    def attribute(self, key, value):
        entry = self.dictionary.attribute_table.add(key_strindex=self.string(key))
        if isinstance(value, int):
            entry.value.int_value = value
        else:
            entry.value.string_value = value
        return len(self.dictionary.attribute_table) - 1

    def location(self, lines):
        """`lines`: functions, innermost first; an address if there are no names."""
        table = self.dictionary.location_table
        if isinstance(lines, int):
            table.add(mapping_index=1, address=0x7000000 + lines)
        else:
            location = table.add(address=0x400000)
            for name, file, line in lines:
                functions = self.dictionary.function_table
                functions.add(name_strindex=self.string(name), filename_strindex=self.string(file), start_line=line)
                location.lines.add(function_index=len(functions) - 1, line=line + 3)
        return len(table) - 1

    def value(self, stack, attributes, value):
        """A sample with one value and no time."""
        self.sample(stack, attributes, None, [])
        self.profile.samples[-1].values.append(value)

    def sample(self, stack, attributes, link, times):
        table = self.dictionary.stack_table
        table.add(location_indices=[self.location(lines) for lines in stack])
        sample = self.profile.samples.add(stack_index=len(table) - 1, timestamps_unix_nano=times)
        sample.attribute_indices.extend(self.attribute(key, value) for key, value in attributes.items())
        if link:
            self.dictionary.link_table.add(trace_id=link[0], span_id=link[1])
            sample.link_index = len(self.dictionary.link_table) - 1

    def count(self, name, value):
        self.profile.attribute_indices.append(self.attribute(name, value))

    def save(self, path):
        path.write_bytes(self.request.SerializeToString())


class Truth:
    """What the program must find, by name."""

    def __init__(self):
        self.samples = 0
        self.own, self.total = collections.Counter(), collections.Counter()
        self.routes, self.route_own = collections.Counter(), collections.Counter()
        self.pids, self.stops = collections.Counter(), collections.Counter()
        self.spans, self.traced = collections.Counter(), collections.Counter()
        self.times = collections.defaultdict(list)

    def add(self, pid, stack, attributes, link, times):
        names = []
        for lines in stack:
            names += ["[libz.so.1]"] if isinstance(lines, int) else [name for name, _, _ in lines]
        count = len(times)
        self.samples += count
        self.own[names[0]] += count
        for name in set(names):
            self.total[name] += count
        route = attributes.get("http.route")
        self.routes[route] += count
        self.route_own[route, names[0]] += count
        self.pids[str(pid)] += count
        self.stops[attributes.get("otelprof.stack.stop")] += count
        if link and link[0] == TRACE:
            self.spans[link[1].hex()] += count
            self.traced[names[0]] += count
            self.times[link[1].hex()] += times


def random_stack(chance):
    stack = []
    for _ in range(chance.randint(1, 12)):
        if chance.random() < 0.2:
            stack.append(chance.randrange(0, 0x100000))
        else:
            stack.append([chance.choice(FUNCTIONS) for _ in range(chance.randint(1, 3))])
    return stack


def make(folder, chance):
    truth = Truth()
    folder.mkdir(parents=True)
    for number in range(chance.randint(1, 5)):
        writer = Writer(100 + number % 2)
        for _ in range(chance.randint(1, 60)):
            attributes = {"thread.id": chance.randrange(1, 5), "thread.name": "worker-%d" % chance.randrange(3)}
            route = chance.choice(ROUTES)
            if route:
                attributes["http.route"] = route
            if chance.random() < 0.1:
                attributes["otelprof.stack.stop"] = chance.choice(("no_rows", "depth", "tomorrow"))
            link = None
            if chance.random() < 0.6:
                link = (chance.choice((TRACE, OTHER_TRACE)), bytes([chance.randrange(1, 6)] * 8))
            times = sorted(START + chance.randrange(10_000_000_000) for _ in range(chance.randint(1, 4)))
            stack = random_stack(chance)
            writer.sample(stack, attributes, link, times)
            truth.add(100 + number % 2, stack, attributes, link, times)
        writer.count("otelprof.samples.fired", 1000)
        writer.count("otelprof.samples.lost.ring_full", 7)
        writer.save(folder / ("part-%d.otlp" % number))
    return truth


def read_json(*arguments):
    result = top("--json", *arguments)
    expect(result.returncode == 0, "exit status of --json %s: %d %s" % (arguments, result.returncode, result.stderr))
    return json.loads(result.stdout)


def merged(rows, field):
    """By name alone: functions of one name may differ in file."""
    sums = collections.Counter()
    for row in rows:
        sums[row["function"]] += row[field]["samples"]
        expect(row[field]["ns"] == row[field]["samples"] * PERIOD, "time of " + row["function"])
    return +sums


def compare(folder, truth, seed):
    where = " (seed %d)" % seed
    report = read_json(folder)
    expect(report["all"]["samples"] == truth.samples, "samples" + where)
    expect(report["all"]["ns"] == truth.samples * PERIOD, "CPU time" + where)
    expect(merged(report["functions"], "self") == truth.own, "self" + where)
    expect(merged(report["functions"], "total") == truth.total, "total" + where)
    order = [row["self"]["ns"] for row in report["functions"]]
    expect(order == sorted(order, reverse=True), "order" + where)
    lines = read_json("--lines", folder)
    expect(sum(row["self"]["samples"] for row in lines["functions"]) == truth.samples, "self by line" + where)
    routes = read_json("--by", "http.route", folder)["groups"]
    expect({each["value"]: each["cpu"]["samples"] for each in routes} == truth.routes, "by route" + where)
    for each in routes:
        wanted = {name: count for (route, name), count in truth.route_own.items() if route == each["value"]}
        expect(merged(each["functions"], "self") == wanted, "functions of %s%s" % (each["value"], where))
    pids = read_json("--by", "process.pid", folder)["groups"]
    expect({each["value"]: each["cpu"]["samples"] for each in pids} == truth.pids, "by process" + where)
    stops = read_json("--incomplete", folder)
    expect({each["value"]: each["cpu"]["samples"] for each in stops["groups"]} == truth.stops, "reasons" + where)
    expect(stops["complete"]["samples"] == truth.stops[None], "complete" + where)
    losses = read_json("--losses", folder)["counters"]
    files = len(list(folder.iterdir()))
    expect(losses["otelprof.samples.fired"] == 1000 * files, "fired" + where)
    expect(losses["otelprof.samples.lost.ring_full"] == 7 * files, "lost" + where)
    if truth.spans:
        compare_trace(folder, truth, where)


def compare_trace(folder, truth, where):
    report = read_json("--trace", TRACE.hex().upper(), folder)
    expect({each["span"]: each["cpu"]["samples"] for each in report["spans"]} == truth.spans, "spans" + where)
    expect(merged(report["functions"], "self") == truth.traced, "functions of the trace" + where)
    for each in report["spans"]:
        times = truth.times[each["span"]]
        expect((each["first_unix_ns"], each["last_unix_ns"]) == (min(times), max(times)), "times of a span" + where)


def check_text(folder):
    """The forms for people: stable, within the width, and without what a terminal would act on."""
    for arguments in ([], ["--total"], ["--lines"], ["--by", "http.route", "--functions", "3"], ["--incomplete"],
                      ["--losses"], ["--trace", TRACE.hex()], ["-n", "2"]):
        first, second = top(*arguments, folder), top(*arguments, folder)
        expect(first.returncode == 0 and first.stdout, "text of %s: %s" % (arguments, first.stderr))
        expect(first.stdout == second.stdout, "the same text twice: %s" % arguments)
        widest = max(map(len, first.stdout.splitlines()))
        expect(widest <= 120, "%s is %d characters wide" % (arguments, widest))
    expect("/report" in top("--by", "http.route", folder).stdout, "routes in the text")
    expect("(and " in top("-n", "2", folder).stdout, "rows left out are told")
    expect(top(folder).stdout == top(*sorted(folder.iterdir())).stdout, "a folder is its files")


def check_foreign_text(folder):
    folder.mkdir()
    writer = Writer(1)
    evil = [("\x1b[31mred\x07\u202etxt", "a\nb.c", 1)]
    writer.sample([evil], {"http.route": "\x1b]0;title\x07\u0085\u2028", "thread.name": "t\"\\\n"}, (TRACE, b"12345678"), [START])
    writer.save(folder / "evil.otlp")
    for arguments in ([], ["--by", "http.route", "--functions", "1"], ["--trace", TRACE.hex()], ["--json", "--by", "thread.name"]):
        text = top(*arguments, folder).stdout
        bad = [char for char in text if (ord(char) < 32 and char != "\n") or char in "\x7f\u0085\u2028\u202e"]
        expect(not [char for char in bad if "--json" not in arguments or ord(char) < 32], "control characters: %s" % arguments)
    expect(read_json("--by", "thread.name", folder)["groups"][0]["value"] == "t\"\\\n", "JSON keeps the text")


def check_failures(folder, work):
    empty, bad = work / "empty", work / "bad"
    empty.mkdir()
    bad.mkdir()
    good = next(folder.iterdir())
    data = good.read_bytes()
    (bad / "cut.otlp").write_bytes(data[: len(data) // 2])
    (bad / "text.otlp").write_text("this is no profile")
    (bad / "none.otlp").write_bytes(b"")
    for arguments, code, message in (
        ([], 2, "no file"), (["--by"], 2, "needs a value"), (["--bogus", good], 2, "no option"),
        (["-n", "0", good], 2, "rows"), (["--trace", "xyz", good], 2, "32 hex"), (["--functions", "3", good], 2, "--by"),
        (["--by", "a", "--losses", good], 2, "exclude"), (["--width", "3", good], 2, "90"),
        ([work / "nothing"], 1, "No such file"), ([empty], 1, "no *.otlp"), ([bad / "cut.otlp"], 1, "cut.otlp"),
        ([bad / "text.otlp"], 1, "text.otlp"), (["--trace", "f" * 32, good], 1, "no sample of this trace"),
        ([bad / "none.otlp"], 1, "no sample of cpu"),
        (["--type", "bogus", good], 1, "these files have: cpu"), (["--leaks", good], 2, "two files"),
        (["--leaks", good, good, good], 2, "two files"), (["--leaks", "--by", "a", good, good], 2, "two files"),
        (["--leaks", good, good], 1, "no live memory"), (["--leaks", work / "nothing", good], 1, "No such file"),
    ):
        result = top(*arguments)
        expect(result.returncode == code, "exit status of %s: %d" % (arguments, result.returncode))
        expect(message in result.stderr, "message of %s: %s" % (arguments, result.stderr))
        expect(not result.stdout, "no output for %s" % arguments)
    mixed = top(bad / "cut.otlp", good)
    expect(mixed.returncode == 1 and "cut.otlp" in mixed.stderr and "CPU" in mixed.stdout, "good files beside bad ones")
    expect(top("--help").returncode == 0, "help")
    with open("/dev/full", "w") as full:
        result = subprocess.run([PROGRAM, "top", good], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    expect(result.returncode == 1 and "write" in result.stderr, "a full disk is told")


HEAP = {  # stack of names, route, age: (objects, bytes), in two windows
    "old": {(("json", "report"), "/report", "<1m"): (100, 4096), (("cache",), "/cart", "1m-10m"): (10, 1 << 20),
            (("gone",), None, "<1m"): (5, 500)},
    "new": {(("json", "report"), "/report", "<1m"): (150, 6144), (("cache",), "/cart", "10m-1h"): (30, 3 << 20),
            (("other", "report"), "/report", "<1m"): (7, 70000)},
}  # fmt: skip
HEAP_PERIOD = 4096


def heap_file(path, window, start, instance="a", allocated=(), names_differ=False):
    writer = Writer(1, instance, start)
    for kind, unit, which in (("alloc_objects", "count", 0), ("alloc_space", "bytes", 1)):
        writer.begin(kind, unit, "space", "bytes", HEAP_PERIOD)
        for stack, values in allocated:
            writer.value([[(name, "a.c", 1)] for name in stack], {}, values[which])
    for kind, unit, which in (("inuse_objects", "count", 0), ("inuse_space", "bytes", 1)):
        writer.begin(kind, unit, "space", "bytes", HEAP_PERIOD)
        entries = list(HEAP[window].items())
        for (stack, route, age), values in reversed(entries) if names_differ else entries:
            attributes = {"otelprof.heap.age": age, **({"http.route": route} if route else {})}
            writer.value([[(name, "a.c", 1)] for name in stack], attributes, values[which])
    writer.count("otelprof.samples.fired", 3)
    writer.save(path)


def check_heap(work):
    """Values as they are; of live memory the last window; growth by stack and attributes, whatever the age."""
    folder = work / "heap"
    folder.mkdir()
    heap_file(folder / "1.otlp", "old", START, allocated=[(("json", "report"), (10, 1000))])
    heap_file(folder / "2.otlp", "new", START + 10**10, allocated=[(("json", "report"), (5, 700))], names_differ=True)
    live = sum(size for _, size in HEAP["new"].values())
    shown = read_json("--by", "http.route", folder)
    expect(shown["type"] == "inuse_space", "live memory is what is shown without CPU samples")
    expect(shown["all"] == {"bytes": live, "objects": 187}, "the last window's live memory: %s" % shown["all"])
    routes = {group["value"]: (group["sum"]["objects"], group["sum"]["bytes"]) for group in shown["groups"]}
    expect(routes == {"/report": (157, 76144), "/cart": (30, 3 << 20)}, "live memory by route: %s" % routes)
    report = next(group for group in shown["groups"] if group["value"] == "/report")["functions"]
    totals = {row["function"]: row["total"]["bytes"] for row in report}
    expect(totals == {"report": 76144, "other": 70000, "json": 6144}, "live memory by function: %s" % totals)
    ages = {group["value"]: group["sum"]["bytes"] for group in read_json("--by", "otelprof.heap.age", folder)["groups"]}
    expect(ages == {"<1m": 76144, "10m-1h": 3 << 20}, "live memory by age: %s" % ages)
    allocated = read_json("--type", "alloc", folder)["all"]
    expect(allocated == {"bytes": 1700, "objects": 15}, "allocations of all windows: %s" % allocated)
    counted = read_json("--type", "alloc_objects", folder)["all"]
    expect(counted == {"count": 15, "samples": 15}, "their number as a type of its own: %s" % counted)
    text = top("--type", "heap", folder).stdout
    expect("as of the last window" in text and "MiB" in text and "4.0 KiB" in text, "the text says what it is")
    heap_file(folder / "3.otlp", "old", START, instance="b")
    both = read_json(folder)["all"]["bytes"]
    expect(both == live + sum(size for _, size in HEAP["old"].values()), "two processes are added up: %d" % both)
    check_leaks(folder, live)


def check_leaks(folder, live):
    grown = json.loads(top("--leaks", "--json", folder / "1.otlp", folder / "2.otlp").stdout)
    rows = {(tuple(row["frames"]), row["attributes"]): (row["growth_objects"], row["growth_bytes"]) for row in grown["places"]}
    expect(rows == {(("cache",), "http.route=/cart"): (20, 2 << 20), (("json", "report"), "http.route=/report"): (50, 2048),
                    (("other", "report"), "http.route=/report"): (7, 70000), (("gone",), ""): (-5, -500)},
           "growth: %s" % rows)  # fmt: skip
    expect([row["growth_bytes"] for row in grown["places"]] == [2 << 20, 70000, 2048, -500], "most growth first")
    error = 1.96 * (HEAP_PERIOD * (4 << 20)) ** 0.5
    expect(abs(grown["places"][0]["error_bytes"] - error) < 1, "its error: %s" % grown["places"][0]["error_bytes"])
    expect(grown["new"]["bytes"] == live and grown["processes"] == 1, "sums of the two: %s" % grown["new"])
    text = top("--leaks", folder / "1.otlp", folder / "2.otlp").stdout
    expect("cache" in text and "gone" not in text and "different" not in text, "growth as text: %s" % text)
    expect([line for line in text.splitlines() if "json" in line and " ? " in line], "growth within the error is marked")
    expect("different processes" in top("--leaks", folder / "3.otlp", folder / "2.otlp").stdout, "other processes are told")
    same = json.loads(top("--leaks", "--json", folder / "2.otlp", folder / "2.otlp").stdout)
    expect(all(row["growth_bytes"] == 0 for row in same["places"]), "nothing has grown in the same window")
    strange = Writer(1, "c")
    strange.begin("inuse_space", "bytes", "space", "bytes", HEAP_PERIOD)
    for value in (-5, 2**63 - 1, 2**63 - 1):
        strange.value([[("f", "a.c", 1)]], {}, value)
    strange.save(folder / "9.otlp")
    expect(top("--type", "heap", folder / "9.otlp").returncode == 0, "huge and negative values")
    expect(top("--leaks", folder / "1.otlp", folder / "9.otlp").returncode == 0, "growth of huge values")


WRAPPER = ("lock", "/usr/include/c++/12/bits/std_mutex.h", 90)
WAITS = [  # side, lock, kind, address, stack, route, contentions, delay
    ("block", "stock", "mutex", "0x10", [[WRAPPER, ("order", "shop/order.c", 1)]], "/order", 30, 3_000_000),
    ("block", "stock", "mutex", "0x20", [[WRAPPER], [("report", "shop/report.c", 1)]], "/report", 10, 1_000_000),
    ("mutex", "stock", "mutex", "0x10", [[("report", "shop/report.c", 1)]], "/report", 40, 4_000_000),
    ("block", "index", "rwlock", "0x30", [0x123], None, 5, 500),
    ("block", "jobs", "condition", "0x40", [[("worker", "shop/pool.c", 1)]], None, 7, 70_000_000),
]  # fmt: skip


def check_locks(work):
    """Both sides of each lock; wrappers of the standard library are not who waits; work after locks."""
    folder = work / "locks"
    folder.mkdir()
    for number in (1, 2):
        writer = Writer(number, str(number))
        for side in ("block", "mutex"):
            for name, unit, which in (("contentions", "count", 6), ("delay", "nanoseconds", 7)):
                writer.begin(name, unit, side, "nanoseconds", 100_000)
                for wait in (wait for wait in WAITS if wait[0] == side):
                    attributes = {"otelprof.lock.name": wait[1], "otelprof.lock.kind": wait[2],
                                  "otelprof.lock.address": wait[3], **({"http.route": wait[5]} if wait[5] else {})}  # fmt: skip
                    writer.value(wait[4], attributes, wait[which])
        writer.save(folder / f"{number}.otlp")
    locks = json.loads(top("--locks", "--json", folder).stdout)["locks"]
    sums = [(lock["name"], lock["kind"], lock["addresses"], lock["contentions"], lock["delay_ns"], lock["held_delay_ns"])
            for lock in locks]  # fmt: skip
    expect(sums == [("stock", "mutex", 2, 80, 8_000_000, 8_000_000), ("index", "rwlock", 1, 10, 1000, 0),
                    ("jobs", "condition", 1, 14, 140_000_000, 0)], "locks, then work: %s" % sums)  # fmt: skip
    sides = {side: [(one["function"], one["place"], one["value"], one["contentions"], one["delay_ns"])
                    for one in locks[0][side]] for side in ("waited", "held")}  # fmt: skip
    expect(sides == {"waited": [("order", "order.c:4", "/order", 60, 6_000_000), ("report", "report.c:4", "/report", 20, 2_000_000)],
                     "held": [("report", "report.c:4", "/report", 80, 8_000_000)]}, "both sides: %s" % sides)  # fmt: skip
    expect(locks[1]["waited"][0]["function"] == "libz.so.1+0x1123", "a place without a name: %s" % locks[1]["waited"])
    text = top("--locks", "-n", "1", folder).stdout
    expect("stock (2 of them): 80 waits, 8.0 ms in all, 100.0 us in the mean; holder known for 100.0 %" in text
           and "(and 2 more)" in text, "the text: %s" % text)  # fmt: skip
    by = json.loads(top("--locks", "--json", "--by", "otelprof.lock.kind", folder).stdout)["locks"][0]["waited"]
    expect({one["value"] for one in by} == {"mutex"}, "by another attribute: %s" % by)
    both = {kind: read_json("--type", kind, folder)["all"] for kind in ("lock", "mutex", "block_contentions")}
    expect(both == {"lock": {"ns": 148_001_000, "objects": 104}, "mutex": {"ns": 8_000_000, "objects": 80},
                    "block_contentions": {"count": 104, "samples": 104}}, "as types: %s" % both)  # fmt: skip
    for arguments, code in ((["--locks", "--type", "cpu", folder], 2), (["--locks", "--losses", folder], 2), (["--locks"], 2),
                            (["--locks", work / "heap" / "1.otlp"], 1)):  # fmt: skip
        result = top(*arguments)
        expect(result.returncode == code and result.stderr and not result.stdout, "%s: %d" % (arguments, result.returncode))


# State, system call, ns, whose frames, route.
LOOKS = (
    ("sleeping", "read", 30_000, ("read", "fetch", "main"), "/a"),
    ("sleeping", "read", 10_000, ("read", "fetch", "main"), None),
    ("uninterruptible", None, 5_000, ("fault", "main"), "/a"),
    ("running", None, 900_000, ("fetch", "main"), "/a"),
    ("runnable", "read", 55_000, ("fetch", "main"), "/a"),
    ("sleeping", "futex", 25_000, ("wait", "main"), "/b"),
)


def function(name):
    return [(name, "src/%s.c" % name, 7)]


def check_off_cpu(work):
    """What is blocked, by what it waits for; what runs or waits for a CPU is in the whole alone."""
    folder = work / "off-cpu"
    folder.mkdir()
    writer = Writer(1)
    writer.begin("wall", "nanoseconds", "wall", "nanoseconds", PERIOD)
    for state, call, ns, names, route in LOOKS:
        attributes = {"otelprof.thread.state": state, **({"otelprof.syscall": call} if call else {}),
                      **({"http.route": route} if route else {})}  # fmt: skip
        writer.value([function(name) for name in names], attributes, ns)
    writer.save(folder / "1.otlp")
    found = json.loads(top("--off-cpu", "--json", folder).stdout)
    expect((found["blocked_ns"], found["whole_ns"]) == (70_000, 1_025_000), "sums: %s" % found)
    places = [(one["syscall"], one["function"], one["value"], one["ns"]) for one in found["places"]]
    expect(places == [("read", "read", "/a", 30_000), ("read", "read", "", 10_000), ("futex", "wait", "/b", 25_000),
                      ("", "fault", "/a", 5_000)], "places: %s" % places)  # fmt: skip
    text = top("--off-cpu", "-n", "1", folder).stdout
    expect("read             40.0 us, 57.1 %" in text and "(and 1 more)" in text and "no system call" in text, "text: %s" % text)
    expect(read_json("--type", "wall", folder)["all"]["ns"] == 1_025_000, "wall as a type")
    for arguments, code in ((["--off-cpu", "--type", "cpu", folder], 2), (["--off-cpu", "--locks", folder], 2),
                            (["--off-cpu"], 2), (["--off-cpu", work / "heap" / "1.otlp"], 1)):  # fmt: skip
        result = top(*arguments)
        expect(result.returncode == code and result.stderr and not result.stdout, "%s: %d" % (arguments, result.returncode))


def check_threads(work):
    """The last snapshot of each process: deadlocks first, then by equal stack."""
    folder = work / "threads"
    folder.mkdir()
    for number, start in ((1, START), (2, START + 10_000_000_000), (3, START + 20_000_000_000)):
        writer = Writer(1, "one", start)
        writer.begin("goroutine", "count", "goroutine", "count", 1)
        if number < 3:  # the last window has none
            for tid in range(3 * number):
                writer.value([function("poll"), function("loop")], {"otelprof.thread.state": "sleeping", "otelprof.syscall": "poll",
                             "thread.id": tid, "thread.name": "pool", "otelprof.thread.cpu_ns": 1000 * tid}, 1)  # fmt: skip
            writer.value([function("lock"), function("work")], {"otelprof.thread.state": "sleeping", "otelprof.syscall": "futex",
                         "otelprof.lock.kind": "mutex", "otelprof.lock.name": "queue", "otelprof.lock.owner.thread.id": 9,
                         "otelprof.deadlock": 1, "thread.id": 77, "http.route": "/x"}, 1)  # fmt: skip
            writer.value([function("idle")], {"otelprof.thread.state": "running"}, 40)
        else:
            writer.begin("wall", "nanoseconds", "wall", "nanoseconds", PERIOD)
            writer.value([function("idle")], {"otelprof.thread.state": "running"}, 40)
        writer.save(folder / f"{number}.otlp")
    found = json.loads(top("--threads", "--json", folder).stdout)
    groups = [(one["threads"], one["deadlock"], one["what"], len(one["members"])) for one in found["groups"]]
    expect(groups == [(1, 1, "sleeping in futex, waits for mutex queue, which thread 9 holds", 1), (40, 0, "running", 1),
                      (6, 0, "sleeping in poll", 6)], "groups: %s" % groups)  # fmt: skip
    expect(found["threads"] == 47, "all threads: %s" % found["threads"])
    text = top("--threads", "-n", "2", folder).stdout
    expect("deadlock 1: 1 thread sleeping in futex" in text and "77 (no name), /x" in text and "(and 1 more)" in text
           and "lock  lock.c:10" in text, "text: %s" % text)  # fmt: skip
    expect(read_json("--type", "threads", folder)["all"]["count"] == 47, "as a type: of the last snapshot")
    for arguments, code in ((["--threads", "--by", "x", folder], 2), (["--threads", "--leaks", folder, folder], 2),
                            (["--threads", work / "heap" / "1.otlp"], 1)):  # fmt: skip
        result = top(*arguments)
        expect(result.returncode == code and result.stderr and not result.stdout, "%s: %d" % (arguments, result.returncode))


def check_damage(folder, work, chance):
    """Damaged files end in a message and an exit status, never in a signal."""
    data = next(folder.iterdir()).read_bytes()
    path = work / "damaged.otlp"
    for _ in range(SEEDS * 25):
        copy = bytearray(data)
        for _ in range(chance.randint(1, 8)):
            copy[chance.randrange(len(copy))] = chance.randrange(256)
        path.write_bytes(copy)
        result = subprocess.run([PROGRAM, "top", "--by", "http.route", path], capture_output=True, timeout=60)
        expect(result.returncode in (0, 1), "damage: exit status %d" % result.returncode)
        result = subprocess.run([PROGRAM, "top", "--leaks", path, path], capture_output=True, timeout=60)
        expect(result.returncode in (0, 1), "damage: exit status %d of --leaks" % result.returncode)
        result = subprocess.run([PROGRAM, "top", "--locks", path], capture_output=True, timeout=60)
        expect(result.returncode in (0, 1), "damage: exit status %d of --locks" % result.returncode)


def main():
    work = WORK / "top"
    shutil.rmtree(work, ignore_errors=True)
    for seed in range(SEEDS):
        truth = make(work / ("seed-%d" % seed), random.Random(seed))
        compare(work / ("seed-%d" % seed), truth, seed)
    check_text(work / "seed-0")
    check_foreign_text(work / "foreign")
    check_failures(work / "seed-0", work)
    check_heap(work)
    check_locks(work)
    check_off_cpu(work)
    check_threads(work)
    check_damage(work / "seed-0", work, random.Random(1))
    print("%d seeds, %d failures" % (SEEDS, len(failures)))
    return 1 if failures else 0


sys.exit(main())

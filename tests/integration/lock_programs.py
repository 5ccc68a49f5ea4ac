# SPDX-License-Identifier: Apache-2.0
"""The lock profile of programs: lock_programs.py OTELPROF TESTS FOLDER [NAME]

A host that switches it on and off under load; a C++ service of ours; MariaDB, which nobody changed, under load.
"""

import json
import os
import pathlib
import subprocess
import sys
import time


class Failed(Exception):
    """What is not as it must be."""


def expect(condition, text):
    print(("ok   " if condition else "FAIL ") + text)
    if not condition:
        raise Failed(text)


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited for {what} in vain")
        time.sleep(0.1)


def run(command, **more):
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, **more)


def quote(otelprof, folder, lines):
    """The report as people see it."""
    text = run([otelprof, "top", "--locks", "-n", "4", folder]).stdout
    print("".join(f"     | {line}\n" for line in text.splitlines()[:lines]), end="")


def locks_of(otelprof, folder):
    report = run([otelprof, "top", "--locks", "--json", folder])
    expect(report.returncode == 0, f"otelprof top --locks {report.stderr.strip()}")
    return json.loads(report.stdout)["locks"]


def share(parties, whole, **wanted):
    """Of the delay: at the parties whose fields begin so."""
    return sum(party["delay_ns"] for party in parties
               if all(party[key].startswith(value) for key, value in wanted.items())) / max(whole, 1)  # fmt: skip


# ------------------------------------------------------------------------------------------------- our own


def switching(otelprof, tests, folder):
    result = run([tests / "lock_hosts", folder / "out", "1000"])
    print("     " + result.stdout.strip())
    expect(result.returncode == 0, f"a thousand times off and on under load {result.stderr.strip()}")
    names = {lock["name"] for lock in locks_of(otelprof, folder / "out")}
    expect({"mutex", "rwlock", "spinlock"} <= names, f"locks by the names of their variables: {sorted(names)}")


def allocators(otelprof, tests, folder):
    """Their own locks are hooked too, and contended."""
    for name in ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"):
        path = next((path for path in pathlib.Path("/usr/lib").glob(f"*/{name}")), None)
        expect(path, f"{name} is there")
        result = run([tests / "lock_hosts", folder / name, "200"], env={**os.environ, "LD_PRELOAD": str(path)})
        print("     " + result.stdout.strip())
        expect(result.returncode == 0, f"{name} {result.stderr.strip()}")


def service_report(otelprof, folder, names):
    """Whose work waits for whose."""
    locks = {lock["name"]: lock for lock in locks_of(otelprof, folder)}
    inventory, prices = (locks.get(name, {"waited": [], "held": [], "delay_ns": 0, "held_delay_ns": 0}) for name in names)
    expect(inventory["delay_ns"] > 50e6, f"inventory was waited for: {inventory['delay_ns'] / 1e6:.0f} ms")
    known = inventory["held_delay_ns"] / inventory["delay_ns"]
    expect(0.85 <= known <= 1.15, f"the holder is known for {known:.2f} of it")
    held = share(inventory["held"], inventory["held_delay_ns"], function="service::report")
    expect(held >= 0.35, f"and is service::report() for {held:.2f} of it")
    waited = share(prices["waited"], prices["delay_ns"], function="service::search")
    expect(waited >= 0.3, f"prices: service::search() waits {waited:.2f} of the time")
    held = share(prices["held"], prices["held_delay_ns"], function="service::reprice")
    expect(held >= 0.5, f"for service::reprice() {held:.2f} of it")
    return inventory, prices


def service(otelprof, tests, folder):
    """Linked with the library, with spans and a name."""
    result = run([tests / "lock_service", folder / "out", "6"])
    expect(result.returncode == 0, f"the service: {result.stdout.strip()} {result.stderr.strip()}")
    quote(otelprof, folder / "out", 40)
    inventory, prices = service_report(otelprof, folder / "out", ("inventory", "service::price_mutex"))
    held = share(inventory["held"], inventory["held_delay_ns"], value="/report")
    waits = {party["value"] for party in inventory["waited"]}
    expect(held >= 0.35 and {"/order", "/report"} <= waits, f"routes wait for /report ({held:.2f}): {sorted(waits)}")
    held = share(prices["held"], prices["held_delay_ns"], value="/reprice")
    expect(held >= 0.5, f"routes wait for /reprice ({held:.2f})")


def service_preloaded(otelprof, tests, folder):
    """The same under `otelprof run`, where it does not start the library itself: no spans' attributes are lost by that."""
    result = run([otelprof, "run", "--profiles", "lock", "--out", folder / "out", "--", tests / "lock_service", "", "5"])
    expect(result.returncode == 0, f"the service: {result.stdout.strip()} {result.stderr.strip()}")
    service_report(otelprof, folder / "out", ("inventory", "service::price_mutex"))


# ------------------------------------------------------------------------------------------------ MariaDB


class MariaDB:
    """A server with a data directory and a socket of its own."""

    def __init__(self, folder, before):
        folder.mkdir(parents=True)
        self.socket = f"{folder}/s"
        data, tmp = folder / "data", folder / "tmp"
        tmp.mkdir()
        made = run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
                    "--auth-root-authentication-method=normal", f"--tmpdir={tmp}"])  # fmt: skip
        expect(made.returncode == 0, f"mariadb-install-db {made.stderr[-300:]}")
        self.log = open(folder / "log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [*before, "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={self.socket}",
             "--skip-networking", f"--tmpdir={tmp}", "--innodb-buffer-pool-size=32M", f"--pid-file={folder}/pid",
             "--innodb-flush-log-at-trx-commit=0", "--thread-handling=one-thread-per-connection"],
            stdout=self.log, stderr=subprocess.STDOUT)  # fmt: skip
        wait_for(lambda: self.ask("select 1").returncode == 0, "the server")

    def ask(self, query):
        return run(["mariadb", "--no-defaults", "-N", f"--socket={self.socket}", "-e", query])

    def load(self):
        return run(["mariadb-slap", "--no-defaults", f"--socket={self.socket}", "--concurrency=24", "--iterations=2",
                    "--number-of-queries=24000", "--auto-generate-sql", "--auto-generate-sql-load-type=mixed",
                    "--auto-generate-sql-unique-write-number=100"])  # fmt: skip

    def end(self):
        self.process.terminate()
        status = self.process.wait(60)
        self.log.close()
        return status


QUESTIONS = ("create database d; use d; create table d.t (id int primary key, x int); insert into d.t select seq, seq * 7 % 1000 "
             "from seq_1_to_20000; select count(*), sum(x), max(x) from d.t; update d.t set x = x + 1 where id % 3 = 0; "
             "select sum(x), md5(group_concat(x order by id)) from d.t where id < 5000")  # fmt: skip


def mariadb(otelprof, _, folder):
    answers, statuses = [], []
    out = folder / "out"
    for name, before in (("plain", []), ("profiled", [otelprof, "run", "--profiles", "cpu,heap,lock", "--out", out, "--"])):
        server = MariaDB(folder / name, before)
        try:
            answers.append(server.ask(QUESTIONS).stdout)
            load = server.load()
            expect(load.returncode == 0, f"{name}: load by 24 clients {load.stderr.strip()}")
        finally:
            statuses.append(server.end())
    expect(answers[0] == answers[1] and answers[0], f"answers are the same: {answers[1].split()}")
    expect(statuses == [0, 0], f"both servers ended well: {statuses}")
    quote(otelprof, out, 40)
    locks = locks_of(otelprof, out)
    real = [lock for lock in locks if lock["kind"] in ("mutex", "rwlock")]
    expect(real and sum(lock["delay_ns"] for lock in real) > 0, f"{len(real)} locks were waited for")
    # A lock counts for 5 ms at most, so that one long wait does not decide. Waits so short that they end before the waiter
    # has posted itself have no holder: where hardly anybody waited, they are most of it.
    counted = [(min(lock["delay_ns"], 5e6), lock["held_delay_ns"] / max(lock["delay_ns"], 1)) for lock in real]
    delay = sum(delay for delay, _ in counted)
    known = sum(delay * part for delay, part in counted) / max(delay, 1)
    expect(known >= 0.5 or delay < 8e6, f"holders are known for {known:.2f} of the delay of {delay / 1e6:.1f} ms")
    expect(any(lock["kind"] == "condition" for lock in locks), "waits for work are told apart")


# ------------------------------------------------------------------------------------------------------ all


def main(otelprof, tests, folder, only=None):
    failed = []
    for case in (switching, allocators, service, service_preloaded, mariadb):
        if only and case.__name__ != only:
            continue
        print(f"-- {case.__name__}")
        here = pathlib.Path(folder) / case.__name__
        here.mkdir()
        try:
            case(otelprof, pathlib.Path(tests), here)
        except (Failed, subprocess.TimeoutExpired) as problem:
            print(f"FAIL {case.__name__}: {problem}")
            failed.append(case.__name__)
    print(f"failed: {failed}" if failed else "all as it must be")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.pop("LD_PRELOAD", None)
    sys.exit(main(*sys.argv[1:]))

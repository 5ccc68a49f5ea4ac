# SPDX-License-Identifier: Apache-2.0
"""A service that exports to receivers that misbehave, one after the other.

failing_servers.py SENDER CERTIFICATES [PATTERN] [--sanitized]    PATTERN: only rows whose name it matches

For each: the accounts are exact, and agree with what the receiver says it took; flush and shutdown keep their deadlines;
memory stays within its budget; requests do not become a storm; and what is secret is said nowhere. A service that a
sanitizer makes slow and large is judged by its report, its accounts and its secrets.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

from failing_server import FailingServer

SECONDS, FLUSH_MS, SHUTDOWN_MS = 3.5, 700, 1000
LATE_MS = 250  # the machine is shared
PATIENT_MS = 20000
MEMORY_LIMIT_MIB = 16
# Beside that, as the header says: as much again while a module's debug information is read; and what libbpf, libcurl and
# OpenSSL keep.
BESIDE_MIB = MEMORY_LIMIT_MIB + 8
SECRET = "canary-4d1f7c"
HEADERS = f"authorization=Bearer%20{SECRET},x-api-key={SECRET}%2Fkey"


def nothing_arrives(stats, _):
    return stats["exported"] == 0 and stats["unknown"] == 0


def refused_for_good(stats, server):
    """One request a window, and each is lost."""
    return nothing_arrives(stats, server) and stats["failed"] > 0 and stats["retries"] == 0


def tried_again(stats, server):
    return nothing_arrives(stats, server) and stats["retries"] > 0


def left_alone(stats, server):
    """Tried again, but never sooner than the receiver wanted."""
    times = [request.time for request in server.requests.all()]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    return tried_again(stats, server) and all(gap >= 2 for gap in gaps)


def may_have_arrived(stats, _):
    return stats["exported"] == 0 and stats["unknown"] > 0


def rejected(stats, server):
    return stats["exported"] == 0 and stats["rejected"] > 0 and stats["profiles_rejected"] == len(server.requests.all())


def everything_arrives(stats, _):
    return stats["exported"] == stats["fired"]


def recovers(stats, server):
    return stats["exported"] > 0 and server.requests.accepted_samples() > 0


def made_smaller(stats, server):
    """Refused for size: smaller requests follow, down to the smallest, and then no more."""
    return nothing_arrives(stats, server) and stats["failed"] > 0 and len(server.requests.all()) < 100


def through_proxy(stats, server):
    """The requests name the host that only the proxy knows."""
    hosts = {request.headers.get("host") or request.headers.get(":authority") for request in server.requests.all()}
    return everything_arrives(stats, server) and hosts == {BEHIND_PROXY}


BEHIND_PROXY = "receiver.invalid:4310"

# mode, protocols, what must be so, further arguments of the server
ROWS = [
    ("ok", "both", everything_arrives, {}),
    ("ok", "both", through_proxy, {"proxy": True}),
    ("refuse", "both", tried_again, {}),
    ("hang", "both", lambda stats, _: stats["exported"] == 0 and stats["retries"] > 0, {}),
    ("unreachable", "both", tried_again, {}),
    ("slow-read", "both", lambda stats, _: stats["exported"] == 0, {}),
    ("reset-mid-body", "both", lambda stats, _: stats["exported"] == 0 and stats["retries"] > 0, {}),
    ("400", "http", refused_for_good, {}),
    ("401", "http", refused_for_good, {}),
    ("404", "http", refused_for_good, {}),
    ("413", "http", made_smaller, {}),
    ("429", "http", tried_again, {}),
    ("429-retry-after", "http", left_alone, {}),
    ("503", "http", tried_again, {}),
    ("redirect", "http", refused_for_good, {}),
    ("garbage", "both", may_have_arrived, {}),
    ("huge-reply", "http", may_have_arrived, {}),
    ("huge-reply", "grpc", lambda stats, _: stats["exported"] == 0, {}),
    ("partial-success", "both", rejected, {}),
    ("partial-success-gzip", "grpc", rejected, {}),
    ("warning", "both", everything_arrives, {}),
    ("unavailable", "grpc", tried_again, {}),
    ("exhausted", "grpc", refused_for_good, {}),
    ("exhausted-retry-info", "grpc", left_alone, {}),
    ("unauthenticated", "grpc", refused_for_good, {}),
    ("goaway", "grpc", lambda stats, _: stats["exported"] == 0 and stats["retries"] > 0, {}),
    ("no-status", "grpc", may_have_arrived, {}),
    # libcurl 7.88 loses the trailers when GOAWAY and the end come in the same write; others do not.
    ("answer-and-goaway", "grpc", lambda stats, _: stats["exported"] + stats["unknown"] > 0, {}),
    ("wrong-certificate", "both", refused_for_good, {"certificate": "wrong"}),
    ("echo-headers", "both", refused_for_good, {}),
    ("echo-headers-cut", "both", refused_for_good, {}),
    ("503", "http", recovers, {"then": "ok", "after": 2}),
    ("unavailable", "grpc", recovers, {"then": "ok", "after": 2}),
    ("refuse", "both", recovers, {"then": "ok", "after": 1}),
]


class Row:
    def __init__(self, mode, protocol, judge, arguments, certificates, sanitized):
        self.mode, self.protocol, self.judge, self.sanitized = mode, protocol, judge, sanitized
        self.name = f"{mode} {protocol}" + (f" then {arguments['then']}" if "then" in arguments else "")
        self.name += " by proxy" if "proxy" in arguments else ""
        self.arguments = dict(arguments)
        if "certificate" in arguments:
            name = certificates / arguments["certificate"]
            self.arguments.update(certificate=f"{name}.crt", key=f"{name}.key")
        self.environment = dict(
            os.environ,
            OTELPROF_LOG="stderr",
            OTELPROF_RATE="997",
            OTELPROF_WINDOW_MS="400",
            OTELPROF_MEMORY_LIMIT=str(MEMORY_LIMIT_MIB << 20),
            OTEL_EXPORTER_OTLP_TIMEOUT="1500",
            OTEL_EXPORTER_OTLP_HEADERS=HEADERS,
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc" if protocol == "grpc" else "http/protobuf",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificates / "ca.crt"),
        )

    def run(self, sender):
        """The findings: what is not as it must be."""
        server = FailingServer(self.mode, self.protocol, **self.arguments)
        self.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = server.url()
        if server.proxy:
            self.environment.update(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{BEHIND_PROXY}", http_proxy=server.url())
        else:  # not for this host
            self.environment["http_proxy"] = "http://127.0.0.1:9"
        # What a shutdown abandons is no leak; but a sanitizer would call it one.
        arguments = [sender, str(SECONDS), str(FLUSH_MS), str(PATIENT_MS if self.sanitized else SHUTDOWN_MS)]
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        server.stop()
        if done.returncode:
            return [f"the service ended with {done.returncode}: {done.stderr[-2000:]}"]
        stats = json.loads(done.stdout)
        self.say(stats, server, done.stderr)
        findings = list(self.accounts(stats, server, done))
        return findings if self.sanitized else findings + list(self.behaviour(stats, server, done))

    def say(self, stats, server, log):
        warnings = [line.split("otelprof: ", 2)[-1] for line in log.splitlines() if "export to" in line]
        print(
            f"{self.name}: {stats['fired']} fired = {stats['exported']} exported + {stats['lost']} lost + "
            f"{stats['unknown']} unknown; {len(server.requests.all())} requests on {server.requests.connections} "
            f"connections, {stats['retries']} again; flush {stats['flush_ms']:.0f} ms, shutdown "
            f"{stats['shutdown_ms']:.0f} ms; memory +{(stats['private_most_kib'] - stats['private_before_kib']) / 1024:.1f} MiB"
        )
        for line in warnings:
            print(f"    {line}")

    def accounts(self, stats, server, done):
        if stats["init"]:
            yield f"did not start: {stats['reason']}"
        if stats["fired"] < 500:
            yield f"only {stats['fired']} samples fired"
        if stats["fired"] != stats["exported"] + stats["lost"] + stats["unknown"]:
            yield "the account does not balance"
        # What the answer did not reach us for may have been taken all the same; what we believe was taken, was.
        if not stats["exported"] <= server.requests.accepted_samples() <= stats["exported"] + stats["unknown"]:
            yield f"the receiver took {server.requests.accepted_samples()} samples"
        if SECRET[:6] in done.stdout + done.stderr:  # nor the beginning of it, where a text was cut
            yield "a secret was said"
        if any(SECRET in repr(request.body) for request in server.requests.all()):
            yield "a secret is in a profile"

    def behaviour(self, stats, server, done):
        if not self.judge(stats, server):
            yield f"not as it must be: {stats}"
        if stats["flush_ms"] > FLUSH_MS + LATE_MS or stats["shutdown_ms"] > SHUTDOWN_MS + LATE_MS:
            yield "a deadline was not kept"
        if stats["private_most_kib"] - stats["private_before_kib"] > (MEMORY_LIMIT_MIB + BESIDE_MIB) * 1024:
            yield "over the memory budget"
        if any(request.headers.get("authorization") != f"Bearer {SECRET}" for request in server.requests.all()):
            yield "the headers did not arrive"
        kinds = [line.split(" export to ")[1].split(";")[0] for line in done.stderr.splitlines() if " export to " in line]
        if len(kinds) != len(set(kinds)):
            yield f"a kind of message came twice: {kinds}"


def main(sender, certificates, pattern, sanitized):
    failures = count = 0
    for mode, protocols, judge, arguments in ROWS:
        for protocol in ("http", "grpc") if protocols == "both" else (protocols,):
            row = Row(mode, protocol, judge, arguments, pathlib.Path(certificates), sanitized)
            if not re.search(pattern, row.name):
                continue
            count += 1
            for finding in row.run(sender):
                print(f"FAILED: {row.name}: {finding}")
                failures += 1
    print(f"{count} receivers, {failures} findings")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sender")
    parser.add_argument("certificates")
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--sanitized", action="store_true")
    sys.exit(main(**vars(parser.parse_args())))

# SPDX-License-Identifier: Apache-2.0
"""A service exports to a real Collector, in every way, and everything that it sent comes out of the Collector's file:
collector_scenarios.py COLLECTOR SENDER CERTIFICATES FOLDER [SCENARIO]
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

import collector

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "decoder"))
import decode  # noqa: E402

SECONDS, FLUSH_MS, SHUTDOWN_MS = 3, 3000, 3000
TOKEN = "canary-bearer-77aa"
BOTH = {"grpc": {}, "http": {}}


def tls(certificates, **more):
    return {"tls": {"cert_file": str(certificates / "server.crt"), "key_file": str(certificates / "server.key"), **more}}


class Scenario:
    """One Collector, and a service for each protocol."""

    receivers = BOTH
    extensions = processors = downstream = None
    scheme = "http"
    protocols = ("grpc", "http")
    environment = {}
    attribute_bytes = 0

    def __init__(self, certificates):
        self.certificates = certificates

    def judge(self, stats, log):
        """Findings. By default: everything was delivered, at once."""
        if stats["exported"] != stats["fired"] or stats["flush"] or stats["shutdown"] or stats["retries"]:
            yield f"not everything was delivered: {stats}"
        if "export to" in log:
            yield f"there was trouble: {log}"


    def judge_sent(self, sent):
        """Findings about the requests that were delivered."""
        del sent
        yield from ()


class Plain(Scenario):
    """CPU samples, what a span allocated and holds, who waited for whom, where time goes and which threads there are: as
    the library takes them by default."""

    def judge_sent(self, sent):
        types, held, sides, forms, states = collections.Counter(), 0, {}, set(), collections.defaultdict(set)
        for bytes_ in sent:
            request = decode.Request.FromString(bytes_)
            for sample in decode.samples(request):
                types[sample.type] += 1
                forms.add((sample.type, sample.unit, sample.period_type, sample.period))
                states[sample.type].add(sample.attributes.get("otelprof.thread.state"))
                if sample.type == "delay" and sample.attributes.get("otelprof.lock.name") == "wanted":
                    sides[sample.period_type] = sample.attributes.get("http.route"), sum(sample.values)
                if sample.type == "inuse_space" and sample.attributes.get("http.route") == "/held":
                    held = max(held, sum(sample.values))
        print(f"    samples by type {dict(types)}; /held holds {held / 2**20:.1f} of 25 MiB")
        if set(types) != {"samples", "alloc_objects", "alloc_space", "inuse_objects", "inuse_space",
                          "contentions", "delay", "wall", "goroutine"}:  # fmt: skip
            yield f"not all types of profiles are there: {dict(types)}"
        if not {("wall", "nanoseconds", "wall", 10101010), ("goroutine", "count", "goroutine", 1)} <= forms:
            yield f"wall time or threads have another unit or period: {forms}"
        if not {"running", "sleeping"} <= states["wall"] or "sleeping" not in states["goroutine"]:
            yield f"states of threads are missing: {dict(states)}"
        # 25 MiB in blocks of 256 KiB, with an interval of 512 KiB: a standard error of 3.2 MiB.
        if not 10 * 2**20 < held < 40 * 2**20:
            yield f"/held holds {held} bytes"
        routes = {side: route for side, (route, _) in sides.items()}
        if routes != {"block": "/waits", "mutex": "/holds"} or not all(20e6 < ns < 2e9 for _, ns in sides.values()):
            yield f"who waits for the lock, and who holds it: {sides}"


class Uncompressed(Scenario):
    environment = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}


class Tls(Scenario):
    scheme = "https"

    def __init__(self, certificates):
        super().__init__(certificates)
        self.receivers = {kind: tls(certificates) for kind in BOTH}
        self.environment = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.crt")}


class UnknownAuthority(Tls):
    """The system's authorities do not know the test's."""

    def __init__(self, certificates):
        super().__init__(certificates)
        self.environment = {}

    def judge(self, stats, log):
        if stats["exported"] or stats["unknown"] or not stats["failed"] or "certificate" not in log:
            yield f"{stats} {log}"


class MutualTls(Tls):
    def __init__(self, certificates):
        super().__init__(certificates)
        self.receivers = {kind: tls(certificates, client_ca_file=str(certificates / "ca.crt")) for kind in BOTH}
        self.environment = dict(
            self.environment,
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(certificates / "client.crt"),
            OTEL_EXPORTER_OTLP_CLIENT_KEY=str(certificates / "client.key"),
        )


class MutualTlsWithoutCertificate(MutualTls):
    """The refusal comes after the handshake, when the request may be on its way already: tried again, and not lost in
    silence."""

    def __init__(self, certificates):
        super().__init__(certificates)
        for name in ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"):
            del self.environment[name]

    def judge(self, stats, log):
        if stats["exported"] or not stats["retries"] or "certificate" not in log:
            yield f"{stats} {log}"


class Bearer(Scenario):
    receivers = {kind: {"auth": {"authenticator": "bearertokenauth"}} for kind in BOTH}
    extensions = {"bearertokenauth": {"token": TOKEN}}
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN}"}


class WrongToken(Bearer):
    environment = {"OTEL_EXPORTER_OTLP_PROFILES_HEADERS": f"authorization=Bearer%20wrong-{TOKEN}"}

    def judge(self, stats, log):
        said = "UNAUTHENTICATED" in log or "HTTP 401" in log
        if stats["exported"] or stats["unknown"] or stats["retries"] or not stats["failed"] or not said:
            yield f"{stats} {log}"


class LargeRequests(Scenario):
    """As large as they get: 16,000 samples, each with a link and an attribute of its own, stay within the 4 MiB that a
    receiver over gRPC takes by default."""

    attribute_bytes = 180
    environment = {"OTELPROF_RATE": "7001", "OTELPROF_WINDOW_MS": "2900", "OTELPROF_MEMORY_LIMIT": str(512 << 20),
                   "OTELPROF_PROFILES": "cpu"}  # fmt: skip

    def judge(self, stats, log):
        if stats["exported"] + stats["memory_lost"] != stats["fired"] or stats["flush"] or stats["shutdown"]:
            yield f"not everything was delivered: {stats}"
        if "export to" in log:
            yield f"there was trouble: {log}"

    def judge_sent(self, sent):
        largest = max(map(len, sent), default=0)
        if not 5 << 19 < largest <= 4 << 20:
            yield f"the largest request has {largest} bytes"


class SmallLimit(LargeRequests):
    """Requests over the receiver's limit come in parts, and nothing is lost: 1 MiB over gRPC, 200 KB over HTTP."""

    receivers = {"grpc": {"max_recv_msg_size_mib": 1}, "http": {"max_request_body_size": 200000}}

    def judge(self, stats, log):
        if stats["exported"] + stats["memory_lost"] != stats["fired"] or stats["flush"] or stats["shutdown"]:
            yield f"not everything was delivered: {stats}"
        if "smaller requests follow" not in log:
            yield f"the limit was not met: {log}"

    def judge_sent(self, sent):
        if max(map(len, sent), default=0) > 1 << 20:
            yield "a request is over the limit"


class MemoryLimiter(Scenario):
    processors = {"memory_limiter": {"check_interval": "100ms", "limit_mib": 2, "spike_limit_mib": 1}}

    def judge(self, stats, log):
        if stats["exported"] or stats["unknown"] or not stats["retries"] or "next attempt" not in log:
            yield f"{stats} {log}"


class DeadDownstream(MemoryLimiter):
    processors = None
    downstream = {
        "otlp_grpc": {
            "endpoint": "127.0.0.1:9",
            "tls": {"insecure": True},
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": False},
        }
    }


SCENARIOS = (
    Plain, Uncompressed, Tls, UnknownAuthority, MutualTls, MutualTlsWithoutCertificate, Bearer, WrongToken, LargeRequests,
    SmallLimit, MemoryLimiter, DeadDownstream,
)  # fmt: skip


def run_service(sender, scenario, peer, protocol, folder):
    environment = dict(
        os.environ,
        OTELPROF_LOG="stderr",
        OTELPROF_RATE="499",
        OTELPROF_WINDOW_MS="700",
        OTELPROF_OUTPUT_DIR=str(folder),  # copies of what was delivered
        OTEL_EXPORTER_OTLP_ENDPOINT=peer.url(protocol, protocol, scenario.scheme),
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc" if protocol == "grpc" else "http/protobuf",
        OTEL_SERVICE_NAME="interop",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=t%C3%A9st",
    )
    environment.update(scenario.environment)
    arguments = [sender, str(SECONDS), str(FLUSH_MS), str(SHUTDOWN_MS), str(scenario.attribute_bytes)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout), done.stderr


def run(scenario, binary, sender, folder):
    receivers = {protocol: {protocol: scenario.receivers[protocol]} for protocol in scenario.protocols}
    peer = collector.Collector(
        binary, folder / "collector", receivers,
        extensions=scenario.extensions, processors=scenario.processors, downstream=scenario.downstream,
    )  # fmt: skip
    name = type(scenario).__name__
    try:
        for protocol in scenario.protocols:
            stats, log = run_service(sender, scenario, peer, protocol, folder / protocol)
            warnings = [line.split("otelprof: ", 2)[-1] for line in log.splitlines() if "export to" in line]
            print(f"{name} {protocol}: {stats['fired']} fired, {stats['exported']} exported, {stats['lost']} lost, "
                  f"{stats['unknown']} unknown, {stats['retries']} again", *warnings, sep="\n    ")  # fmt: skip
            yield from (f"{name} {protocol}: {finding}" for finding in scenario.judge(stats, log))
            if stats["fired"] < 200 or stats["fired"] != stats["exported"] + stats["lost"] + stats["unknown"]:
                yield f"{name} {protocol}: the account: {stats}"
            if TOKEN in log:
                yield f"{name} {protocol}: a secret was said"
    finally:
        peer.stop()
    sent = [path.read_bytes() for protocol in scenario.protocols for path in (folder / protocol).glob("*.otlp")]
    if TOKEN.encode() in b"".join(sent):
        yield f"{name}: a secret is in a profile"
    received = list(peer.received())
    print(f"    {len(sent)} messages sent, the largest of {max(map(len, sent), default=0)} bytes, {len(received)} in the Collector's file")
    yield from (f"{name}: {finding}" for finding in (*scenario.judge_sent(sent), *collector.compare(sent, received)))


def comparison_can_fail(folder):
    """A message that lost a value, one that came twice, and one that is missing are found."""
    sent = [path.read_bytes() for path in sorted(folder.glob("Plain/*/*.otlp"))[:2]]
    received = [collector.profiles_pb2.ProfilesData.FromString(each) for each in sent]
    good = list(collector.compare(sent, received))
    changed = collector.profiles_pb2.ProfilesData.FromString(sent[0])
    changed.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].link_index += 1
    bad = [[changed, received[1]], [received[0], received[0], received[1]], received[:1]]
    return len(sent) == 2 and not good and all(list(collector.compare(sent, each)) for each in bad)


def main(binary, sender, certificates, folder, pattern=""):
    folder = pathlib.Path(folder)
    failures = count = 0
    for kind in SCENARIOS:
        if pattern not in kind.__name__:
            continue
        count += 1
        for finding in run(kind(pathlib.Path(certificates).resolve()), binary, sender, folder / kind.__name__):
            print(f"FAILED: {finding}")
            failures += 1
    if not pattern and not comparison_can_fail(folder):
        print("FAILED: the comparison finds nothing where there is something")
        failures += 1
    print(f"{count} scenarios, {failures} findings")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

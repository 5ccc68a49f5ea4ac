# SPDX-License-Identifier: Apache-2.0
"""Forks while the export thread is in TLS handshakes, requests and waits: no child hangs, and each that lives on sends
profiles of its own. fork_delivery.py COLLECTOR STORM CERTIFICATES FOLDER FORKS
"""

import json
import os
import pathlib
import subprocess
import sys

import collector
import peers
from failing_server import FailingServer


def storm(program, forks, certificates, endpoint, protocol):
    environment = dict(
        os.environ, OTELPROF_FORK="follow", OTELPROF_WINDOW_MS="100", OTELPROF_RATE="499", OTELPROF_LOG="stderr",
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificates / "ca.crt"), OTEL_EXPORTER_OTLP_TIMEOUT="1000",
    )  # fmt: skip
    done = subprocess.run([program, str(forks)], env=environment, capture_output=True, text=True, timeout=240, check=True)
    print(done.stdout.strip())
    return json.loads(done.stdout)


def findings(result, name):
    if result["init"] or result["hangs"] or result["failed"]:
        yield f"{name}: {result}"
    if result["fired"] != result["exported"] + result["unknown"] + result["lost"]:
        yield f"{name}: the account of the parent does not balance"


def instances(messages):
    """Samples of each service.instance.id, and the process ids."""
    samples, pids = {}, {}
    for message in messages:
        for resource in message.resource_profiles:
            collector.resolve(resource.resource.attributes, message.dictionary.string_table)
            attributes = {entry.key: entry.value for entry in resource.resource.attributes}
            identity = attributes["service.instance.id"].string_value
            pids[identity] = attributes["process.pid"].int_value
            for scope in resource.scope_profiles:
                for profile in scope.profiles:
                    samples[identity] = samples.get(identity, 0) + sum(map(peers.events_of, profile.samples))
    return samples, pids


def to_collector(binary, program, certificates, folder, forks):
    """A new connection for each request: the Collector closes them, so that there is a handshake each 100 ms."""
    tls = {"tls": {"cert_file": str(certificates / "server.crt"), "key_file": str(certificates / "server.key")}}
    tls["keepalive"] = {"server_parameters": {"max_connection_age": "50ms", "max_connection_age_grace": "1s"}}
    peer = collector.Collector(binary, folder, {"storm": {"grpc": tls}})
    try:
        result = storm(program, forks, certificates, peer.url("storm", "grpc", "https"), "grpc")
    finally:
        peer.stop()
    yield from findings(result, "Collector")
    samples, pids = instances(peer.received())
    print(f"{len(samples)} instances, samples of each: {sorted(samples.values())}")
    if len(samples) < result["long_lives"] + 1 or len(set(pids.values())) != len(pids):
        yield f"{len(samples)} instances of {result['long_lives']} children and their parent; pids {pids}"
    if max(samples.values(), default=0) < result["exported"]:
        yield "the parent's samples did not all arrive"


def to_failing(program, certificates, forks):
    for mode, protocol in (("hang", "http"), ("wrong-certificate", "grpc"), ("goaway", "grpc")):
        certificate = {}
        if mode == "wrong-certificate":
            certificate = {"certificate": certificates / "wrong.crt", "key": certificates / "wrong.key"}
        server = FailingServer(mode, protocol, **certificate)
        result = storm(program, forks, certificates, server.url(), "grpc" if protocol == "grpc" else "http/protobuf")
        server.stop()
        yield from findings(result, mode)


def main(binary, program, certificates, folder, forks):
    certificates = pathlib.Path(certificates).resolve()
    found = list(to_collector(binary, program, certificates, pathlib.Path(folder) / "collector", int(forks)))
    found += list(to_failing(program, certificates, int(forks) // 3))
    for finding in found:
        print(f"FAILED: {finding}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector as a receiver: started with a configuration of the test's choice, and what it wrote."""

import json
import pathlib
import re
import struct
import subprocess
import time

from opentelemetry.proto.profiles.v1development import profiles_pb2

START_SECONDS = 30
STOP_SECONDS = 10


class Collector:
    """Runs until stop(). `receivers`: name to the options of otlp's protocols, as the Collector's configuration has them;
    ports are chosen by the system, see url(). `processors`: likewise; `downstream`: an exporter instead of files.
    """

    def __init__(self, binary, folder, receivers, *, extensions=None, processors=None, downstream=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "collector.log"
        config = self.folder / "config.json"  # JSON is YAML
        config.write_text(json.dumps(self.configuration(receivers, extensions or {}, processors or {}, downstream)))
        arguments = [binary, "--config", str(config), "--feature-gates=service.profilesSupport"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.folder)
        self.wait_ready()

    def configuration(self, receivers, extensions, processors, downstream):
        exporter = downstream or {"file": {"path": "out.pb", "format": "proto", "flush_interval": "50ms"}}
        protocols = {
            f"otlp/{name}": {
                "protocols": {kind: {"endpoint": "127.0.0.1:0", **options} for kind, options in kinds.items()}
            }
            for name, kinds in receivers.items()
        }
        pipeline = {"receivers": list(protocols), "processors": list(processors), "exporters": list(exporter)}
        return {
            "extensions": extensions,
            "receivers": protocols,
            "processors": processors,
            "exporters": exporter,
            "service": {
                "extensions": list(extensions),
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"profiles": pipeline},
            },
        }

    def wait_ready(self):
        end = time.monotonic() + START_SECONDS
        while "Everything is ready" not in self.text():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"the Collector did not start: {self.text()[-2000:]}")
            time.sleep(0.05)

    def text(self):
        return self.log.read_text(errors="replace")

    def url(self, name, kind, scheme="http"):
        """Where a receiver listens: its line says so, in the fields at the end."""
        for line in self.text().splitlines():
            if f"Starting {kind.upper()} server" not in line:
                continue
            fields = json.loads(line[line.index("{") :])
            if fields.get("otelcol.component.id") == f"otlp/{name}":
                return f"{scheme}://localhost:{fields['endpoint'].rsplit(':', 1)[1]}"
        raise RuntimeError(f"no receiver {name}/{kind} in {self.text()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def received(self):
        """The messages of its file; complete after stop()."""
        path = self.folder / "out.pb"
        data = path.read_bytes() if path.exists() else b""
        while data:
            (size,) = struct.unpack(">I", data[:4])
            yield profiles_pb2.ProfilesData.FromString(data[4 : 4 + size])
            data = data[4 + size :]


# --------------------------------------------------------------------- what it writes, beside what it was sent


def resolve(attributes, strings):
    """Keys and values of a resource or scope, written out again. Returns the strings that were only referred to."""
    used = set()
    for attribute in attributes:
        if attribute.key_strindex:
            used.add(attribute.key_strindex)
            attribute.key = strings[attribute.key_strindex]
            attribute.key_strindex = 0
        values = attribute.value.array_value.values if attribute.value.WhichOneof("value") == "array_value" else [attribute.value]
        for value in values:
            if value.WhichOneof("value") == "string_value_strindex":
                used.add(value.string_value_strindex)
                value.string_value = strings[value.string_value_strindex]
    return used


def without_rewrites(message, string_count):
    """The message as it was before the file exporter's rewrites, given how many strings it had: see differences()."""
    message = profiles_pb2.ProfilesData.FromString(message.SerializeToString())
    dictionary = message.dictionary
    used = set()
    for resource in message.resource_profiles:
        used |= resolve(resource.resource.attributes, dictionary.string_table)
        for scope in resource.scope_profiles:
            used |= resolve(scope.scope.attributes, dictionary.string_table)
    while len(dictionary.string_table) > string_count and len(dictionary.string_table) - 1 in used:
        del dictionary.string_table[-1]
    normalise(dictionary)
    return message


def normalise(dictionary):
    """Two ways to write the zero elements of tables."""
    if dictionary.link_table and not any(dictionary.link_table[0].trace_id + dictionary.link_table[0].span_id):
        dictionary.link_table[0].Clear()
    if dictionary.attribute_table and not dictionary.attribute_table[0].value.WhichOneof("value"):
        dictionary.attribute_table[0].ClearField("value")


def differences(sent, received):
    """What is not the same in a message as it was sent and as the Collector's file has it, but for the rewrites of that
    exporter: texts of resource and scope by their index, with strings added at the end; and the zero elements of the
    tables of links and attributes.
    """
    expected = profiles_pb2.ProfilesData.FromString(sent)
    actual = without_rewrites(received, len(expected.dictionary.string_table))
    normalise(expected.dictionary)
    if expected == actual:
        return []
    pairs = zip(str(expected).splitlines(), str(actual).splitlines())
    return [f"sent {left.strip()}, received {right.strip()}" for left, right in pairs if left != right][:5] or ["length"]


def profile_ids(message):
    return tuple(
        profile.profile_id
        for resource in message.resource_profiles
        for scope in resource.scope_profiles
        for profile in scope.profiles
    )


def compare(sent, received):
    """`sent`: bytes of requests; `received`: messages. Findings: what is missing, came twice or differs."""
    by_ids = {profile_ids(profiles_pb2.ProfilesData.FromString(each)): each for each in sent}
    seen = set()
    for message in received:
        ids = profile_ids(message)
        if ids not in by_ids:
            yield f"a message that was not sent, {len(ids)} profiles"
        elif ids in seen:
            yield "a message came twice"
        else:
            yield from differences(by_ids[ids], message)
        seen.add(ids)
    if len(seen) < len(by_ids):
        yield f"{len(by_ids) - len(seen)} of {len(by_ids)} messages did not arrive"

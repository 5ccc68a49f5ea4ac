# SPDX-License-Identifier: Apache-2.0
"""What the servers of these tests share: reading requests, counting what is in them, and a place to keep them."""

import dataclasses
import gzip
import threading
import time

from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2


@dataclasses.dataclass
class Request:
    """One request as it arrived."""

    protocol: str
    path: str
    headers: dict
    body: bytes  # of the message, decompressed
    message: object  # the decoded request; None if it cannot be
    time: float = dataclasses.field(default_factory=time.monotonic)
    accepted: bool = False  # the answer said so, in full

    def profile_ids(self):
        return frozenset(profile.profile_id for profile in profiles_of(self.message))

    def samples(self):
        return sum(events_of(sample) for profile in profiles_of(self.message) for sample in profile.samples)


def profiles_of(message):
    for resource in message.resource_profiles if message else ():
        for scope in resource.scope_profiles:
            yield from scope.profiles


def events_of(sample):
    return len(sample.timestamps_unix_nano) or sum(sample.values)


def read_message(body, compressed):
    """The message of a body, decompressed, and decoded; (None, None) if that is impossible."""
    try:
        body = gzip.decompress(body) if compressed else body
        return body, profiles_service_pb2.ExportProfilesServiceRequest.FromString(body)
    except Exception:  # pylint: disable=broad-except  # whatever is wrong with it
        return None, None


class Requests:
    """What arrived, from several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.list = []
        self.connections = 0

    def add(self, request):
        with self.lock:
            self.list.append(request)

    def connected(self):
        with self.lock:
            self.connections += 1

    def all(self):
        with self.lock:
            return list(self.list)

    def accepted_samples(self):
        """Events in what was accepted, each profile once: a request may be sent again."""
        profiles = {request.profile_ids(): request.samples() for request in self.all() if request.accepted}
        return sum(profiles.values())

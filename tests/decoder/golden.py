# SPDX-License-Identifier: Apache-2.0
"""A known request: made once by protobuf-c from the OTLP 1.11.0 messages, and a version of it that breaks no rule."""

from decode import Request

# Resource service.name=demo; one profile samples/count with period 10 ms of CPU; one sample of value 5 in main() at
# line 10 of module demo, thread.id 7, linked to trace a0..af and span b0..b7. link_table[0] is 16 + 8 zero bytes.
GOLDEN = bytes.fromhex(
    "0a740a180a160a0c736572766963652e6e616d6512060a0464656d6f12580a160a0d64656d6f2e70726f66696c65721205302e312e30"
    "123e0a0408011002120a080112010318012201051900002a36fe9c97172080c8afa0252a04080310043080ade2043a10c0c1c2c3c4c5"
    "c6c7c8c9cacbcccdcecf12a7020a000a1208808080021080a0800218802020062a010112001210080110a38280021a040801100a2201"
    "021a001a020805221c0a100000000000000000000000000000000012080000000000000000221c0a10a0a1a2a3a4a5a6a7a8a9aaabac"
    "adaeaf1208b0b1b2b3b4b5b6b72a002a0773616d706c65732a05636f756e742a036370752a0b6e616e6f7365636f6e64732a046d6169"
    "6e2a0464656d6f2a097468726561642e69642a2370726f636573732e65786563757461626c652e6275696c645f69642e68746c686173"
    "682a1270726f66696c652e6672616d652e7479706532003226080812220a203030313132323333343435353636373738383939616162"
    "626363646465656666320c080912080a066e617469766532060807120218073a003a030a0101"
)

RESOURCE = {
    "service.instance.id": "5b1d3c1e-9a52-4c8e-8f0e-1f2d3c4b5a69",
    "telemetry.sdk.name": "otelprof",
    "telemetry.sdk.language": "c",
    "telemetry.sdk.version": "0.1.0",
    "process.pid": 77,
    "process.creation.time": "2023-11-14T22:00:00.25Z",
    "process.executable.name": "demo",
    "host.arch": "amd64",
    "os.type": "linux",
}


def golden():
    return Request.FromString(GOLDEN)


def index_of(table, text):
    """The index of a string, appended if new."""
    if text not in table:
        table.append(text)
    return list(table).index(text)


def add_heap_profile(request):
    """A second profile, of what was allocated by the stack of the first one."""
    strings = request.dictionary.string_table
    profiles = request.resource_profiles[0].scope_profiles[0].profiles
    heap = profiles.add(
        time_unix_nano=profiles[0].time_unix_nano, duration_nano=profiles[0].duration_nano, period=524288,
        profile_id=bytes(range(16)))
    heap.sample_type.type_strindex = index_of(strings, "alloc_space")
    heap.sample_type.unit_strindex = heap.period_type.unit_strindex = index_of(strings, "bytes")
    heap.period_type.type_strindex = index_of(strings, "space")
    heap.samples.add(stack_index=1, link_index=1, values=[1048576])


def valid():
    """The golden request with an empty Link at 0, the resource that an SDK must send, timestamps, a counter, and a
    profile of the heap."""
    request = golden()
    request.dictionary.link_table[0].Clear()
    envelope = request.resource_profiles[0]
    envelope.schema_url = "https://opentelemetry.io/schemas/1.44.0"
    for key, value in RESOURCE.items():
        pair = envelope.resource.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
    profile = envelope.scope_profiles[0].profiles[0]
    sample = profile.samples[0]
    del sample.values[:]
    sample.timestamps_unix_nano.extend(profile.time_unix_nano + offset for offset in (0, 10_000_000, 20_000_000))
    tables = request.dictionary
    tables.attribute_table.add(key_strindex=index_of(tables.string_table, "otelprof.samples.fired")).value.int_value = 3
    profile.attribute_indices.append(len(tables.attribute_table) - 1)
    add_heap_profile(request)
    return request

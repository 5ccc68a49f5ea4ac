# SPDX-License-Identifier: Apache-2.0
"""Reads OTLP profile files and resolves them to plain samples, independent of the library's own code.

As a program: decode.py FILE|DIR... prints one JSON object a sample. Each file is one ExportProfilesServiceRequest.
"""

import dataclasses
import json
import pathlib
import signal
import sys

from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2

Request = profiles_service_pb2.ExportProfilesServiceRequest
TABLES = (
    "mapping_table", "location_table", "function_table", "link_table", "string_table", "attribute_table", "stack_table",
)
BUILD_ID_KEYS = tuple("process.executable.build_id." + kind for kind in ("gnu", "go", "htlhash"))


@dataclasses.dataclass
class Frame:
    """One function of a stack; an inlined function is a frame of its own, below it the one that holds it."""

    function: str
    system_name: str
    file: str
    line: int
    mapping: str
    build_id: str
    address: int
    offset: int  # of the address in the mapped file; 0 if there is no mapping
    kind: str
    inlined: bool


@dataclasses.dataclass
class Sample:
    """One Sample message with every index resolved. `count` is what it stands for in the unit of its type."""

    type: str
    unit: str
    period_type: str
    period: int
    stack: list
    attributes: dict
    trace_id: str
    span_id: str
    timestamps: list
    values: list
    resource: dict

    @property
    def count(self):
        return sum(self.values) if self.values else len(self.timestamps)

    @property
    def weight(self):
        """In units of the period: nanoseconds of CPU time for samples/count with a period in nanoseconds. What is of
        the heap is an estimate of the whole already, whatever its period."""
        scaled = self.unit == "count" and self.period and self.period_type != "space"
        return self.count * self.period if scaled else self.count


def files_of(paths):
    """All *.otlp files below the given files and folders, in order of their names."""
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from sorted(path.glob("**/*.otlp"))
        else:
            yield path


def load(paths):
    """(path, bytes, request) of each file. Raises on a file that cannot be parsed."""
    for path in files_of(paths):
        data = path.read_bytes()
        yield path, data, Request.FromString(data)


def plain(value):
    """An AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [plain(item) for item in content.values]
    if kind == "kvlist_value":
        return key_values(content.values)
    return content.hex() if kind == "bytes_value" else content


def key_values(pairs):
    return {pair.key: plain(pair.value) for pair in pairs}


class Resolver:
    """Looks things up in one dictionary. An index outside its table raises IndexError."""

    def __init__(self, dictionary):
        self.dictionary = dictionary
        self.strings = dictionary.string_table
        self.stacks = {}

    def attributes(self, indices):
        table = self.dictionary.attribute_table
        return {self.strings[table[i].key_strindex]: plain(table[i].value) for i in indices}

    def type(self, value_type):
        return self.strings[value_type.type_strindex], self.strings[value_type.unit_strindex]

    def location(self, index):
        """Frames of a location, innermost first; one without a name if the location has no lines."""
        location = self.dictionary.location_table[index]
        mapping = self.dictionary.mapping_table[location.mapping_index]
        ids = self.attributes(mapping.attribute_indices)
        build_id = next((ids[key] for key in BUILD_ID_KEYS if key in ids), "")
        offset = location.address - mapping.memory_start + mapping.file_offset if location.mapping_index else 0
        where = (
            self.strings[mapping.filename_strindex], build_id, location.address, offset,
            self.attributes(location.attribute_indices).get("profile.frame.type", ""),
        )
        if not location.lines:
            return [Frame("", "", "", 0, *where, False)]
        frames = []
        for number, line in enumerate(location.lines):
            function = self.dictionary.function_table[line.function_index]
            names = (function.name_strindex, function.system_name_strindex, function.filename_strindex)
            inlined = number + 1 < len(location.lines)
            frames.append(Frame(*(self.strings[i] for i in names), line.line, *where, inlined))
        return frames

    def stack(self, index):
        """Frames, leaf first."""
        if index not in self.stacks:
            indices = self.dictionary.stack_table[index].location_indices
            self.stacks[index] = [frame for i in indices for frame in self.location(i)]
        return self.stacks[index]


def profiles(request):
    """(resource, scope, profile) of each profile."""
    for resource_profiles in request.resource_profiles:
        for scope_profiles in resource_profiles.scope_profiles:
            for profile in scope_profiles.profiles:
                yield resource_profiles.resource, scope_profiles.scope, profile


def samples(request):
    """Every sample of a request, resolved."""
    resolver = Resolver(request.dictionary)
    for resource, _, profile in profiles(request):
        about = key_values(resource.attributes)
        sample_type, period_type = resolver.type(profile.sample_type), resolver.type(profile.period_type)
        for sample in profile.samples:
            link = request.dictionary.link_table[sample.link_index]
            yield Sample(
                *sample_type, period_type[0], profile.period, resolver.stack(sample.stack_index),
                resolver.attributes(sample.attribute_indices),
                link.trace_id.hex() if sample.link_index else "", link.span_id.hex() if sample.link_index else "",
                list(sample.timestamps_unix_nano), list(sample.values), about,
            )


def main(arguments):
    if not arguments:
        print("usage: decode.py FILE|DIR...", file=sys.stderr)
        return 2
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    for path, _, request in load(arguments):
        for sample in samples(request):
            print(json.dumps({"from": path.name} | dataclasses.asdict(sample)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

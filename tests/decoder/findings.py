# SPDX-License-Identifier: Apache-2.0
"""The list of rules, and the findings against them."""

# Rule -> what it demands. The self-test (mutants.py) breaks each of them once.
RULES = {
    # the bytes
    "parse": "the file is one ExportProfilesServiceRequest",
    "utf8": "strings are UTF-8",
    "unknown_field": "no fields that OTLP 1.11 does not have",
    "size": "at most 4 MiB",
    # envelopes
    "empty": "resource, scope and profile envelopes are there, and hold samples",
    "dictionary": "the request has a dictionary",
    # the dictionary
    "table_zero": "each table has its zero value at index 0",
    "index_range": "every index is inside its table",
    "null_index": "no reference to element 0 where something is named (stack entries, lines, attributes)",
    "duplicate": "no two items of a table are equal, compared by value and recursively",
    "orphan": "every item is referenced from a profile, directly or not",
    "mapping_range": "memory_start < memory_limit",
    "mapping_build_id": "a mapping carries a build id",
    "build_id_form": "build ids are lower-case hex strings, htlhash of 32 digits; no deprecated key",
    "location_address": "an address lies inside its mapping",
    "location_empty": "a location says something: an address or a line",
    "function_name": "a function has a name, a system name or a file",
    "line_sign": "line, column and start_line are not negative",
    "frame_type": "profile.frame.type is native or kernel",
    "link_length": "16 bytes of trace id, 8 of span id",
    "link_zero": "neither id of a link is all zero",
    "stack_empty": "a stack has frames",
    "stack_depth": "at most 1000 frames",
    # attributes, wherever they are
    "attribute_key_unique": "no key twice in one list",
    "attribute_key_characters": "keys of letters, digits, '_' and '.', not empty",
    "attribute_value": "attributes of samples, profiles, mappings and locations have a value",
    "strindex_form": "no key_strindex or string_value_strindex: receivers lose them",
    # profiles and samples
    "sample_type": "type and unit are set",
    "period_type": "type and unit are set",
    "period": "greater than 0",
    "type_name": "no '-' in a type's name",
    "type_units": "a known sample type has its unit, its period type and that one's unit",
    "type_heap": "a heap profile has no timestamps, no thread id and no CPU number",
    "counters_once": "the counters of a window stand in one profile of a request, so that they can be summed",
    "profile_id": "16 bytes, not all zero",
    "profile_id_unique": "no two profiles share an id, over all files",
    "profile_time": "start and duration are set",
    "future": "no profile ends in the future",
    "age": "the profile is not older than asked for",
    "payload_pair": "original_payload and its format stand together or not at all",
    "sample_stack": "a sample has a stack",
    "sample_identity": "no two samples of a profile with equal stack, attributes and link",
    "sample_shape": "timestamps, or one value",
    "value_sign": "values are greater than 0",
    "uniform_shape": "all samples of a profile have the same shape",
    "timestamp_range": "timestamps lie in [time, time + duration)",
    "sample_limit": "at most 16,000 samples a request",
    "sample_labels": "at most 100 attributes a sample",
    # resource and scope
    "resource_keys": "the required resource attributes are there",
    "resource_type": "known resource attributes have the type and form of the conventions",
    "resource_private": "no command line and no environment in the resource",
    "sdk_name": "telemetry.sdk.name is not the name kept for the official SDKs",
    "attribute_limit": "at most 26 attributes of resource and scope together",
    "scope_name": "the scope has a name",
    "schema_url": "schema URLs are those of the semantic conventions",
    "entity": "entity references have a type, and name attributes that exist",
    "instance_id": "a service.instance.id belongs to one process, over all files",
}


class Findings:
    """Collects (rule, place, text); a rule's findings in one file are cut at 20 and the rest counted."""

    LIMIT = 20

    def __init__(self, name):
        self.name = name
        self.lines = []
        self.counts = {}

    def add(self, rule, place, text):
        if rule not in RULES:
            raise KeyError(rule)
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] <= self.LIMIT:
            self.lines.append(f"{self.name}: {rule}: {place}: {text}")

    def report(self):
        more = [
            f"{self.name}: {rule}: {count - self.LIMIT} more" for rule, count in self.counts.items() if count > self.LIMIT
        ]
        return self.lines + more

# SPDX-License-Identifier: Apache-2.0
"""Rules about envelopes, resource and scope."""

import re

from decode import key_values
from rules_dictionary import check_pairs

REQUIRED = (
    "service.name", "service.instance.id", "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version",
    "process.pid",
)
PRIVATE = ("process.command_args", "process.command_line", "process.environment_variable")
INTEGERS = ("process.pid", "process.parent_pid", "process.vpid", "process.args_count")
STRINGS = re.compile(
    r"(service|telemetry|host|os|container|deployment)\.(?!ip$|mac$).*|"
    r"process\.(creation\.time|command|owner|working_directory|title|linux\.cgroup|executable\..*|runtime\..*)\Z"
)
FORMS = {
    "service.instance.id": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
    "process.creation.time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z"),
    "os.type": re.compile(r"linux\Z"),
    "host.arch": re.compile(r"(amd64|arm64|arm32|x86|ppc64|s390x)\Z"),
}
SCHEMA_URL = re.compile(r"https://opentelemetry\.io/schemas/\d+\.\d+\.\d+\Z")
MAX_ATTRIBUTES = 26


def check_types(found, place, findings):
    for key, value in found.items():
        if key in INTEGERS:
            good = isinstance(value, int) and not isinstance(value, bool) and value > 0
        elif STRINGS.match(key):
            good = isinstance(value, str)
        else:
            good = True
        if good and key in FORMS:
            good = bool(FORMS[key].match(value))
        if not good:
            findings.add("resource_type", place, f"{key} is {value!r}")


def check_resource(resource, place, findings):
    check_pairs(resource.attributes, place, findings)
    found = key_values(resource.attributes)
    for key in REQUIRED:
        if found.get(key) in (None, ""):
            findings.add("resource_keys", place, f"{key} is missing or empty")
    for key in found:
        if key.startswith(PRIVATE):
            findings.add("resource_private", place, key)
    if found.get("telemetry.sdk.name") == "opentelemetry":
        findings.add("sdk_name", place, "telemetry.sdk.name is 'opentelemetry'")
    check_types(found, place, findings)
    for entity in resource.entity_refs:
        unknown = [key for key in (*entity.id_keys, *entity.description_keys) if key not in found]
        if not entity.type or not entity.id_keys or unknown:
            findings.add("entity", place, f"type {entity.type!r}, keys that are not there: {unknown}")


def labels(pairs):
    """How many attributes a receiver makes labels of: strings, integers, arrays of one."""
    kinds = [pair.value.WhichOneof("value") for pair in pairs]
    return sum(kind in ("string_value", "int_value", "string_value_strindex") for kind in kinds) + sum(
        kind == "array_value" and len(pair.value.array_value.values) == 1 for kind, pair in zip(kinds, pairs))


def check_schema_url(url, place, findings):
    if url and not SCHEMA_URL.match(url):
        findings.add("schema_url", place, repr(url))


def check(request, findings):
    if not request.resource_profiles:
        findings.add("empty", "request", "no resource_profiles")
    for number, envelope in enumerate(request.resource_profiles):
        place = f"resource_profiles[{number}]"
        check_schema_url(envelope.schema_url, place, findings)
        check_resource(envelope.resource, place, findings)
        if not envelope.scope_profiles:
            findings.add("empty", place, "no scope_profiles")
        for position, scoped in enumerate(envelope.scope_profiles):
            at = f"{place}.scope_profiles[{position}]"
            check_schema_url(scoped.schema_url, at, findings)
            check_pairs(scoped.scope.attributes, at, findings)
            if not scoped.scope.name:
                findings.add("scope_name", at, "no name")
            if not scoped.profiles:
                findings.add("empty", at, "no profiles")
            count = labels(envelope.resource.attributes) + labels(scoped.scope.attributes)
            if count > MAX_ATTRIBUTES:
                findings.add("attribute_limit", at, f"{count} attributes, over {MAX_ATTRIBUTES}")

# SPDX-License-Identifier: Apache-2.0
"""Rules about profiles and their samples."""

from decode import profiles
from rules_dictionary import check_attribute_list

MAX_SAMPLES = 16000
MAX_LABELS = 100
CLOCK_SLACK_NS = 1_000_000_000
# Sample type -> its unit, period type and period unit; of locks the period type says whose side it is.
KNOWN_TYPES = {
    "samples": [("count", "cpu", "nanoseconds")],
    "alloc_objects": [("count", "space", "bytes")],
    "alloc_space": [("bytes", "space", "bytes")],
    "inuse_objects": [("count", "space", "bytes")],
    "inuse_space": [("bytes", "space", "bytes")],
    "contentions": [("count", "block", "nanoseconds"), ("count", "mutex", "nanoseconds")],
    "delay": [("nanoseconds", "block", "nanoseconds"), ("nanoseconds", "mutex", "nanoseconds")],
    "wall": [("nanoseconds", "wall", "nanoseconds")],
    "goroutine": [("count", "goroutine", "count")],
}
HEAP_TYPES = {name for name, ((_, period, _), *_) in KNOWN_TYPES.items() if period == "space"}
NOT_OF_THE_HEAP = {"thread.id", "cpu.logical_number"}
COUNTER = "otelprof.samples.fired"  # sent with every set of counters


def check_types(dictionary, profile, place, findings):
    for field in ("sample_type", "period_type"):
        value = getattr(profile, field)
        name = dictionary.string_table[value.type_strindex]
        if not name or not dictionary.string_table[value.unit_strindex]:
            findings.add(field, place, "type or unit is not set")
        if "-" in name:
            findings.add("type_name", place, f"{field} {name!r}")
    if profile.period <= 0:
        findings.add("period", place, f"{profile.period}")
    name, *units = (dictionary.string_table[index] for index in (
        profile.sample_type.type_strindex, profile.sample_type.unit_strindex,
        profile.period_type.type_strindex, profile.period_type.unit_strindex))
    if tuple(units) not in KNOWN_TYPES.get(name, [tuple(units)]):
        findings.add("type_units", place, f"{name!r} with {units}")
    return name


def check_times(profile, place, now_ns, max_age_ns, findings):
    if not profile.time_unix_nano or not profile.duration_nano:
        findings.add("profile_time", place, f"time {profile.time_unix_nano}, duration {profile.duration_nano}")
    end = profile.time_unix_nano + profile.duration_nano
    if end > now_ns + CLOCK_SLACK_NS:
        findings.add("future", place, f"ends {(end - now_ns) / 1e9:.3f} s from now")
    if max_age_ns is not None and profile.time_unix_nano < now_ns - max_age_ns:
        findings.add("age", place, f"starts {(now_ns - profile.time_unix_nano) / 1e9:.0f} s ago")


def shape_of(sample):
    """The name of a sample's shape, or None for a shape that receivers refuse."""
    if sample.timestamps_unix_nano:
        return None if sample.values else "timestamps"
    return "value" if len(sample.values) == 1 else None


def check_sample(dictionary, profile, sample, place, findings):
    if not sample.stack_index:
        findings.add("sample_stack", place, "no stack")
    check_attribute_list(dictionary, sample.attribute_indices, place, findings)
    if len(sample.attribute_indices) > MAX_LABELS:
        findings.add("sample_labels", place, f"{len(sample.attribute_indices)} attributes")
    if shape_of(sample) is None:
        findings.add("sample_shape", place,
                     f"{len(sample.values)} values, {len(sample.timestamps_unix_nano)} timestamps")
    for value in sample.values:
        if value <= 0:
            findings.add("value_sign", place, f"{value}")
    end = profile.time_unix_nano + profile.duration_nano
    for stamp in sample.timestamps_unix_nano:
        if not profile.time_unix_nano <= stamp < end:
            findings.add("timestamp_range", place, f"{stamp} is outside [{profile.time_unix_nano}, {end})")


def keys_of(dictionary, indices):
    return {dictionary.string_table[dictionary.attribute_table[i].key_strindex] for i in indices}


def check_heap_sample(dictionary, sample, place, findings):
    if sample.timestamps_unix_nano:
        findings.add("type_heap", place, f"{len(sample.timestamps_unix_nano)} timestamps")
    for key in sorted(keys_of(dictionary, sample.attribute_indices) & NOT_OF_THE_HEAP):
        findings.add("type_heap", place, key)


def check_samples(dictionary, same, profile, place, findings):
    identities, shapes = {}, set()
    for number, sample in enumerate(profile.samples):
        at = f"{place}.samples[{number}]"
        check_sample(dictionary, profile, sample, at, findings)
        shapes.add(shape_of(sample))
        identity = (
            same["stack_table"][sample.stack_index], same["link_table"][sample.link_index],
            frozenset(same["attribute_table"][i] for i in sample.attribute_indices),
        )
        if identity in identities:
            findings.add("sample_identity", at, f"equals samples[{identities[identity]}]")
        identities.setdefault(identity, number)
    if len(shapes - {None}) > 1:
        findings.add("uniform_shape", place, "shapes: " + ", ".join(sorted(shapes - {None})))


def check(request, same, now_ns, max_age_ns, findings):
    """All profiles of a request whose indices are known to be good."""
    total = counted = 0
    for number, (_, _, profile) in enumerate(profiles(request)):
        place = f"profile[{number}]"
        total += len(profile.samples)
        name = check_types(request.dictionary, profile, place, findings)
        if name in HEAP_TYPES:
            for sample_number, sample in enumerate(profile.samples):
                check_heap_sample(request.dictionary, sample, f"{place}.samples[{sample_number}]", findings)
        check_times(profile, place, now_ns, max_age_ns, findings)
        check_attribute_list(request.dictionary, profile.attribute_indices, place, findings)
        if len(profile.profile_id) != 16 or not any(profile.profile_id):
            findings.add("profile_id", place, profile.profile_id.hex() or "empty")
        if bool(profile.original_payload) != bool(profile.original_payload_format):
            findings.add("payload_pair", place, "one of the two is set alone")
        if not profile.samples:
            findings.add("empty", place, "no samples")
        check_samples(request.dictionary, same, profile, place, findings)
        counted += COUNTER in keys_of(request.dictionary, profile.attribute_indices)
    if counted > 1:
        findings.add("counters_once", "request", f"in {counted} profiles")
    if total > MAX_SAMPLES:
        findings.add("sample_limit", "request", f"{total} samples, over {MAX_SAMPLES}")

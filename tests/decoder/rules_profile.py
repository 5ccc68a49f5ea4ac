# SPDX-License-Identifier: Apache-2.0
"""Rules about profiles and their samples."""

from decode import profiles
from rules_dictionary import check_attribute_list

MAX_SAMPLES = 16000
MAX_LABELS = 100
CLOCK_SLACK_NS = 1_000_000_000


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
    total = 0
    for number, (_, _, profile) in enumerate(profiles(request)):
        place = f"profile[{number}]"
        total += len(profile.samples)
        check_types(request.dictionary, profile, place, findings)
        check_times(profile, place, now_ns, max_age_ns, findings)
        check_attribute_list(request.dictionary, profile.attribute_indices, place, findings)
        if len(profile.profile_id) != 16 or not any(profile.profile_id):
            findings.add("profile_id", place, profile.profile_id.hex() or "empty")
        if bool(profile.original_payload) != bool(profile.original_payload_format):
            findings.add("payload_pair", place, "one of the two is set alone")
        if not profile.samples:
            findings.add("empty", place, "no samples")
        check_samples(request.dictionary, same, profile, place, findings)
    if total > MAX_SAMPLES:
        findings.add("sample_limit", "request", f"{total} samples, over {MAX_SAMPLES}")

# SPDX-License-Identifier: Apache-2.0
"""Rules about the tables of the dictionary: indices, equality, reachability, and each item by itself."""

import re

from decode import BUILD_ID_KEYS, TABLES, plain, profiles

MAX_DEPTH = 1000
KEY_FORM = re.compile(r"[A-Za-z0-9_.]+\Z")
HEX_FORM = re.compile(r"(?:[0-9a-f]{2})+\Z")
FRAME_TYPES = ("native", "kernel")
DEPRECATED_BUILD_ID = "process.executable.build_id.profiling"


def item_references(table, item):
    """(field, table referred to, index, whether 0 is allowed) of an item of the dictionary."""
    if table == "mapping_table":
        yield "filename_strindex", "string_table", item.filename_strindex, True
    elif table == "location_table":
        yield "mapping_index", "mapping_table", item.mapping_index, True
        for line in item.lines:
            yield "lines.function_index", "function_table", line.function_index, False
    elif table == "function_table":
        for field in ("name_strindex", "system_name_strindex", "filename_strindex"):
            yield field, "string_table", getattr(item, field), True
    elif table == "attribute_table":
        yield "key_strindex", "string_table", item.key_strindex, True
        yield "unit_strindex", "string_table", item.unit_strindex, True
    elif table == "stack_table":
        for index in item.location_indices:
            yield "location_indices", "location_table", index, False
    if table in ("mapping_table", "location_table"):
        for index in item.attribute_indices:
            yield "attribute_indices", "attribute_table", index, False


def profile_references(request):
    """As item_references(), with the place first, for what profiles and samples refer to."""
    for number, (_, _, profile) in enumerate(profiles(request)):
        place = f"profile[{number}]"
        for field in ("sample_type", "period_type"):
            value = getattr(profile, field)
            yield f"{place}.{field}", "string_table", value.type_strindex, True
            yield f"{place}.{field}", "string_table", value.unit_strindex, True
        for index in profile.attribute_indices:
            yield f"{place}.attribute_indices", "attribute_table", index, False
        for position, sample in enumerate(profile.samples):
            at = f"{place}.samples[{position}]"
            yield f"{at}.stack_index", "stack_table", sample.stack_index, True
            yield f"{at}.link_index", "link_table", sample.link_index, True
            for index in sample.attribute_indices:
                yield f"{at}.attribute_indices", "attribute_table", index, False


def all_references(request):
    yield from profile_references(request)
    for table in TABLES:
        for number, item in enumerate(getattr(request.dictionary, table)):
            for field, target, index, zero_allowed in item_references(table, item):
                yield f"{table}[{number}].{field}", target, index, zero_allowed


def check_indices(request, findings):
    """False when an index leads nowhere; then nothing that follows indices can be checked."""
    sizes = {table: len(getattr(request.dictionary, table)) for table in TABLES}
    good = True
    for place, target, index, zero_allowed in all_references(request):
        if not 0 <= index < sizes[target]:
            findings.add("index_range", place, f"index {index} is outside {target} of {sizes[target]}")
            good = False
        elif index == 0 and not zero_allowed:
            findings.add("null_index", place, f"refers to the zero element of {target}")
    return good


def check_zero_elements(dictionary, findings):
    for table in TABLES:
        items = getattr(dictionary, table)
        if not items:
            findings.add("table_zero", table, "is empty")
            continue
        first = items[0]
        zero_link = table == "link_table" and not any(first.trace_id) and not any(first.span_id)
        if not zero_link and (first if table == "string_table" else first.ByteSize()):
            findings.add("table_zero", f"{table}[0]", "is not the zero value")


def canonical(dictionary):
    """For each table, index -> the lowest index with an equal value. Attribute lists are sets."""
    same = {}

    def number(table, key_of):
        seen = {}
        same[table] = [seen.setdefault(key_of(item), i) for i, item in enumerate(getattr(dictionary, table))]

    def text(index):
        return same["string_table"][index]

    def attributes(item):
        return frozenset(same["attribute_table"][i] for i in item.attribute_indices)

    number("string_table", lambda item: item)
    number("link_table", lambda item: (item.trace_id, item.span_id))
    number("attribute_table", lambda item: (
        text(item.key_strindex), item.value.SerializeToString(deterministic=True), text(item.unit_strindex),
        item.HasField("value")))
    number("function_table", lambda item: (
        text(item.name_strindex), text(item.system_name_strindex), text(item.filename_strindex), item.start_line))
    number("mapping_table", lambda item: (
        item.memory_start, item.memory_limit, item.file_offset, text(item.filename_strindex), attributes(item)))
    number("location_table", lambda item: (
        same["mapping_table"][item.mapping_index], item.address, attributes(item),
        tuple((same["function_table"][line.function_index], line.line, line.column) for line in item.lines)))
    number("stack_table", lambda item: tuple(same["location_table"][i] for i in item.location_indices))
    return same


def check_duplicates(same, findings):
    for table, firsts in same.items():
        for index, first in enumerate(firsts):
            if first != index:
                findings.add("duplicate", f"{table}[{index}]", f"equals element {first}")


def check_orphans(request, findings):
    reached = {table: {0} for table in TABLES}
    work = [(target, index) for _, target, index, _ in profile_references(request)]
    while work:
        table, index = work.pop()
        if index in reached[table]:
            continue
        reached[table].add(index)
        item = getattr(request.dictionary, table)[index]
        work.extend((target, to) for _, target, to, _ in item_references(table, item))
    for table in TABLES:
        for index in range(len(getattr(request.dictionary, table))):
            if index not in reached[table]:
                findings.add("orphan", f"{table}[{index}]", "nothing refers to it")


def check_attribute_list(dictionary, indices, place, findings):
    """One list of indices; gives the attributes as a dict."""
    found = {}
    for index in indices:
        item = dictionary.attribute_table[index]
        key = dictionary.string_table[item.key_strindex]
        if key in found:
            findings.add("attribute_key_unique", place, f"{key!r} stands twice")
        found[key] = plain(item.value)
    return found


def check_mapping(dictionary, index, findings):
    mapping = dictionary.mapping_table[index]
    place = f"mapping_table[{index}]"
    found = check_attribute_list(dictionary, mapping.attribute_indices, place, findings)
    if (mapping.memory_start or mapping.memory_limit) and mapping.memory_start >= mapping.memory_limit:
        findings.add("mapping_range", place, f"{mapping.memory_start:#x}-{mapping.memory_limit:#x}")
    ids = {key: value for key, value in found.items() if key in BUILD_ID_KEYS}
    if not ids:
        findings.add("mapping_build_id", place, "has none of " + ", ".join(BUILD_ID_KEYS))
    if DEPRECATED_BUILD_ID in found:
        findings.add("build_id_form", place, f"{DEPRECATED_BUILD_ID} is deprecated")
    for key, value in ids.items():
        is_go = key.endswith(".go")
        good = isinstance(value, str) and value and (is_go or HEX_FORM.match(value))
        if good and key.endswith(".htlhash"):
            good = len(value) == 32
        if not good:
            findings.add("build_id_form", place, f"{key} is {value!r}")


def check_location(dictionary, index, findings):
    location = dictionary.location_table[index]
    place = f"location_table[{index}]"
    found = check_attribute_list(dictionary, location.attribute_indices, place, findings)
    if "profile.frame.type" in found and found["profile.frame.type"] not in FRAME_TYPES:
        findings.add("frame_type", place, repr(found["profile.frame.type"]))
    mapping = dictionary.mapping_table[location.mapping_index]
    if mapping.memory_limit and not mapping.memory_start <= location.address < mapping.memory_limit:
        findings.add("location_address", place,
                     f"{location.address:#x} is outside {mapping.memory_start:#x}-{mapping.memory_limit:#x}")
    if not location.address and not location.lines:
        findings.add("location_empty", place, "no address and no lines")
    for line in location.lines:
        if line.line < 0 or line.column < 0:
            findings.add("line_sign", place, f"line {line.line}, column {line.column}")


def check_link(link, index, findings):
    place = f"link_table[{index}]"
    if len(link.trace_id) != 16 or len(link.span_id) != 8:
        findings.add("link_length", place, f"ids of {len(link.trace_id)} and {len(link.span_id)} bytes")
    elif not any(link.trace_id) or not any(link.span_id):
        findings.add("link_zero", place, "an id is all zero")


def check_items(dictionary, findings):
    """What each item must be by itself; element 0 is the business of check_zero_elements()."""
    for index in range(1, len(dictionary.mapping_table)):
        check_mapping(dictionary, index, findings)
    for index in range(1, len(dictionary.location_table)):
        check_location(dictionary, index, findings)
    for index, function in list(enumerate(dictionary.function_table))[1:]:
        if not (function.name_strindex or function.system_name_strindex or function.filename_strindex):
            findings.add("function_name", f"function_table[{index}]", "no name, system name or file")
        if function.start_line < 0:
            findings.add("line_sign", f"function_table[{index}]", f"start_line {function.start_line}")
    for index, link in list(enumerate(dictionary.link_table))[1:]:
        check_link(link, index, findings)
    for index, stack in list(enumerate(dictionary.stack_table))[1:]:
        depth = len(stack.location_indices)
        if not depth:
            findings.add("stack_empty", f"stack_table[{index}]", "no frames")
        elif depth > MAX_DEPTH:
            findings.add("stack_depth", f"stack_table[{index}]", f"{depth} frames, over {MAX_DEPTH}")
    for index, attribute in list(enumerate(dictionary.attribute_table))[1:]:
        place = f"attribute_table[{index}]"
        check_key(dictionary.string_table[attribute.key_strindex], place, findings)
        check_value(attribute.value, place, findings)
        if attribute.value.WhichOneof("value") is None:
            findings.add("attribute_value", place, "has no value")


def check_key(key, place, findings):
    if not KEY_FORM.match(key):
        findings.add("attribute_key_characters", place, repr(key))


def check_value(value, place, findings):
    """An AnyValue anywhere: no string index form, unique keys in nested lists."""
    kind = value.WhichOneof("value")
    if kind == "string_value_strindex":
        findings.add("strindex_form", place, "string_value_strindex")
    elif kind == "array_value":
        for item in value.array_value.values:
            check_value(item, place, findings)
    elif kind == "kvlist_value":
        check_pairs(value.kvlist_value.values, place, findings)


def check_pairs(pairs, place, findings):
    """A list of KeyValue (resource, scope, nested list)."""
    seen = set()
    for pair in pairs:
        if pair.key_strindex:
            findings.add("strindex_form", place, f"key_strindex {pair.key_strindex}")
        else:
            check_key(pair.key, place, findings)
        if pair.key in seen:
            findings.add("attribute_key_unique", place, f"{pair.key!r} stands twice")
        seen.add(pair.key)
        check_value(pair.value, f"{place} {pair.key}", findings)


def check(request, findings):
    """All rules of the dictionary; gives the canonical numbers, or None when indices lead nowhere."""
    if not request.HasField("dictionary"):
        findings.add("dictionary", "request", "no dictionary")
        return None
    check_zero_elements(request.dictionary, findings)
    if not check_indices(request, findings):
        return None
    same = canonical(request.dictionary)
    check_duplicates(same, findings)
    check_orphans(request, findings)
    check_items(request.dictionary, findings)
    return same

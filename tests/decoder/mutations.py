# SPDX-License-Identifier: Apache-2.0
"""One way or more to break each rule. A mutation changes a valid request in place, as little as it can."""

import time

REQUESTS = []
BYTES = []
OVER_FILES = []


class Inapplicable(Exception):
    """The request has nothing that this mutation could break."""


def breaks(rule, registry=REQUESTS):
    def register(function):
        registry.append((rule, function))
        return function

    return register


def envelope(request):
    return request.resource_profiles[0]


def resource(request):
    return envelope(request).resource


def scoped(request):
    return envelope(request).scope_profiles[0]


def profile(request):
    return scoped(request).profiles[0]


def sample(request):
    return profile(request).samples[0]


def second(table):
    """The first item after the zero element."""
    if len(table) < 2:
        raise Inapplicable
    return table[1]


def first_where(items, condition):
    for item in items:
        if condition(item):
            return item
    raise Inapplicable


def string(request, text):
    """The index of a string, appended if new."""
    strings = request.dictionary.string_table
    if text not in strings:
        strings.append(text)
    return list(strings).index(text)


def attribute(request, key, value):
    """The index of a new attribute."""
    table = request.dictionary.attribute_table
    table.add(key_strindex=string(request, key)).value.string_value = value
    return len(table) - 1


def copy_at_end(table, item):
    table.add().CopyFrom(item)
    return len(table) - 1


def resource_value(request, key):
    return first_where(resource(request).attributes, lambda pair: pair.key == key).value


# ---- the bytes


@breaks("parse", BYTES)
def cut_off(data):
    return data[:-1]


@breaks("parse", BYTES)
def garbage(data):
    return b"\xff" * len(data)


@breaks("utf8", BYTES)
def bad_string(data):
    return data.replace(b"otelprof", b"otelpr\xff\xfe").replace(b"nanoseconds", b"nanosecon\xff\xff")


@breaks("unknown_field", BYTES)
def field_at_top(data):
    return data + b"\xa2\x06\x01x"  # field 100, 1 byte


@breaks("unknown_field", BYTES)
def field_in_dictionary(data):
    return data + b"\x12\x04\xa2\x06\x01x"  # merged into the dictionary


@breaks("size", BYTES)
def too_large(data):
    return data + b"\xa2\x06\x80\x80\x80\x02" + bytes(4 << 20)


# ---- envelopes


@breaks("empty")
def no_resource_profiles(request):
    del request.resource_profiles[:]


@breaks("empty")
def no_scope_profiles(request):
    del envelope(request).scope_profiles[:]


@breaks("empty")
def no_profiles(request):
    del scoped(request).profiles[:]


@breaks("empty")
def no_samples(request):
    del profile(request).samples[:]


@breaks("dictionary")
def no_dictionary(request):
    request.ClearField("dictionary")


# ---- the dictionary


@breaks("table_zero")
def string_zero(request):
    request.dictionary.string_table[0] = "x"


@breaks("table_zero")
def stack_zero(request):
    request.dictionary.stack_table[0].location_indices.append(1)


@breaks("table_zero")
def location_zero(request):
    request.dictionary.location_table[0].address = 1


@breaks("table_zero")
def function_zero(request):
    request.dictionary.function_table[0].start_line = 1


@breaks("table_zero")
def mapping_zero(request):
    request.dictionary.mapping_table[0].memory_limit = 1


@breaks("table_zero")
def attribute_zero(request):
    request.dictionary.attribute_table[0].value.int_value = 0


@breaks("table_zero")
def link_zero_element(request):
    request.dictionary.link_table[0].trace_id = b"\1" * 16


@breaks("table_zero")
def no_link_table(request):
    del request.dictionary.link_table[:]


@breaks("index_range")
def dangling_stack(request):
    sample(request).stack_index = 1 << 20


@breaks("index_range")
def negative_stack(request):
    sample(request).stack_index = -1


@breaks("index_range")
def dangling_link(request):
    sample(request).link_index = len(request.dictionary.link_table)


@breaks("index_range")
def dangling_sample_attribute(request):
    sample(request).attribute_indices.append(len(request.dictionary.attribute_table))


@breaks("index_range")
def dangling_profile_attribute(request):
    profile(request).attribute_indices.append(1 << 20)


@breaks("index_range")
def dangling_location(request):
    second(request.dictionary.stack_table).location_indices.append(len(request.dictionary.location_table))


@breaks("index_range")
def dangling_mapping(request):
    second(request.dictionary.location_table).mapping_index = len(request.dictionary.mapping_table)


@breaks("index_range")
def dangling_function(request):
    lines = first_where(request.dictionary.location_table, lambda item: item.lines).lines
    lines[0].function_index = len(request.dictionary.function_table)


@breaks("index_range")
def dangling_name(request):
    second(request.dictionary.function_table).name_strindex = len(request.dictionary.string_table)


@breaks("index_range")
def dangling_mapping_name(request):
    second(request.dictionary.mapping_table).filename_strindex = 1 << 30


@breaks("index_range")
def dangling_unit(request):
    second(request.dictionary.attribute_table).unit_strindex = 1 << 30


@breaks("index_range")
def dangling_type(request):
    profile(request).sample_type.type_strindex = 1 << 30


@breaks("null_index")
def null_location(request):
    second(request.dictionary.stack_table).location_indices.append(0)


@breaks("null_index")
def null_function(request):
    first_where(request.dictionary.location_table, lambda item: item.lines).lines[0].function_index = 0


@breaks("null_index")
def null_attribute(request):
    sample(request).attribute_indices.append(0)


def duplicate_in(table, use):
    """A copy of the second item of a table, referred to by `use` so that it is no orphan."""

    @breaks("duplicate")
    def duplicated(request):
        items = getattr(request.dictionary, table)
        use(request, copy_at_end(items, second(items)))

    duplicated.__name__ = f"duplicated_{table}"


duplicate_in("stack_table", lambda request, index: setattr(sample(request), "stack_index", index))
duplicate_in("link_table", lambda request, index: setattr(sample(request), "link_index", index))
duplicate_in("attribute_table", lambda request, index: profile(request).attribute_indices.append(index))
duplicate_in("location_table",
             lambda request, index: second(request.dictionary.stack_table).location_indices.append(index))
duplicate_in("mapping_table",
             lambda request, index: setattr(second(request.dictionary.location_table), "mapping_index", index))
duplicate_in("function_table",
             lambda request, index: second(request.dictionary.location_table).lines.add(function_index=index))


@breaks("duplicate")
def duplicated_string(request):
    strings = request.dictionary.string_table
    strings.append(strings[profile(request).sample_type.type_strindex])
    profile(request).sample_type.type_strindex = len(strings) - 1


@breaks("duplicate")
def duplicated_by_value(request):
    """Two functions that are equal only when their names are followed."""
    tables = request.dictionary
    function = second(tables.function_table)
    tables.string_table.append(tables.string_table[function.name_strindex])
    index = copy_at_end(tables.function_table, function)
    tables.function_table[index].name_strindex = len(tables.string_table) - 1
    location = second(tables.location_table)
    location.lines.add(function_index=index)


def orphan_in(table, **fields):
    @breaks("orphan")
    def orphaned(request):
        getattr(request.dictionary, table).add(**fields)

    orphaned.__name__ = f"orphan_in_{table}"


orphan_in("stack_table", location_indices=[1, 1, 1, 1, 1, 1, 1])
orphan_in("location_table", address=1)
orphan_in("function_table", name_strindex=1, start_line=1 << 40)
orphan_in("mapping_table", memory_start=1, memory_limit=2)
orphan_in("link_table", trace_id=b"\7" * 16, span_id=b"\7" * 8)
orphan_in("attribute_table", key_strindex=1)


@breaks("orphan")
def orphan_string(request):
    request.dictionary.string_table.append("nobody speaks of me")


@breaks("orphan")
def orphan_behind_orphan(request):
    """A function that only an orphaned location refers to."""
    tables = request.dictionary
    index = copy_at_end(tables.function_table, second(tables.function_table))
    tables.function_table[index].start_line = 1 << 40
    tables.location_table.add(address=1).lines.add(function_index=index)


@breaks("mapping_range")
def mapping_backwards(request):
    mapping = second(request.dictionary.mapping_table)
    mapping.memory_start, mapping.memory_limit = mapping.memory_limit, mapping.memory_start


@breaks("mapping_build_id")
def no_build_id(request):
    del second(request.dictionary.mapping_table).attribute_indices[:]


def build_id(request, value):
    tables = request.dictionary
    return first_where(
        (tables.attribute_table[i] for i in second(tables.mapping_table).attribute_indices),
        lambda item: "build_id" in tables.string_table[item.key_strindex],
    ).value.__setattr__("string_value", value)


@breaks("build_id_form")
def build_id_upper_case(request):
    build_id(request, "00112233445566778899AABBCCDDEEFF")


@breaks("build_id_form")
def build_id_not_hex(request):
    build_id(request, "xyz")


@breaks("build_id_form")
def deprecated_build_id(request):
    index = attribute(request, "process.executable.build_id.profiling", "00")
    second(request.dictionary.mapping_table).attribute_indices.append(index)


@breaks("location_address")
def address_outside(request):
    tables = request.dictionary
    first_where(tables.location_table,
                lambda item: tables.mapping_table[item.mapping_index].memory_limit).address = (1 << 63) + 5


@breaks("location_empty")
def location_says_nothing(request):
    location = second(request.dictionary.location_table)
    location.address = 0
    del location.lines[:]


@breaks("function_name")
def function_without_name(request):
    function = second(request.dictionary.function_table)
    function.name_strindex = function.system_name_strindex = function.filename_strindex = 0


@breaks("line_sign")
def negative_line(request):
    first_where(request.dictionary.location_table, lambda item: item.lines).lines[0].line = -1


@breaks("line_sign")
def negative_start(request):
    second(request.dictionary.function_table).start_line = -1


@breaks("frame_type")
def odd_frame_type(request):
    tables = request.dictionary
    first_where(tables.attribute_table, lambda item: tables.string_table[item.key_strindex] == "profile.frame.type"
                ).value.string_value = "c++"


@breaks("link_length")
def short_span_id(request):
    second(request.dictionary.link_table).span_id = b"\1\2\3"


@breaks("link_length")
def no_trace_id(request):
    second(request.dictionary.link_table).trace_id = b""


@breaks("link_zero")
def zero_span_id(request):
    second(request.dictionary.link_table).span_id = bytes(8)


@breaks("link_zero")
def zero_trace_id(request):
    second(request.dictionary.link_table).trace_id = bytes(16)


@breaks("stack_empty")
def stack_without_frames(request):
    del second(request.dictionary.stack_table).location_indices[:]


@breaks("stack_depth")
def deep_stack(request):
    second(request.dictionary.stack_table).location_indices.extend([1] * 1000)


# ---- attributes


@breaks("attribute_key_unique")
def sample_key_twice(request):
    tables = request.dictionary
    index = first_where(sample(request).attribute_indices, lambda _: True)
    key = tables.string_table[tables.attribute_table[index].key_strindex]
    sample(request).attribute_indices.append(attribute(request, key, "another value"))


@breaks("attribute_key_unique")
def same_index_twice(request):
    mapping = second(request.dictionary.mapping_table)
    mapping.attribute_indices.append(mapping.attribute_indices[0])


@breaks("attribute_key_unique")
def resource_key_twice(request):
    resource(request).attributes.add(key="service.name").value.string_value = "other"


@breaks("attribute_key_unique")
def scope_key_twice(request):
    for value in ("a", "b"):
        scoped(request).scope.attributes.add(key="k").value.string_value = value


@breaks("attribute_key_characters")
def key_with_dash(request):
    sample(request).attribute_indices.append(attribute(request, "http-route", "/"))


@breaks("attribute_key_characters")
def empty_key(request):
    table = request.dictionary.attribute_table
    table.add().value.string_value = "x"
    sample(request).attribute_indices.append(len(table) - 1)


@breaks("attribute_key_characters")
def resource_key_with_space(request):
    resource(request).attributes.add(key="a b").value.string_value = "x"


@breaks("attribute_value")
def attribute_without_value(request):
    second(request.dictionary.attribute_table).ClearField("value")


@breaks("strindex_form")
def resource_key_by_index(request):
    pair = resource(request).attributes.add()
    pair.key_strindex = 1
    pair.value.string_value = "x"


@breaks("strindex_form")
def resource_value_by_index(request):
    resource(request).attributes.add(key="a").value.string_value_strindex = 1


@breaks("strindex_form")
def attribute_value_by_index(request):
    second(request.dictionary.attribute_table).value.string_value_strindex = 1


# ---- profiles and samples


@breaks("sample_type")
def no_sample_type(request):
    profile(request).ClearField("sample_type")


@breaks("sample_type")
def no_sample_unit(request):
    profile(request).sample_type.unit_strindex = 0


@breaks("period_type")
def no_period_type(request):
    profile(request).ClearField("period_type")


@breaks("period")
def zero_period(request):
    profile(request).period = 0


@breaks("type_name")
def dash_in_type(request):
    profile(request).sample_type.type_strindex = string(request, "cpu-time")


def of_heap(request):
    """A profile of the heap."""
    strings = request.dictionary.string_table
    return first_where(scoped(request).profiles,
                       lambda item: strings[item.sample_type.type_strindex].startswith(("alloc_", "inuse_")))


@breaks("type_units")
def other_sample_unit(request):
    profile(request).sample_type.unit_strindex = string(request, "seconds")


@breaks("type_units")
def other_period_type(request):
    profile(request).period_type.type_strindex = string(request, "wall")


@breaks("type_units")
def other_period_unit_of_the_heap(request):
    of_heap(request).period_type.unit_strindex = string(request, "count")


@breaks("type_heap")
def heap_with_timestamps(request):
    heap = of_heap(request)
    for each in heap.samples:
        del each.values[:]
        each.timestamps_unix_nano.append(heap.time_unix_nano)


@breaks("type_heap")
def heap_with_thread(request):
    of_heap(request).samples[0].attribute_indices.append(attribute(request, "thread.id", "7"))


@breaks("counters_once")
def counters_in_two_profiles(request):
    tables = request.dictionary
    counter = first_where(profile(request).attribute_indices, lambda index: tables.string_table[
        tables.attribute_table[index].key_strindex] == "otelprof.samples.fired")
    second_profile = first_where(scoped(request).profiles, lambda item: item != profile(request))
    second_profile.attribute_indices.append(counter)


@breaks("profile_id")
def short_profile_id(request):
    profile(request).profile_id = b"\1\2\3"


@breaks("profile_id")
def zero_profile_id(request):
    profile(request).profile_id = bytes(16)


@breaks("profile_id")
def no_profile_id(request):
    profile(request).profile_id = b""


@breaks("profile_id_unique", OVER_FILES)
def same_file_again(_):
    """The file a second time, unchanged."""


@breaks("instance_id", OVER_FILES)
def another_process(request):
    value = resource_value(request, "process.pid")
    value.int_value = value.int_value + 1


@breaks("profile_time")
def no_time(request):
    profile(request).time_unix_nano = 0


@breaks("profile_time")
def no_duration(request):
    profile(request).duration_nano = 0


@breaks("future")
def in_the_future(request):
    profile(request).time_unix_nano = time.time_ns() + 3_600_000_000_000


@breaks("payload_pair")
def payload_without_format(request):
    profile(request).original_payload = b"x"


@breaks("payload_pair")
def format_without_payload(request):
    profile(request).original_payload_format = "pprof"


@breaks("sample_stack")
def sample_without_stack(request):
    sample(request).stack_index = 0


@breaks("sample_identity")
def same_sample_twice(request):
    copy_at_end(profile(request).samples, sample(request))


@breaks("sample_identity")
def same_sample_other_order(request):
    """Attributes are a set: another order is the same identity."""
    twin = profile(request).samples.add()
    twin.CopyFrom(sample(request))
    twin.attribute_indices[:] = list(reversed(twin.attribute_indices))


@breaks("sample_shape")
def neither_value_nor_time(request):
    del sample(request).values[:]
    del sample(request).timestamps_unix_nano[:]


@breaks("sample_shape")
def two_values(request):
    del sample(request).timestamps_unix_nano[:]
    sample(request).values[:] = [1, 2]


@breaks("sample_shape")
def lengths_differ(request):
    sample(request).timestamps_unix_nano[:] = [profile(request).time_unix_nano] * 3
    sample(request).values[:] = [1, 2]


@breaks("sample_shape")
def values_beside_timestamps(request):
    sample(request).timestamps_unix_nano[:] = [profile(request).time_unix_nano]
    sample(request).values[:] = [1]


@breaks("value_sign")
def negative_value(request):
    del sample(request).timestamps_unix_nano[:]
    sample(request).values[:] = [-1]


@breaks("value_sign")
def zero_value(request):
    del sample(request).timestamps_unix_nano[:]
    sample(request).values[:] = [0]


@breaks("uniform_shape")
def mixed_shapes(request):
    twin = profile(request).samples.add()
    twin.CopyFrom(sample(request))
    twin.ClearField("attribute_indices")
    has_values = len(twin.values) > 0
    twin.ClearField("values")
    twin.ClearField("timestamps_unix_nano")
    if has_values:
        twin.timestamps_unix_nano.append(profile(request).time_unix_nano)
    else:
        twin.values.append(1)


@breaks("timestamp_range")
def timestamp_at_end(request):
    end = profile(request).time_unix_nano + profile(request).duration_nano
    sample(request).timestamps_unix_nano.append(end)


@breaks("timestamp_range")
def timestamp_before_start(request):
    sample(request).timestamps_unix_nano.append(profile(request).time_unix_nano - 1)


@breaks("sample_limit")
def too_many_samples(request):
    one = sample(request)
    profile(request).samples.extend([one] * 16000)


@breaks("sample_labels")
def too_many_labels(request):
    sample(request).attribute_indices.extend(attribute(request, f"key.{number}", "x") for number in range(101))


# ---- resource and scope


def resource_without(key):
    @breaks("resource_keys")
    def removed(request):
        pairs = resource(request).attributes
        kept = [pair for pair in pairs if pair.key != key]
        del pairs[:]
        pairs.extend(kept)

    removed.__name__ = f"resource_without_{key}"


for required in ("service.name", "service.instance.id", "telemetry.sdk.name", "telemetry.sdk.language",
                 "telemetry.sdk.version", "process.pid"):
    resource_without(required)


@breaks("resource_keys")
def empty_service_name(request):
    resource_value(request, "service.name").string_value = ""


@breaks("resource_type")
def pid_as_string(request):
    resource_value(request, "process.pid").string_value = "77"


@breaks("resource_type")
def instance_id_no_uuid(request):
    resource_value(request, "service.instance.id").string_value = "me"


@breaks("resource_type")
def creation_time_as_seconds(request):
    resource_value(request, "process.creation.time").string_value = "1700000000"


@breaks("resource_private")
def command_line(request):
    resource(request).attributes.add(key="process.command_line").value.string_value = "demo --password=x"


@breaks("sdk_name")
def official_name(request):
    resource_value(request, "telemetry.sdk.name").string_value = "opentelemetry"


@breaks("attribute_limit")
def too_many_attributes(request):
    for number in range(27):
        resource(request).attributes.add(key=f"extra.{number}").value.int_value = 0


@breaks("scope_name")
def scope_without_name(request):
    scoped(request).scope.name = ""


@breaks("schema_url")
def odd_schema_url(request):
    envelope(request).schema_url = "http://example.com/schema"


@breaks("entity")
def entity_of_nothing(request):
    resource(request).entity_refs.add(type="process", id_keys=["not.there"])


@breaks("entity")
def entity_without_type(request):
    resource(request).entity_refs.add(id_keys=["service.name"])

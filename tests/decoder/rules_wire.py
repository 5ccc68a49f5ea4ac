# SPDX-License-Identifier: Apache-2.0
"""Rules about the bytes themselves."""

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from decode import Request

MAX_BYTES = 4 << 20


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def bad_strings(data, descriptor, place=""):
    """Places of string fields that are not UTF-8. Raises IndexError on cut-off data."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _, at = _varint(data, at)
        elif wire == 1:
            at += 8
        elif wire == 5:
            at += 4
        elif wire == 2:
            size, at = _varint(data, at)
            content, at = data[at : at + size], at + size
            yield from _bad_content(content, descriptor.fields_by_number.get(number), place)
        else:
            return


def _bad_content(content, field, place):
    if field is None:
        return
    here = f"{place}.{field.name}"
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        yield from bad_strings(content, field.message_type, here)
    elif field.type == FieldDescriptor.TYPE_STRING:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            yield here, str(error)


def unknown_fields(message, place=""):
    """(place, field number) of all fields without a meaning, in the message and all below it."""
    for field in UnknownFieldSet(message):
        yield place or ".", field.field_number
    for descriptor, value in message.ListFields():
        if descriptor.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        items = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        for number, item in enumerate(items):
            yield from unknown_fields(item, f"{place}.{descriptor.name}[{number}]")


def parse(data, findings):
    """The request, or None when the bytes are not one."""
    if len(data) > MAX_BYTES:
        findings.add("size", "file", f"{len(data)} bytes, over {MAX_BYTES}")
    try:
        request = Request.FromString(data)
    except DecodeError as error:
        try:
            broken = list(bad_strings(data, Request.DESCRIPTOR))
        except IndexError:
            broken = []
        for place, text in broken:
            findings.add("utf8", place, text)
        if not broken:
            findings.add("parse", "file", str(error))
        return None
    for place, number in unknown_fields(request):
        findings.add("unknown_field", place, f"field {number}")
    return request

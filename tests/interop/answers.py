# SPDX-License-Identifier: Apache-2.0
"""What the failing server answers in each mode, as bytes on the wire that real receivers send."""

import base64

from google.protobuf import any_pb2, duration_pb2
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2

RETRY_SECONDS = 2
PROTOBUF = {"content-type": "application/x-protobuf"}
TEXT = {"content-type": "text/plain; charset=utf-8"}

HTTP_STATUS = {"400": 400, "401": 401, "404": 404, "413": 413, "429": 429, "429-retry-after": 429, "503": 503}
# name: gRPC code, message
GRPC_STATUS = {
    "unavailable": (14, "no room"),
    "exhausted": (8, "quota"),
    "exhausted-retry-info": (8, "quota"),
    "unauthenticated": (16, "who are you"),
}


def field(number, value):
    """A field of protobuf by hand: google.rpc is not in the packages of the tests. Short ones only."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def status_message(code, text, retry_seconds=None):
    message = field(1, code) + field(2, text.encode())
    if retry_seconds is not None:
        delay = duration_pb2.Duration(seconds=retry_seconds).SerializeToString()
        detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=field(1, delay))
        message += field(3, detail.SerializeToString())
    return message


def response(rejected=0, text=""):
    message = profiles_service_pb2.ExportProfilesServiceResponse()
    message.partial_success.rejected_profiles = rejected
    message.partial_success.error_message = text
    return message.SerializeToString()


def success(mode):
    """The body of a success, and whether everything was taken."""
    if mode.startswith("partial-success"):
        return response(1, "one profile too many"), False
    if mode == "warning":
        return response(0, "old format"), True
    return response(), True


def echo(mode, request):
    """What was sent; "-cut": again and again, so that wherever a message is cut, it may be within a secret."""
    return " ".join(request.headers.values()) if mode == "echo-headers" else request.headers["authorization"] * 40


def http(mode, request):
    """Status, headers, body, and whether that says: accepted."""
    if mode.startswith("echo-headers"):
        return 400, dict(TEXT), echo(mode, request).encode(), False
    if mode == "redirect":
        return 302, {"location": "/elsewhere"}, b"", False
    if mode in HTTP_STATUS:
        headers = dict(PROTOBUF)
        if mode == "429-retry-after":
            headers["retry-after"] = str(RETRY_SECONDS)
        return HTTP_STATUS[mode], headers, status_message(3, "as told"), False
    body, accepted = success(mode)
    return 200, dict(PROTOBUF), body, accepted and mode != "huge-reply"


def grpc(mode, request):
    """Status of HTTP, trailers (None: there are none), message (None: there is none), and whether that says: accepted."""
    if mode.startswith("echo-headers"):
        return 200, [("grpc-status", "3"), ("grpc-message", echo(mode, request))], None, False
    if mode in GRPC_STATUS:
        code, text = GRPC_STATUS[mode]
        trailers = [("grpc-status", str(code)), ("grpc-message", text)]
        if mode == "exhausted-retry-info":
            details = base64.b64encode(status_message(code, text, RETRY_SECONDS)).decode().rstrip("=")
            trailers.append(("grpc-status-details-bin", details))
        return 200, trailers, None, False
    body, accepted = success(mode)
    if mode == "no-status":
        return 200, None, body, False
    return 200, [("grpc-status", "0"), ("grpc-message", "")], body, accepted and mode != "huge-reply"

# SPDX-License-Identifier: Apache-2.0
"""A receiver of OTLP profiles that misbehaves as it is told, over HTTP/1.1 and over gRPC (HTTP/2 by h2).

FailingServer(mode, protocol) listens on a free port of 127.0.0.1 until stop(). With `then` and `after`, the mode changes
once that many requests (or connections, where no request is read) have come. As a program, `failing_server.py MODE
PROTOCOL` says where it listens, and ends when its input does.
"""

import gzip
import os
import socket
import ssl
import struct
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events

import answers
import peers

HUGE_BYTES = 64 << 20
LATE_SECONDS = 0.3


class FailingServer:
    def __init__(self, mode, protocol, *, then=None, after=0, certificate=None, key=None, proxy=False):
        self.mode, self.then, self.after = mode, then, after
        self.proxy = proxy  # asked for another host: over gRPC by a tunnel, which leads here too
        self.protocol = protocol
        self.requests = peers.Requests()
        self.stopping = False
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
            self.context.set_alpn_protocols(["h2"] if protocol == "grpc" else ["http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0 if mode == "unreachable" else None)
        self.port = self.listener.getsockname()[1]
        self.open = []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        if mode == "refuse":
            self.listener.close()
            if then:
                threading.Timer(after, self.listen_again).start()
        elif mode == "unreachable":
            self.fill_backlog()
        else:
            self.thread.start()

    def fill_backlog(self):
        """Whoever comes then gets no answer to his SYN."""
        for _ in range(4):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", self.port))
            self.open.append(connection)

    def listen_again(self):
        """After a refusal: `after` is in seconds then."""
        self.mode = self.then
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.thread.start()

    def url(self):
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def stop(self):
        self.stopping = True
        if self.thread.is_alive():
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            self.thread.join(2)
        self.listener.close()
        for connection in self.open:
            close(connection)

    def mode_now(self, count):
        return self.then if self.then and self.mode != "refuse" and count > self.after else self.mode

    def accept(self):
        while not self.stopping:
            connection, _ = self.listener.accept()
            if self.stopping:
                connection.close()
                return
            self.requests.connected()
            self.open.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        mode = self.mode_now(self.requests.connections)
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            if mode in ("hang", "slow-read"):
                self.starve(connection, mode)
            elif self.protocol == "http":
                HttpConnection(self, connection).run()
            else:
                if self.proxy:
                    open_tunnel(connection)
                GrpcConnection(self, connection).run()
        except (OSError, h2.exceptions.H2Error):
            pass
        finally:
            close(connection)

    def starve(self, connection, mode):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while not self.stopping:
            if mode == "slow-read" and not connection.recv(1024):
                return
            time.sleep(1)


def open_tunnel(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            raise OSError("no request for a tunnel")
        head += data
    if not head.startswith(b"CONNECT "):
        raise OSError("not asked for a tunnel")
    connection.sendall(b"HTTP/1.1 200 yes\r\n\r\n")


def close(connection):
    try:
        connection.close()
    except OSError:
        pass


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class HttpConnection:
    """HTTP/1.1, one request after the other."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.buffer = b""

    def run(self):
        while self.one():
            pass

    def fill(self):
        data = self.connection.recv(65536)
        self.buffer += data
        return bool(data)

    def one(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return False
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        size = int(headers.get("content-length", 0))
        if self.server.mode_now(len(self.server.requests.all()) + 1) == "reset-mid-body":
            reset(self.connection)
            return False
        while len(self.buffer) < size:
            if not self.fill():
                return False
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        message, decoded = peers.read_message(body, headers.get("content-encoding") == "gzip")
        request = peers.Request("http", first.split(" ")[1], headers, message, decoded)
        self.server.requests.add(request)
        return self.answer(request, self.server.mode_now(len(self.server.requests.all())))

    def answer(self, request, mode):
        if mode == "garbage":
            self.connection.sendall(os.urandom(200) + b"\n\n")
            return False
        status, headers, body, request.accepted = answers.http(mode, request)
        head = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items())]
        if mode == "huge-reply":
            self.connection.sendall(("\r\n".join(head) + f"\r\ncontent-length: {HUGE_BYTES}\r\n\r\n").encode())
            for _ in range(HUGE_BYTES // 65536):
                self.connection.sendall(bytes(65536))
            return True
        head.append(f"content-length: {len(body)}")
        self.connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + body)
        return True


class GrpcConnection:
    """HTTP/2, a stream a request."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams = {}

    def run(self):
        self.http2.initiate_connection()
        self.send()
        while True:
            data = self.connection.recv(65536)
            if not data:
                return
            for event in self.http2.receive_data(data):
                if self.event(event) is False:
                    return
            self.send()

    def send(self):
        self.connection.sendall(self.http2.data_to_send())

    def event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = [dict(event.headers), b""]
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id][1] += event.data
            self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if self.server.mode_now(len(self.server.requests.all()) + 1) == "reset-mid-body":
                reset(self.connection)
                return False
        elif isinstance(event, h2.events.StreamEnded):
            return self.request(event.stream_id)
        return True

    def request(self, stream):
        headers, body = self.streams.pop(stream)
        message, decoded = peers.read_message(body[5:], body[:1] == b"\x01")
        request = peers.Request("grpc", headers[":path"], headers, message, decoded)
        self.server.requests.add(request)
        return self.answer(stream, request, self.server.mode_now(len(self.server.requests.all())))

    def answer(self, stream, request, mode):
        if mode == "garbage":
            self.connection.sendall(os.urandom(500))
            return False
        if mode == "late":
            time.sleep(LATE_SECONDS)
        if mode == "goaway":
            self.http2.close_connection(error_code=h2.errors.ErrorCodes.NO_ERROR, last_stream_id=0)
            self.send()
            return False
        status, trailers, body, request.accepted = answers.grpc(mode, request)
        head = [(":status", str(status)), ("content-type", "application/grpc")]
        compressed = mode.endswith("-gzip")
        self.http2.send_headers(stream, [*head, ("grpc-encoding", "gzip")] if compressed else head)
        if mode == "huge-reply":
            self.huge(stream)
            return False
        if compressed:
            body = gzip.compress(body)
        frame = struct.pack(">BI", compressed, len(body)) + body if body is not None else b""
        if trailers is None:
            self.http2.send_data(stream, frame, end_stream=True)
        else:
            if frame:
                self.http2.send_data(stream, frame)
            self.http2.send_headers(stream, trailers, end_stream=True)
        if mode == "answer-and-goaway":
            self.http2.close_connection(last_stream_id=stream)
            self.send()
            return False
        return True

    def huge(self, stream):
        for _ in range(HUGE_BYTES // 16384):
            while self.http2.local_flow_control_window(stream) < 16384:
                self.send()
                data = self.connection.recv(65536)
                if not data:
                    return
                self.http2.receive_data(data)
            self.http2.send_data(stream, bytes(16384))
            self.send()


def main(mode, protocol):
    server = FailingServer(mode, protocol)
    print(server.url(), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

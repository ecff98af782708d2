"""Load for the servers: `KIND PORT SECONDS CONNECTIONS`, on raw sockets with one request in flight on each, no asyncio.

Prints the number of responses, the seconds they took in all, and two latencies in seconds: the 99th percentile of whole
responses, and the median until a response's first byte.
"""

import base64
import dataclasses
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable

PAYLOAD = b"x" * 1024


def received(sock: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        data += sock.recv(65536) or sys.exit("the server has closed the connection")
    return data


def http(sock: socket.socket) -> tuple[bytes, int, bytes]:
    """The request, the length of its response (the first one's head and body), and an empty closing message."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    sock.sendall(request)
    head, _, body = received(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += sock.recv(65536)
    return request, len(head) + 4 + length, b""


def chunked(sock: socket.socket) -> tuple[bytes, int, bytes]:
    """As `http`, for a response in chunks, each of the same length."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    sock.sendall(request)
    whole = received(sock, b"\r\n0\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 200"), whole
    return request, len(whole), b""


def websocket(sock: socket.socket) -> tuple[bytes, int, bytes]:
    """A masked text frame (RFC 6455), the size of its unmasked echo, and a close frame."""
    key = base64.b64encode(b"sixteen bytes ok")
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    assert received(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101")
    size = len(PAYLOAD).to_bytes(2, "big")
    return b"\x81\xfe" + size + bytes(4) + PAYLOAD, 4 + len(PAYLOAD), b"\x88\x82" + bytes(4) + b"\x03\xe8"


KINDS: dict[str, Callable[[socket.socket], tuple[bytes, int, bytes]]] = {
    "http": http,
    "chunked": chunked,
    "websocket": websocket,
}


@dataclasses.dataclass
class Connection:
    """A connection with one request in flight."""

    sock: socket.socket
    size: int
    missing: int = 0
    sent_at: float = 0.0

    def ask(self, request: bytes) -> None:
        self.missing, self.sent_at = self.size, time.perf_counter()
        self.sock.sendall(request)

    def end(self, farewell: bytes) -> None:
        self.sock.sendall(farewell)
        self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(64):
            pass
        self.sock.close()


def main() -> None:
    kind, port, seconds, connections = sys.argv[1:]
    poll = select.epoll()
    open_: dict[int, Connection] = {}
    for _ in range(int(connections)):
        sock = socket.create_connection(("127.0.0.1", int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request, size, farewell = KINDS[kind](sock)
        poll.register(sock, select.EPOLLIN)
        open_[sock.fileno()] = Connection(sock, size)
    whole: list[float] = []
    first: list[float] = []
    began = time.perf_counter()
    for connection in open_.values():
        connection.ask(request)
    while open_:
        for number, _ in poll.poll():
            connection = open_[number]
            data = connection.sock.recv(connection.missing) or sys.exit("the server has closed the connection")
            now = time.perf_counter()
            if connection.missing == connection.size:
                first.append(now - connection.sent_at)
            connection.missing -= len(data)
            if connection.missing:
                continue
            whole.append(now - connection.sent_at)
            if now - began < float(seconds):
                connection.ask(request)
            else:
                del open_[number]
                poll.unregister(number)
                connection.end(farewell)
    whole.sort()
    print(len(whole), now - began, whole[len(whole) * 99 // 100], statistics.median(first), flush=True)


if __name__ == "__main__":
    main()

"""Load for the servers: `KIND PORT SECONDS`, on raw sockets with one request in flight on each, no asyncio.

Prints the number of responses and the seconds they took.
"""

import base64
import select
import socket
import sys
import time
from collections.abc import Callable

CONNECTIONS = 32
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


KINDS: dict[str, Callable[[socket.socket], tuple[bytes, int, bytes]]] = {"http": http, "websocket": websocket}


def main() -> None:
    kind, port, seconds = sys.argv[1:]
    poll = select.epoll()
    open_: dict[int, tuple[socket.socket, int]] = {}
    for _ in range(CONNECTIONS):
        sock = socket.create_connection(("127.0.0.1", int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request, size, farewell = KINDS[kind](sock)
        poll.register(sock, select.EPOLLIN)
        open_[sock.fileno()] = (sock, size)
    answers, began = 0, time.perf_counter()
    for sock, _ in open_.values():
        sock.sendall(request)
    while open_:
        for number, _ in poll.poll():
            sock, missing = open_[number]
            missing -= len(sock.recv(missing) or sys.exit("the server has closed the connection"))
            if missing:
                open_[number] = (sock, missing)
                continue
            answers += 1
            if (took := time.perf_counter() - began) < float(seconds):
                open_[number] = (sock, size)
                sock.sendall(request)
            else:
                del open_[number]
                poll.unregister(sock)
                sock.sendall(farewell)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(64):
                    pass
                sock.close()
    print(answers, took, flush=True)


if __name__ == "__main__":
    main()

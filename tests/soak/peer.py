"""The other end, in a process of its own and without asyncio: clients of an echo server, and a sender of signals.

    python -m tests.soak.peer echo PORT COUNT SIZE    COUNT connections at once, SIZE bytes each way
    python -m tests.soak.peer signals PID COUNT       COUNT queued signals of each of two kinds

Every 16th client reads slowly, every 16th resets its connection in the middle. Prints a JSON summary.
"""

import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from .pattern import data

SLOW, RESETTING = 3, 7
SLOW_BYTES, SLOW_PAUSE = 1 << 16, 0.01
RETRY = 0.05


class Client:
    def __init__(self, number: int, size: int):
        self.number, self.size = number, size
        self.kind = {SLOW: "slow", RESETTING: "resetting"}.get(number % 16, "plain")
        self.sent, self.received, self.not_before = 0, 0, 0.0
        self.output = memoryview(struct.pack("!I", number) + bytes(data(number)[:size]))
        self.expected = data(number)
        self.sock = socket.socket()
        if self.kind == "slow":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.sock.setblocking(False)

    def interest(self) -> int:
        wanted = selectors.EVENT_READ
        return wanted | selectors.EVENT_WRITE if self.sent < len(self.output) else wanted

    def write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.sent += self.sock.send(self.output[self.sent : self.sent + (1 << 18)])

    def read(self) -> bool:
        """False when this client is through."""
        try:
            chunk = self.sock.recv(SLOW_BYTES if self.kind == "slow" else 1 << 18)
        except BlockingIOError:
            return True
        if chunk != self.expected[self.received : self.received + len(chunk)]:
            raise AssertionError(f"connection {self.number} got wrong bytes after {self.received}")
        self.received += len(chunk)
        if self.kind == "resetting" and self.received >= self.size // 2:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if self.kind == "slow":
            self.not_before = time.monotonic() + SLOW_PAUSE
        if not chunk:
            raise AssertionError(f"connection {self.number} ended after {self.received} bytes")
        return self.received < self.size


def echo(port: int, count: int, size: int) -> dict:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    done = {"plain": 0, "slow": 0, "resetting": 0}
    clients = [Client(number, size) for number in range(count)]
    for client in clients:
        client.sock.connect_ex(("127.0.0.1", port))
        selector.register(client.sock, client.interest(), client)
    resting: set[Client] = set()
    while clients:
        now = time.monotonic()
        for client in [client for client in resting if client.not_before <= now]:
            resting.discard(client)
            selector.register(client.sock, client.interest(), client)
        for key, events in selector.select(SLOW_PAUSE):
            client = key.data
            if events & selectors.EVENT_WRITE:
                client.write()
            if events & selectors.EVENT_READ and not client.read():
                selector.unregister(client.sock)
                client.sock.close()
                clients.remove(client)
                done[client.kind] += 1
            elif client.not_before > now:
                selector.unregister(client.sock)
                resting.add(client)
            elif client.interest() != key.events:
                selector.modify(client.sock, client.interest(), client)
    selector.close()
    return done


def signals(process: int, count: int) -> dict:
    for number in range(count):
        os.kill(process, signal.SIGRTMIN)
        os.kill(process, signal.SIGRTMIN + 1)
        if number % 64 == 0:
            time.sleep(0.001)
    return {"sent": count}


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    roles: dict[str, Callable[..., dict]] = {"echo": echo, "signals": signals}
    print(json.dumps(roles[what](*map(int, numbers))), flush=True)

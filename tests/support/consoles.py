"""Consoles that serve a page of an inspected program, and requests to them, byte by byte."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.support.inspected import Inspected


class Console:
    """The command `ferrio console` as it runs, and what a browser would know of it."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process = process
        self.address = address
        place, _, self.token = address.partition("/#")
        self.port = int(place.rpartition(":")[2])
        self.host = f"127.0.0.1:{self.port}"
        self.cookie = ""

    def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes, until the console closes the connection."""
        with self.connected() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
            return answer

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None
    ) -> tuple[int, "http.client.HTTPMessage", bytes]:
        """A request with the cookie, and the host's own name unless `headers` says otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Host": self.host} | ({"Cookie": self.cookie} if self.cookie else {}) | (headers or {})
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def enter(self) -> None:
        """Posts the token, as the page does, and keeps the cookie."""
        status, headers, _ = self.request("POST", "/session", {"Origin": f"http://{self.host}"}, self.token)
        assert status == 204
        self.cookie = headers["Set-Cookie"].partition(";")[0]

    def data(self, path: str) -> dict[str, Any]:
        status, _, body = self.request("GET", f"/data/{path}")
        assert status == 200, body
        decoded: dict[str, Any] = json.loads(body)
        return decoded

    def status_of_stream(self) -> int:
        """What the console says to one more page that wants to listen."""
        with self.connected() as connection:
            connection.sendall(self.stream_request())
            return int(connection.recv(13)[9:12])

    def stream_request(self) -> bytes:
        return f"GET /events HTTP/1.1\r\nHost: {self.host}\r\nCookie: {self.cookie}\r\n\r\n".encode()

    @contextlib.contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """What the stream of events says, as it comes."""
        with self.connected() as connection:
            connection.sendall(self.stream_request())
            with connection.makefile("rb") as lines:
                yield (json.loads(line[6:]) for line in lines if line.startswith(b"data: "))

    def interrupt(self) -> tuple[int, str]:
        """Presses Ctrl-C; the exit status, and what the console has said on the way."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextlib.contextmanager
def console(program: Inspected, *options: str) -> Iterator[Console]:
    """A console of the program, until the block ends."""
    command = [sys.executable, "-m", "ferrio", "console", str(program.pid), "--json", "--interval", "0.1", *options]
    environment = program.environment | {"FERRIO_INSPECT": ""}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield Console(process, json.loads(line)["address"])
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()

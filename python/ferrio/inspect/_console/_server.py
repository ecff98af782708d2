"""The HTTP server of the console: the standard library's, with limits on what a client can make it hold.

One connection carries one request and has a thread; their number is limited. A request has to arrive whole within
seconds, an answer has to be taken within seconds, and a page that reads its events too slowly loses its connection,
after which browsers connect again. Nothing is logged: there is nothing to log that the page does not show.
"""

import io
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ferrio.inspect._console import _answers
from ferrio.inspect._console._access import HEADERS, Access
from ferrio.inspect._console._observed import Observed

# In seconds: for a request to arrive, and for an answer, or a bit of a stream, to be taken.
_PATIENCE = 10.0
_MOST_CONNECTIONS = 64
_MOST_STREAMS = 16
_LONGEST_BODY = 1024

# In seconds: how often a quiet stream says that it is there, so that a connection that is gone is found out.
_HEARTBEAT = 15.0

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page_files() -> dict[str, tuple[str, bytes]]:
    """What the browser may load, by its path: the content type and the content. Only these names are ever looked up."""
    found = {}
    for each in files("ferrio.inspect._console").joinpath("page").iterdir():
        kind = _KINDS.get(each.name.rpartition(".")[2])
        if kind is not None:
            found[f"/{each.name}"] = (f"{kind}; charset=utf-8", each.read_bytes())
    found["/"] = found.pop("/index.html")
    return found


class _Deadline(io.RawIOBase):
    """A socket to read from until a deadline, however slowly the bytes come."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + _PATIENCE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Server(ThreadingHTTPServer):
    """Serves one observed process."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], observed: Observed) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.observed = observed
        self.files = page_files()
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.streams = threading.BoundedSemaphore(_MOST_STREAMS)
        super().__init__(address, _Handler)
        port = self.server_address[1]
        self.access = Access(port, loopback=_is_loopback(self.server_address[0]))

    def server_bind(self) -> None:
        """Without looking up the name of the machine, which can take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to report; anything else is a fault of ours."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _is_loopback(address: Any) -> bool:
    import ipaddress

    return ipaddress.ip_address(address).is_loopback


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version = "ferrio"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Deadline(self.connection))

    def do_GET(self) -> None:
        if not self._may_come():
            return
        target = urlsplit(self.path)
        if target.path in self.server.files:
            kind, content = self.server.files[target.path]
            self._answer(HTTPStatus.OK, content, kind)
        elif not self.server.access.is_let_in(self.headers.get("Cookie")):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that `ferrio console` has printed")
        elif target.path == "/events":
            self._stream()
        else:
            self._data(target.path, target.query)

    def do_POST(self) -> None:
        """Takes the token; nothing else can be posted."""
        if not self._may_come():
            return
        if self.path != "/session":
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        if self.headers.get("Origin") is None:
            self._refuse(HTTPStatus.FORBIDDEN, "the origin is not known")
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "the length of the token is not given")
        elif len(length) > 6 or int(length) > _LONGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a token is shorter")
        elif not self.server.access.is_token(self.rfile.read(int(length))):
            self._refuse(HTTPStatus.FORBIDDEN, "the token is another one")
        else:
            self._answer(HTTPStatus.NO_CONTENT, b"", None, {"Set-Cookie": self.server.access.cookie()})

    def _may_come(self) -> bool:
        access = self.server.access
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not access.knows_host(hosts[0]):
            self._refuse(HTTPStatus.FORBIDDEN, "the host is not known")
            return False
        if not access.knows_origin(self.headers) and not self._is_visit():
            self._refuse(HTTPStatus.FORBIDDEN, "the origin is not known")
            return False
        return True

    def _is_visit(self) -> bool:
        """A link to the page itself may be followed from anywhere: it has nothing in it before it is let in."""
        navigates = self.headers.get("Sec-Fetch-Mode") == "navigate" and self.headers.get("Origin") is None
        return self.command == "GET" and navigates and urlsplit(self.path).path == "/"

    def _data(self, path: str, query: str) -> None:
        view = _answers.ANSWERS.get(path.removeprefix("/data/")) if path.startswith("/data/") else None
        if view is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        try:
            asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=20))
            answer = view(self.server.observed, self.server.observed.look, asked)
        except (_answers.Refused, ValueError) as refused:
            self._refuse(HTTPStatus.BAD_REQUEST, str(refused))
            return
        self._answer(HTTPStatus.OK, _answers.encoded(answer), "application/json")

    def _stream(self) -> None:
        """Says what is new until the page goes away, the console ends, or the page is too slow."""
        if not self.server.streams.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
            return
        observed = self.server.observed
        observed.open_page()
        try:
            self._begin(HTTPStatus.OK, "text/event-stream", None, {})
            for event in self._events(observed):
                self.connection.settimeout(_PATIENCE)
                self.connection.sendall(event)
        finally:
            observed.close_page()
            self.server.streams.release()

    @staticmethod
    def _events(observed: Observed) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        version = -1
        while not observed.closed:
            look = observed.newer(version, _HEARTBEAT)
            if look.version == version:
                yield b": still here\n\n"
                continue
            version = look.version
            yield b"event: look\ndata: " + _answers.encoded(_answers.status(observed, look)) + b"\n\n"

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, _answers.encoded({"error": text}), "application/json")

    def _answer(
        self, status: HTTPStatus, content: bytes, kind: str | None, headers: dict[str, str] | None = None
    ) -> None:
        self._begin(status, kind, len(content), headers or {})
        self.connection.settimeout(_PATIENCE)
        self.connection.sendall(content)

    def _begin(self, status: HTTPStatus, kind: str | None, length: int | None, headers: dict[str, str]) -> None:
        self.close_connection = True
        self.connection.settimeout(_PATIENCE)
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in {**HEADERS, **headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Requests that the standard library refuses get the same headers, and nothing of what they sent."""
        status = HTTPStatus(code)
        self.request_version = "HTTP/1.0"
        if not hasattr(self, "command") or self.command is None:
            self.command = ""
        self._refuse(status, status.phrase)

    def log_message(self, *_: Any) -> None:
        """Nothing: a log would be one more place for what a request has in it."""

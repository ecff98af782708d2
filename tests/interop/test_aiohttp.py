"""aiohttp: a site and its client, and a server that a signal ends."""

import signal
import socket

import pytest

from tests.interop import running

pytestmark = running.needs("aiohttp")


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_site_and_client_talk(mode: str, transport: str) -> None:
    topics = ["keep-alive", "uploads", "streams", "downloads", "giving up", "resets", "websockets"]
    said = running.run(mode, "aiohttp_site.py", transport)
    assert [line for line in said if line in topics] == topics
    assert "ClientConnectorError 111" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_a_server_finish_what_it_has_begun(mode: str, number: signal.Signals) -> None:
    with running.started(mode, "aiohttp_run_app.py") as program:
        port = int(program.says(r"port (\d+)\n")[1])
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            program.says("asked")
            program.signal(number)
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"answered all the same")
        assert program.ended().split() == ["startup", "port", str(port), "asked", "cleanup", "clean"]

"""FastAPI under uvicorn, as a library and by its command line, and under gunicorn's workers."""

import http.client
import json
import os
import signal
import socket
import time

import pytest

from tests.interop import running
from tests.support.programs import free_port

pytestmark = running.needs("fastapi", "uvicorn", "httpx", "httptools", "wsproto", "websockets", "python_multipart")

KINDS = {
    "stock": {"loop": "asyncio.unix_events", "task": "_asyncio"},
    "loop": {"loop": "ferrio", "task": "_asyncio"},
    "whole": {"loop": "ferrio", "task": "ferrio"},
    "debug": {"loop": "ferrio", "task": "ferrio"},
}
SAID = ["startup", "asked", "ReadTimeout", "asked", "4321 as you wish", "403"]
FERRIO = ["--loop", "ferrio:new_event_loop"]


@pytest.mark.parametrize(
    "protocols",
    [
        ("h11", "wsproto", "tcp"),
        ("httptools", "websockets-sansio", "tcp"),
        ("httptools", "websockets-sansio", "tls"),
        ("h11", "websockets", "tls"),
    ],
    ids=" ".join,
)
def test_fastapi_serves_its_clients(mode: str, protocols: tuple[str, str, str]) -> None:
    said = running.run(mode, "uvicorn_site.py", *protocols, limit=90)
    assert said == [*SAID, str(KINDS[mode]), "shutdown"]


def ask(port: int, path: str) -> object:
    """The answer, as soon as there is a server."""
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        finally:
            connection.close()


def loop_options(mode: str) -> list[str]:
    return ["--loop", "asyncio"] if mode == "stock" else FERRIO


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorns_command_line_ends_with_what_it_has_begun(mode: str, number: signal.Signals, http: str) -> None:
    port = free_port()
    options = ["--app-dir", running.PROGRAMS, "--http", http, "--log-level", "warning", *loop_options(mode)]
    with running.started(mode, "-m", "uvicorn", "fastapi_app:app", "--port", port, *options) as program:
        assert ask(port, "/kinds") == KINDS[mode]
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            program.says("asked")
            program.signal(number)
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'"answered all the same"')
        # uvicorn ends by the signal that it got, save by Ctrl-C.
        status = -signal.SIGTERM if number == signal.SIGTERM else 0
        assert program.ended(status).split() == ["startup", "asked", "shutdown"]


def test_uvicorn_takes_the_default_loop_in_whole_mode() -> None:
    port = free_port()
    options = ["--app-dir", running.PROGRAMS, "--log-level", "warning", "--loop", "none"]
    with running.started("whole", "-m", "uvicorn", "fastapi_app:app", "--port", port, *options) as program:
        assert ask(port, "/kinds") == KINDS["whole"]
        program.signal(signal.SIGTERM)
        program.ended(-signal.SIGTERM)


@pytest.mark.parametrize("mode", ["stock", "loop"])
def test_uvicorns_workers_run_on_the_loop_it_is_told(mode: str) -> None:
    port = free_port()
    options = ["--app-dir", running.PROGRAMS, "--log-level", "warning", "--workers", 2, *loop_options(mode)]
    with running.started("stock", "-m", "uvicorn", "fastapi_app:app", "--port", port, *options) as program:
        assert ask(port, "/kinds") == KINDS[mode]
        program.signal(signal.SIGTERM)
        program.process.wait(30)
        # uvicorn's parent process, which has no loop, leaves its listening socket to the interpreter and hears of it.
        assert b"Traceback" not in program.printed("stderr"), program.report()
        said = program.printed("stdout")  # as the writes of several workers fell: two words may stand on one line
        assert said.count(b"shutdown") == said.count(b"startup") > 0


@running.needs("gunicorn")
@pytest.mark.parametrize("mode", ["loop", "whole"])
def test_gunicorns_workers_are_uvicorns(mode: str, tmp_path) -> None:
    port = free_port()
    options: list[object] = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gunicorn_worker.FerrioWorker"]
    options += ["--pythonpath", running.PROGRAMS, "--log-level", "warning", "--worker-tmp-dir", tmp_path]
    # In loop-only mode by nothing but the worker.
    starting = "stock" if mode == "loop" else "whole"
    with running.started(starting, "-m", "gunicorn", "fastapi_app:app", *options) as program:
        assert ask(port, "/kinds") == KINDS[mode]
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            program.says("asked")
            program.signal(signal.SIGTERM)
            assert client.makefile("rb").read().endswith(b'"answered all the same"')
        assert sorted(program.ended().split()) == ["asked", "shutdown", "startup"]
    assert not os.listdir(tmp_path)

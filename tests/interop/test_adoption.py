"""The spellings that docs/adopting.md recommends, each run as a user would type it.

What is asked is whose loop, tasks and locks the program gets in the end. A program that is not installed is skipped.
"""

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHOLE = "ferrio ferrio ferrio"
LOOP = "ferrio ferrio asyncio.locks"

APPLICATION = """
import asyncio

def kinds():
    parts = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock()
    return " ".join(type(part).__module__ for part in parts)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = kinds().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-length", b"%d" % len(body)]]})
    await send({"type": "http.response.body", "body": body})

async def web_app():
    from aiohttp import web
    async def answer(request):
        return web.Response(text=kinds())
    made = web.Application()
    made.router.add_get("/", answer)
    return made

if __name__ == "__main__":
    import sys
    from aiohttp import web
    web.run_app(web_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""

WORKER = """
from uvicorn.workers import UvicornWorker

class FerrioWorker(UvicornWorker):
    CONFIG_KWARGS = {"loop": "ferrio:new_event_loop"}
"""

FERRIO = ["-m", "ferrio"]
UVICORN = ["-m", "uvicorn", "application:app", "--port", "PORT"]
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:PORT", "--no-control-socket"]
SERVERS = {
    "uvicorn, its loop": (LOOP, ["uvicorn"], [*UVICORN, "--loop", "ferrio:new_event_loop"]),
    "uvicorn, whole": (WHOLE, ["uvicorn"], [*FERRIO, *UVICORN, "--loop", "none"]),
    "uvicorn, workers": (LOOP, ["uvicorn"], [*UVICORN, "--loop", "ferrio:new_event_loop", "--workers", "2"]),
    "gunicorn with uvicorn's worker": (
        LOOP,
        ["gunicorn", "uvicorn"],
        ["-W", "ignore", *GUNICORN, "-k", "worker.FerrioWorker", "application:app"],
    ),
    "gunicorn's own worker": (
        WHOLE,
        ["gunicorn"],
        [*FERRIO, *GUNICORN, "-k", "asgi", "--asgi-loop", "asyncio", "application:app"],
    ),
    "gunicorn with aiohttp's worker": (
        WHOLE,
        ["gunicorn", "aiohttp"],
        [*FERRIO, *GUNICORN, "-k", "aiohttp.GunicornWebWorker", "application:web_app"],
    ),
    "aiohttp": (WHOLE, ["aiohttp"], [*FERRIO, "application.py", "PORT"]),
}


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@contextlib.contextmanager
def served(arguments: list[str], directory: Path) -> Iterator[str]:
    """The server's address; it ends on a signal and has not complained by then."""
    (directory / "application.py").write_text(APPLICATION)
    (directory / "worker.py").write_text(WORKER)
    port = free_port()
    command = [sys.executable, *(argument.replace("PORT", port) for argument in arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])}
    with (directory / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}/"
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    text = (directory / "output").read_text()
    assert not re.search(r"Traceback|Error|Warning", text), text


def fetched(address: str, within: float = 30) -> str:
    deadline = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize(("kinds", "needed", "arguments"), SERVERS.values(), ids=SERVERS)
def test_a_server_runs_on_ferrio(kinds, needed, arguments, tmp_path):
    for name in needed:
        if not importlib.util.find_spec(name):
            pytest.skip(f"{name} is not installed")
    with served(arguments, tmp_path) as address:
        assert fetched(address) == kinds


TESTS = """
import asyncio

async def test_kinds():
    kinds = [type(part).__module__ for part in (asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock())]
    assert kinds == ["ferrio"] * 3, kinds
"""
PLUGINS = {
    "pytest-asyncio, by -m ferrio": (
        "pytest_asyncio",
        FERRIO,
        ["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto"],
        "",
    ),
    "pytest-asyncio, by its hook": (
        "pytest_asyncio",
        [],
        ["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto"],
        "import ferrio\nferrio.install()\n"
        "def pytest_asyncio_loop_factories(config, item):\n    return {'ferrio': ferrio.new_event_loop}\n",
    ),
    "anyio's": (
        "anyio",
        [],
        ["-p", "anyio"],
        "import ferrio, pytest\nferrio.install()\n"
        "@pytest.fixture(autouse=True)\n"
        "def anyio_backend():\n    return 'asyncio', {'loop_factory': ferrio.new_event_loop}\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.anyio)\n",
    ),
    "pytest-aiohttp": (
        "pytest_aiohttp",
        FERRIO,
        ["-p", "pytest_asyncio.plugin", "-p", "pytest_aiohttp.plugin", "--asyncio-mode=auto"],
        "",
    ),
}


@pytest.mark.parametrize(("plugin", "interpreter", "options", "conftest"), PLUGINS.values(), ids=PLUGINS)
def test_a_plugin_of_pytest_runs_tests_on_ferrio(plugin, interpreter, options, conftest, tmp_path):
    if not importlib.util.find_spec(plugin):
        pytest.skip(f"{plugin} is not installed")
    (tmp_path / "test_kinds.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, *interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


NOTEBOOK = """
import json, nbformat, pathlib, sys
from nbclient import NotebookClient
spec = pathlib.Path("kernels/ferrio/kernel.json")
spec.parent.mkdir(parents=True)
argv = [sys.executable, "-m", "ferrio", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
spec.write_text(json.dumps({"argv": argv, "display_name": "Python on ferrio", "language": "python"}))
notebook = nbformat.v4.new_notebook()
notebook.cells = [nbformat.v4.new_code_cell(pathlib.Path("cell.py").read_text())]
NotebookClient(notebook, timeout=60, kernel_name="ferrio").execute()
print(notebook.cells[0].outputs[0].text)
"""


def test_a_notebook_runs_on_ferrio(tmp_path):
    for name in ("nbclient", "ipykernel"):
        if not importlib.util.find_spec(name):
            pytest.skip(f"{name} is not installed")
    cell = "import asyncio\nawait asyncio.sleep(0)\nprint(type(asyncio.get_running_loop()).__module__)\n"
    (tmp_path / "cell.py").write_text(cell)
    environment = {**os.environ, "JUPYTER_PATH": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", NOTEBOOK]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.split() == ["ferrio"], done.stderr

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
STOCKS_LOOP = "asyncio.unix_events ferrio ferrio"
UVLOOPS = "uvloop ferrio ferrio"
# From Python 3.12 on aiohttp makes its tasks itself, by the name asyncio.Task.
AIOHTTPS_LOOP = "ferrio _asyncio asyncio.locks" if sys.version_info >= (3, 12) else LOOP

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
    import sys, ferrio
    port, how = int(sys.argv[1]), sys.argv[2:]
    if how == ["uvicorn"]:
        import uvicorn
        ferrio.install()
        uvicorn.run("application:app", port=port, loop="none")
    else:
        from aiohttp import web
        loop = {"loop": ferrio.new_event_loop()} if how else {}
        web.run_app(web_app(), host="127.0.0.1", port=port, print=None, **loop)
"""

WORKER = """
from uvicorn.workers import UvicornWorker

class FerrioWorker(UvicornWorker):
    CONFIG_KWARGS = {"loop": "ferrio:new_event_loop"}
"""

FERRIO = ["-m", "ferrio"]
CHILDREN = [*FERRIO, "--children"]
UVICORN = ["-m", "uvicorn", "application:app", "--port", "PORT"]
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:PORT", "--no-control-socket"]
SERVERS = {
    "uvicorn, its loop": (LOOP, ["uvicorn"], [*UVICORN, "--loop", "ferrio:new_event_loop"]),
    "uvicorn, whole": (WHOLE, ["uvicorn"], [*FERRIO, *UVICORN]),
    "uvicorn, whole, by none": (WHOLE, ["uvicorn"], [*FERRIO, *UVICORN, "--loop", "none"]),
    "uvicorn, workers": (WHOLE, ["uvicorn"], [*CHILDREN, *UVICORN, "--workers", "2"]),
    "uvicorn, reloading": (WHOLE, ["uvicorn"], [*CHILDREN, *UVICORN, "--reload"]),
    "uvicorn, the workers' loop": (LOOP, ["uvicorn"], [*UVICORN, "--loop", "ferrio:new_event_loop", "--workers", "2"]),
    "uvicorn, asyncio by name": (STOCKS_LOOP, ["uvicorn"], [*FERRIO, "--quiet", *UVICORN, "--loop", "asyncio"]),
    "uvicorn, uvloop by name": (UVLOOPS, ["uvicorn", "uvloop"], [*FERRIO, "--quiet", *UVICORN, "--loop", "uvloop"]),
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
    "uvicorn, from a program": (WHOLE, ["uvicorn"], ["application.py", "PORT", "uvicorn"]),
    "aiohttp": (WHOLE, ["aiohttp"], [*FERRIO, "application.py", "PORT"]),
    "aiohttp, its loop": (AIOHTTPS_LOOP, ["aiohttp"], ["application.py", "PORT", "loop"]),
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


def test_a_loop_that_uvicorns_user_names_is_kept_and_spoken_of(tmp_path):
    if not importlib.util.find_spec("uvicorn"):
        pytest.skip("uvicorn is not installed")
    with served([*FERRIO, *UVICORN, "--loop", "asyncio", "--log-level", "warning"], tmp_path) as address:
        assert fetched(address) == fetched(address) == STOCKS_LOOP
    (line,) = (tmp_path / "output").read_text().splitlines()
    assert re.match(r"ferrio: uvicorn \(.*server.py:\d+\) runs on asyncio.unix_events._UnixSelectorEventLoop", line)
    assert "use --loop auto" in line
    assert "--quiet" in line


TESTS = """
import asyncio, os
MARK

async def test_kinds():
    parts = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock()
    assert " ".join(type(part).__module__ for part in parts) == os.environ["KINDS"]
"""
HOOK = "def pytest_asyncio_loop_factories(config, item):\n    return {'ferrio': ferrio.new_event_loop}\n"
POLICY = "@pytest.fixture(scope='session')\ndef event_loop_policy():\n    return ferrio.EventLoopPolicy()\n"
IMPORT, INSTALL = "import ferrio, pytest\n", "import ferrio, pytest\nferrio.install()\n"
ANYIO = (
    "@pytest.fixture(autouse=True)\n"
    "def anyio_backend():\n    return 'asyncio', {'loop_factory': ferrio.new_event_loop}\n"
    "def pytest_collection_modifyitems(items):\n"
    "    for item in items:\n        item.add_marker(pytest.mark.anyio)\n"
)
ASYNCIO = ["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto"]
AIOHTTP = ["-p", "pytest_asyncio.plugin", "-p", "pytest_aiohttp.plugin", "--asyncio-mode=auto"]
MARKED = "import pytest\npytestmark = pytest.mark.asyncio(loop_factories=['ferrio'])"
# Whose kinds, the module it needs, the interpreter's arguments, pytest's, the conftest, and a mark of the tests.
PLUGINS = {
    "pytest-asyncio, by -m ferrio": (WHOLE, "pytest_asyncio", FERRIO, ASYNCIO, "", ""),
    "pytest-asyncio, by its hook": (WHOLE, "pytest_asyncio", [], ASYNCIO, INSTALL + HOOK, ""),
    "pytest-asyncio, by its hook and mark": (WHOLE, "pytest_asyncio", [], ASYNCIO, INSTALL + HOOK, MARKED),
    "pytest-asyncio, by its hook, the loop": (LOOP, "pytest_asyncio", [], ASYNCIO, IMPORT + HOOK, ""),
    "pytest-asyncio, by a policy": (WHOLE, "pytest_asyncio", [], ASYNCIO, INSTALL + POLICY, ""),
    "pytest-asyncio, by a policy, the loop": (LOOP, "pytest_asyncio", [], ASYNCIO, IMPORT + POLICY, ""),
    "anyio's": (WHOLE, "anyio", [], ["-p", "anyio"], INSTALL + ANYIO, ""),
    "anyio's, the loop": (LOOP, "anyio", [], ["-p", "anyio"], IMPORT + ANYIO, ""),
    "pytest-aiohttp": (WHOLE, "pytest_aiohttp", FERRIO, AIOHTTP, "", ""),
}


@pytest.mark.parametrize(
    ("kinds", "plugin", "interpreter", "options", "conftest", "mark"), PLUGINS.values(), ids=PLUGINS
)
def test_a_plugin_of_pytest_runs_tests_on_ferrio(kinds, plugin, interpreter, options, conftest, mark, tmp_path):
    if not importlib.util.find_spec(plugin):
        pytest.skip(f"{plugin} is not installed")
    (tmp_path / "test_kinds.py").write_text(TESTS.replace("MARK", mark))
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, *interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "KINDS": kinds}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


KINDS = """
import asyncio, ferrio

async def main():
    parts = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Lock()
    print(" ".join(type(part).__module__ for part in parts))

"""
CASE = """
import unittest

class Case(unittest.IsolatedAsyncioTestCase):
    FACTORY
    async def test_kinds(self):
        await main()

unittest.main()
"""
CELL = "async def outer():\n    await asyncio.to_thread(ferrio.run, main())\n\nasyncio.run(outer())\n"
FACTORY = CASE.replace("FACTORY", "loop_factory = ferrio.new_event_loop\n")
PROGRAMS = {
    "unittest, by install": (WHOLE, "ferrio.install()\n" + CASE.replace("FACTORY", "")),
    "unittest, by its factory": (LOOP, FACTORY),
    "in a thread of a notebook on another loop": (LOOP, CELL),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_on_ferrio(name, tmp_path):
    if name == "unittest, by its factory" and sys.version_info < (3, 13):
        pytest.skip("loop_factory came with Python 3.13")
    kinds, text = PROGRAMS[name]
    (tmp_path / "program.py").write_text(KINDS + text)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == kinds


def test_ipython_runs_on_ferrio(tmp_path):
    if not importlib.util.find_spec("IPython"):
        pytest.skip("IPython is not installed")
    cell = "import asyncio; await asyncio.sleep(0); print(type(asyncio.get_running_loop()).__module__)"
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *FERRIO, "-m", "IPython", "--no-banner", "-c", cell],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["ferrio"], done.stdout + done.stderr


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

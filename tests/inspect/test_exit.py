"""A program that ends while it is inspected, with socket, recorder and watchdog, ends as one that is not."""

import os
import subprocess
import sys

import pytest

from tests.process.test_exit import MASKS
from tests.support.exit_programs import DAEMON_END, DAEMONS, ENDS, HEAD, program

pytestmark = pytest.mark.timeout(120)

INSTALLED = "import ferrio; ferrio.install()"

# Somebody asks all the time.
ASKED = """
import socket as _socket, threading as _threading
from ferrio import inspect as _inspect

def _ask(path, socket=_socket.socket):
    while True:
        try:
            with socket(1) as connection:
                connection.connect(path)
                connection.sendall(b'{"view": "snapshot"}\\n')
                while connection.recv(65536):
                    pass
        except OSError:
            return

_threading.Thread(target=_ask, args=(_inspect.start(),), daemon=True).start()
"""

# Each of these ends before the interpreter does, or with it.
OWN = {
    "stopped": "_inspect.stop()",
    "started_at_exit": "import atexit\n_inspect.stop()\natexit.register(lambda: _inspect.start())",
    "stopped_at_exit": "import atexit\natexit.register(_inspect.stop)",
    "looked_at_in_finalizer": "class L:\n    def __del__(self, look=_inspect.snapshot, print=print):\n"
    "        print(look() is not None)\nkept.append(L())\nkept.append(kept)",
    "daemon_looks": "def look(look=_inspect.snapshot):\n    while True:\n        look()\n"
    "threading.Thread(target=look, daemon=True).start()\ntime.sleep(0.05)",
    "blocked": "async def block():\n    time.sleep(0.3)\n    sys.exit(7)\nasyncio.run(block())",
    "blocked_in_daemon": "async def block():\n    time.sleep(1000)\n"
    "threading.Thread(target=asyncio.run, args=(block(),), daemon=True).start()\n"
    "time.sleep(0.3)",
    "reported": "_inspect.on_blocked(lambda block: time.sleep(1000))\n"
    "async def block():\n    time.sleep(0.3)\nasyncio.run(block())",
    "dumps": "import tempfile\n_inspect.dump_traces(tempfile.mkdtemp(dir=sys.argv[1]))\n"
    "raise ValueError('of the program')",
}


def ends(directory, code: str, start: str, **variables: str) -> tuple[int, str, str]:
    """Status, output and errors of a program."""
    directory.chmod(0o700)
    path = directory / "program.py"
    path.write_text(code.replace("{start}", start, 1))
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory), "FERRIO_INSPECT": ""} | variables
    command = [sys.executable, path, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    error = done.stderr
    for pattern, replacement in MASKS:
        error = pattern.sub(replacement, error)
    return done.returncode, done.stdout, error


@pytest.mark.parametrize("end", list(ENDS.values()), ids=list(ENDS))
def test_an_inspected_program_ends_as_one_that_is_not(tmp_path, end):
    # So that no block is reported, whatever the machine does.
    plain = ends(tmp_path, HEAD + end, INSTALLED, FERRIO_BLOCKED="1000s")
    inspected = ends(tmp_path, HEAD + end, INSTALLED, FERRIO_BLOCKED="1000s", FERRIO_INSPECT="1")
    if inspected != plain and sys.version_info < (3, 12):
        # What is destroyed first depends on the order of imports there; this program has that of the inspected one.
        stopped = f"{INSTALLED}; import ferrio.inspect as _inspect; _inspect.stop(); del _inspect"
        plain = ends(tmp_path, HEAD + end, stopped, FERRIO_BLOCKED="1000s", FERRIO_INSPECT="1")
    assert inspected == plain


@pytest.mark.parametrize("body", list(DAEMONS.values()), ids=list(DAEMONS))
def test_daemon_loops_that_are_looked_at_do_not_disturb_the_end(tmp_path, body):
    code = program(body, ASKED + DAEMON_END)
    assert ends(tmp_path, code, INSTALLED, FERRIO_INSPECT="1", FERRIO_BLOCKED="1000s")[:2] == (0, "")


@pytest.mark.parametrize("name", OWN)
def test_inspection_ends_with_the_program(tmp_path, name):
    status, out, error = ends(tmp_path, HEAD + ASKED + OWN[name], INSTALLED, FERRIO_BLOCKED="50ms")
    assert status == {"blocked": 7, "dumps": 1}.get(name, 0), error
    assert out in ("", "True\n")
    assert "Fatal" not in error
    assert not list((tmp_path / "ferrio").glob("*.sock"))

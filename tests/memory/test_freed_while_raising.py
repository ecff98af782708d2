"""What is freed while an exception is on its way leaves that exception as it is.

Unwinding frees what it passes, so that a destructor may find an exception pending: one that calls Python has to set it
aside. `tests/support/freed_objects.py` has the table of objects and uses; a test below reports which class it lacks.
"""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import certificates

CRATES = Path(__file__).parents[2] / "crates"

# Classes of which no object is freed on its own, and what ends with them: the name as Python has it.
OWNED = {
    "Attempt": "the coroutine of a connection",
    "BufferView": "a call of a protocol's method",
    "Chain": "the futures that wrap_future joins",
    "Factory": "the coroutine of a connection",
    "FallbackProtocol": "the coroutine of sendfile",
    "InspectionService": "what inspect.start() makes, as does Watchdog",
    "Job": "a call in an executor's thread",
    "JobQueue": "an executor",
    "Link": "the future of an executor's job",
    "Listener": "a server",
    "Loss": "a turn of the loop",
    "MissingAttribute": "the class of the loop",
    "Pool": "a loop",
    "Simulation": "a run of ferrio.testing",
    "StartedTask": "a coroutine of anyio's task group",
    "Submission": "a turn of the loop",
    "TaskState": "a task of anyio's",
    "TlsProtocol": "a TLS transport",
    "Waiting": "the coroutine of wait",
    "Watch": "the coroutine of a connection",
    "Watchdog": "what inspect.start() makes",
    "WorkerPool": "anyio's worker threads",
    "_AsyncioTaskStatus": "a coroutine of anyio's task group",
    "_MemoryObjectItemReceiver": "a coroutine of a stream of anyio's",
    "_StreamWait": "a coroutine of a stream of anyio's",
    "_Waiters": "a lock",
    "as_completed" if sys.version_info >= (3, 13) else "_AsCompletedIterator": "nothing: it is another Python's",
}


@functools.cache
def outcome(kind: str, state: str) -> tuple[dict[str, str], set[str]]:
    """What each row prints, and the names of the types that were freed while an exception was on its way."""
    environment = os.environ | {"FERRIO_TEST_CERTIFICATES": str(certificates.directory())}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.freed_objects", kind, state],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    *lines, freed = done.stdout.splitlines() or [""]
    assert (done.returncode, done.stderr) == (0, ""), lines[-1:]
    return {name: said for name, _, said in (line.partition(" | ") for line in lines)}, set(freed.split())


@pytest.mark.parametrize("state", ["debug", "collecting"])
def test_exception_on_its_way_outlives_what_is_freed(state):
    ours, _ = outcome("ferrio", state)
    stock, _ = outcome("asyncio", state)
    assert {name: said for name, said in ours.items() if name in stock} == stock
    assert [(name, said) for name, said in ours.items() if "lost: " in said] == []


def test_each_class_is_freed_while_an_exception_is_on_its_way():
    declared = set()
    for source in CRATES.glob("ferrio-[cp]*/src/**/*.rs"):
        text = source.read_text()
        for arguments, name in re.findall(r"#\[pyclass\b([^\n]*)\n(?:\s*(?:#|//)[^\n]*\n)*[^\n]*struct (\w+)", text):
            shown = re.search(r'name = "(\w+)"', arguments)
            declared.add(shown[1] if shown else name)
    assert declared
    _, freed = outcome("ferrio", "debug")
    assert sorted(declared - freed - OWNED.keys()) == []
    assert sorted(OWNED.keys() & freed) == []

"""Programs that were never asked to be inspected, and the command that looks into them all the same."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.inspected import Inspected, ready

OLD = "processes can be entered from Python 3.14 on"

WHOLE = "import ferrio; ferrio.install()"
STOCK = ""

TWO_LOCKS = """
async def transfer(first, second):
    async with first:
        await asyncio.sleep(0.01)
        async with second:
            pass

async def main():
    one, two = asyncio.Lock(), asyncio.Lock()
    asyncio.get_running_loop().call_later(0.1, print, "ready")
    await asyncio.gather(
        asyncio.create_task(transfer(one, two), name="one two"),
        asyncio.create_task(transfer(two, one), name="two one"),
    )
"""


@contextlib.contextmanager
def uninspected(
    directory: Path, code: str, setup: str = WHOLE, *, options: tuple[str, ...] = (), **variables: str
) -> Iterator[Inspected]:
    """Runs `code`, which defines `main`, until the block ends; begins when the program says "ready"."""
    directory.chmod(0o700)
    program = directory / "program.py"
    begin = f"import asyncio, os, time\n{setup}\n"
    program.write_text(f"{begin}{textwrap.dedent(code)}\nif __name__ == '__main__':\n    asyncio.run(main())\n")
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory), "PYTHONUNBUFFERED": "1"}
    environment.pop("FERRIO_INSPECT", None)
    # What is made and removed meanwhile is made here.
    temporary = tempfile.mkdtemp(prefix="ferrio-")
    environment["TMPDIR"] = temporary
    process = subprocess.Popen(
        [sys.executable, *options, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | variables,
    )
    try:
        with ready(process, environment) as started:
            yield started
    finally:
        shutil.rmtree(temporary)


def fails(program: Inspected, *arguments: object, **variables: str) -> str:
    """The one line with which the command fails."""
    result = program.command(*arguments, **variables)
    assert (result.returncode, result.stdout) == (2, ""), result
    (line,) = result.stderr.splitlines()
    return line


def shows(program: Inspected, view: str, *arguments: object) -> str:
    """What a view of the program shows. Skips the test where processes may not be traced."""
    result = program.command(view, program.pid, *arguments)
    if "may not be read from outside" in result.stderr:
        pytest.skip("processes may not be traced here")
    assert result.returncode == 0, result
    assert "\n".join(result.stderr.splitlines()[1:]) == "", result
    return result.stdout


def threads_of(program: Inspected) -> int:
    return len(os.listdir(f"/proc/{program.pid}/task"))

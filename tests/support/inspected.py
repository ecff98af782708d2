"""Programs that are inspected from outside, each in a process and with a directory for sockets of its own."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# How a program runs on ferrio: whole, the loop alone with asyncio's own locks, and not at all.
WHOLE = "ferrio.install(); asyncio.run(main())"
LOOP = "asyncio.Runner(loop_factory=ferrio.new_event_loop).run(main())"
STOCK = "asyncio.run(main())"


def asking(directory: object) -> dict[str, str]:
    """Variables of a command that finds the processes of this directory alone: root looks at temporary files, too."""
    return {"FERRIO_INSPECT": "", "XDG_RUNTIME_DIR": str(directory), "TMPDIR": str(directory)}


class Inspected:
    """A program that runs, and the command that looks into it."""

    def __init__(self, process: "subprocess.Popen[str]", environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def directory(self) -> Path:
        return Path(self.environment["XDG_RUNTIME_DIR"], "ferrio")

    @property
    def socket(self) -> Path:
        return self.directory / f"{self.pid}.sock"

    def command(self, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs `ferrio`."""
        command = [sys.executable, "-m", "ferrio", *map(str, arguments)]
        environment = self.environment | asking(self.environment["XDG_RUNTIME_DIR"]) | variables
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)

    def show(self, view: str, *arguments: object) -> str:
        """What a view of the program prints."""
        result = self.command(view, self.pid, *arguments)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout

    def snapshot(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.show("ps", "--json"))
        return decoded

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first snapshot of which `holds` is true; the test's timeout ends the wait."""
        while not holds(snapshot := self.snapshot()):
            assert self.process.poll() is None, self.process.communicate()
        return snapshot

    def until_waiting(self, **kinds: str) -> dict[str, Any]:
        """The first snapshot in which each named task waits for what is said."""

        def holds(snapshot: dict[str, Any]) -> bool:
            return all(self.task(snapshot, name) == kind for name, kind in kinds.items())

        return self.until(holds)

    @staticmethod
    def task(snapshot: dict[str, Any], name: str) -> str | None:
        """What the task of that name waits for."""
        found = [task for task in snapshot["tasks"] if task["name"] == name]
        return found[0]["waits_for"]["kind"] if found and found[0]["waits_for"] else None


@contextlib.contextmanager
def inspected(
    directory: Path, code: str, *, run: str = WHOLE, options: tuple[str, ...] = (), path: str = "1"
) -> Iterator[Inspected]:
    """Runs `code`, which defines `main`, until the block ends; begins when the program says "ready"."""
    directory.chmod(0o700)
    program = directory / "program.py"
    program.write_text(f"import asyncio, ferrio\n{textwrap.dedent(code)}\nif __name__ == '__main__':\n    {run}\n")
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory), "FERRIO_INSPECT": path, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *options, str(program)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    with ready(process, environment) as started:
        yield started


@contextlib.contextmanager
def ready(process: "subprocess.Popen[str]", environment: dict[str, str]) -> Iterator[Inspected]:
    """A program that was started, from when it says "ready" until the block ends."""
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
        yield Inspected(process, environment)
    finally:
        process.kill()
        process.communicate()

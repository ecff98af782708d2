"""Starts each of the faulty programs, waits until its fault shows, and runs the command that finds it.

    python -m examples.faults.find               all of them
    python -m examples.faults.find two_locks     one of them

Each program runs in a process of its own, under `ferrio run --inspect`, and the command asks it from outside.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

# How long a program has for its fault to show, in seconds.
PATIENCE = 30.0


class Fault(NamedTuple):
    """A faulty program, the view that finds the fault, and what that view then says."""

    what: str
    view: str
    says: str


FAULTS = {
    "two_locks": Fault("two tasks wait for each other's locks", "why", r"DEADLOCK of \d+ tasks: .*"),
    "hung_child": Fault("a task group never ends", "why", r"for task group: task 'request 3'"),
    "blocked_loop": Fault("one task does not let the others run", "stacks", r"look_up \(.*blocked_loop\.py:\d+\)"),
}


class NotFoundError(Exception):
    """A command did not find the fault."""


@contextlib.contextmanager
def running(name: str) -> Iterator[Callable[[str], str]]:
    """Runs a faulty program, with a directory of its own for its socket; gives what asks it for a view."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"XDG_RUNTIME_DIR": directory}
        command = [sys.executable, "-m", "ferrio", "run", "--inspect", str(HERE / f"{name}.py")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:

            def look(view: str) -> str:
                asking = [sys.executable, "-m", "ferrio", view, str(process.pid)]
                done = subprocess.run(asking, capture_output=True, text=True, env=environment, timeout=PATIENCE)
                # While the process has not begun to answer, the command fails.
                return done.stdout if done.returncode == 0 else ""

            try:
                yield look
            finally:
                process.kill()


def find(name: str) -> tuple[str, str]:
    """The sentence that names the fault, and all that the command says; raises NotFoundError."""
    fault = FAULTS[name]
    with running(name) as look:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            text = look(fault.view)
            if found := re.search(fault.says, text):
                return found[0].strip(), text
    raise NotFoundError(f"`ferrio {fault.view}` has not found the fault of {name}.py in {PATIENCE:.0f} s")


def main(command_line: Sequence[str] | None = None) -> int:
    """Show what finds each fault."""
    parser = argparse.ArgumentParser(prog="python -m examples.faults.find", description="Find faults from outside.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"{', '.join(FAULTS)} (default: all)")
    arguments = parser.parse_args(command_line)
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    for name in arguments.faults or FAULTS:
        fault = FAULTS[name]
        print(f"{name}.py: {fault.what}\n$ ferrio {fault.view}", flush=True)
        try:
            _, text = find(name)
        except NotFoundError as failure:
            print(failure)
            return 1
        print("".join(f"    {line}\n" for line in text.splitlines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

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

# So that the lints speak sooner than after minutes.
LIMITS = "interval=0.2,lost_exception=0.5,spinning=0.5,held_lock=0.5,growing=1,growing_queue=50,growing_tasks=50"

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
    "busy_threads": Fault("all threads are busy", "io", r"save .* queued"),
    "slow_reader": Fault("a peer does not read", "io", r".* writing paused.*"),
    "lost_exception": Fault(
        "a task has failed, and nobody learns it", "ps", r"lost exception: task 'refresh'.* KeyError"
    ),
    "lost_task": Fault("nobody keeps a task", "ps", r"lost task: task 'write log'.*"),
    "spinning_task": Fault("a task wakes itself all the time", "ps", r"spinning task: task 'impatient'.*"),
    "held_lock": Fault("a lock is held for long", "ps", r"held lock: .* task 'refresh'.*"),
    "growing_queue": Fault("a queue only grows", "ps", r"growing queue: .*"),
    "leaking_tasks": Fault("tasks only grow", "ps", r"growing tasks: tasks created at handle .*"),
    "blocked_loop": Fault("one task does not let the others run", "stacks", r"look_up \(.*blocked_loop\.py:\d+\)"),
}


class NotFoundError(Exception):
    """A command did not find the fault."""


@contextlib.contextmanager
def running(name: str) -> Iterator[Callable[[str], str]]:
    """Runs a faulty program, with a directory of its own for its socket; gives what asks it for a view."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"XDG_RUNTIME_DIR": directory, "FERRIO_INSPECT_LINTS": LIMITS}
        command = [sys.executable, "-m", "ferrio", "run", "--inspect", str(HERE / f"{name}.py")]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as process:

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

"""Starts a program in a fresh interpreter, on stock asyncio or on ferrio, and holds it to a clean end.

A clean end is exit status 0 within the time limit and not a word on standard error: no warning, no traceback, no
"Task was destroyed", no "never retrieved". A program that uses `tests.interop.clean` says as its last line that
nothing stayed behind. A hang is a failure that shows the stacks of all threads.

Leaves to the programs what they check; an assertion that fails there ends them with a traceback, shown here.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support import certificates

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"

# Arguments to python before the program: stock asyncio, only the loop ferrio's, everything ferrio's, and the latter
# in asyncio's debug mode with the interpreter's own checks.
MODES = {
    "stock": [],
    "loop": ["-m", "tests.interop.loop_mode"],
    "whole": ["-m", "ferrio"],
    "debug": ["-X", "dev", "-W", "ignore::DeprecationWarning", "-m", "ferrio"],
}
# An error raised in a finalizer is printed, and what is printed fails the test. The rest of -X dev without asyncio's
# debug mode, which has ways of its own through the loop: those are the mode `debug`.
CHECKED = ["-X", "faulthandler", "-W", "error::ResourceWarning"]
# asyncio's debug mode speaks of what takes longer than 0.1 seconds, which on a busy machine is anything, and of the
# child processes that a program has its transports end.
DEBUG = re.compile(rb"^(Executing .* took \d+\.\d+ seconds|Close running child process: kill .*)\n", re.MULTILINE)

LIMIT = 60.0
CLEAN = "clean"


def needs(*modules: str, commands: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Skips without these: modules of requirements/interop.txt, and commands of the system."""
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    missing = [name for name in commands if shutil.which(name) is None]
    reasons = []
    if absent:
        reasons.append(f"needs the packages of requirements/interop.txt ({', '.join(absent)}): make interop")
    if missing:
        reasons.append(f"needs the system's {', '.join(missing)}")
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons) or "never")


def environment(**more: str) -> dict[str, str]:
    """Ours without the switches the modes set, with the tests to import, and with certificates."""
    switches = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS"}
    kept = {name: value for name, value in os.environ.items() if name not in switches}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    made = {"PYTHONPATH": path, "FERRIO_TEST_CERTIFICATES": str(certificates.directory())}
    return kept | made | {"PYTHONMALLOC": "debug"} | more


def command(mode: str, *arguments: object) -> list[str]:
    """`arguments` begin with a file in programs/, or are what follows `python -m`, with the `-m`."""
    first, *rest = map(str, arguments)
    if first != "-m":
        first = str(PROGRAMS / first)
    return [sys.executable, *CHECKED, *MODES[mode], first, *rest]


class Program:
    """A program on its way; its output is read when it has ended, or waited for with `says`."""

    def __init__(self, process: "subprocess.Popen[bytes]", **files: IO[bytes]):
        self.process = process
        self.files = files

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def says(self, pattern: str, limit: float = LIMIT) -> "re.Match[bytes]":
        """Waits until standard output or standard error holds the pattern."""
        deadline = time.monotonic() + limit
        while True:
            for name in ("stdout", "stderr"):
                if found := re.search(pattern.encode(), self.printed(name)):
                    return found
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{pattern!r} never came\n{self.report()}")
            time.sleep(0.01)

    def printed(self, name: str) -> bytes:
        """What it has printed so far; the files are shared with the program, so their positions are left alone."""
        file = self.files[name]
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)

    def report(self) -> str:
        parts = (f"-- {name}\n{self.printed(name).decode(errors='replace')}" for name in ("stdout", "stderr"))
        return f"{self.process.args!r}\nexit status {self.process.returncode}\n" + "\n".join(parts)

    def ended(self, status: int = 0, limit: float = LIMIT) -> str:
        """Standard output, when the program has ended with that status and silently."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)  # faulthandler prints the stacks
            self.process.wait(10)
            pytest.fail(f"no end within {limit} seconds\n{self.report()}")
        assert self.process.returncode == status, self.report()
        complaints = DEBUG.sub(b"", self.printed("stderr"))
        assert complaints == b"", self.report()
        return self.printed("stdout").decode()


@contextlib.contextmanager
def started(mode: str, *arguments: object, cwd: Path | None = None, **variables: str) -> Iterator[Program]:
    """The program while it runs; it is gone afterwards."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command(mode, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment(**variables),
            cwd=cwd or ROOT,
            # Programs in the background of a shell ignore SIGINT and hand that on: not here.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            yield Program(process, stdout=stdout, stderr=stderr)
        finally:
            process.kill()
            process.wait(10)


def run(mode: str, *arguments: object, limit: float = LIMIT, cwd: Path | None = None, **variables: str) -> list[str]:
    """The lines the program printed before its last, which says that nothing stayed behind."""
    with started(mode, *arguments, cwd=cwd, **variables) as program:
        lines = program.ended(limit=limit).splitlines()
        assert lines, program.report()
        assert lines[-1] == CLEAN, program.report()
        return lines[:-1]

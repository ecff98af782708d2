"""Runs a row under callgrind and counts its instructions by object file."""

import collections
import dataclasses
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable

from . import marks
from .measured import MISSING
from .rows import REQUESTS, ROWS, SERVERS

EXTENSION = "_ferrio."
ROOT = pathlib.Path(__file__).parents[2]

# How a dump names an object file: by a number, which is followed by the name where it first appears.
NUMBERED = re.compile(r"\((\d+)\)(?: (.*))?")


class Unavailable(Exception):
    """A package that the row needs is not installed in the environment to be measured."""


@dataclasses.dataclass(frozen=True)
class Count:
    """Instructions of one operation: those of the whole process, and those in ferrio's extension."""

    whole: float
    extension: float


def by_object(lines: Iterable[str]) -> collections.Counter[str]:
    """The instructions of one dump in each object file, in callgrind's format."""
    counts: collections.Counter[str] = collections.Counter()
    names: dict[str, str] = {}
    current, inclusive = "", False
    for line in lines:
        if line[0].isdigit() or line[0] in "+-*":
            # The line after `calls=` repeats the cost of the called function, which is counted in its own object file.
            if not inclusive:
                counts[current] += int(line.split()[1])
            inclusive = False
        elif line.startswith("calls="):
            inclusive = True
        elif line.startswith(("ob=", "cob=")):
            key, _, value = line.strip().partition("=")
            if numbered := NUMBERED.fullmatch(value):
                value = names.setdefault(numbered[1], numbered[2])
            if key == "ob":
                current = value
    return counts


def difference(shorter: pathlib.Path, longer: pathlib.Path, operations: int) -> Count:
    """The cost of each of `operations` additional operations."""
    with open(shorter, errors="replace") as before, open(longer, errors="replace") as after:
        counts = by_object(after)
        counts.subtract(by_object(before))
    extension = sum(count for name, count in counts.items() if os.path.basename(name).startswith(EXTENSION))
    return Count(counts.total() / operations, extension / operations)


def ask(port: int) -> None:
    """Sends the marks, and requests between them, with one request in flight on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as answers:
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def request(path: str) -> None:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode())
            assert answers.readline().startswith(b"HTTP/1.1 200")
            while answers.readline() != b"\r\n":
                pass
            assert answers.read(12) == b"Hello, world"

        for path, count in (("/start", REQUESTS), ("/dump", 20), ("/dump", REQUESTS), ("/dump", 2 * REQUESTS)):
            for _ in range(count):
                request("/")
            request(path)


def counted(python: str, implementation: str, name: str) -> Count:
    """Counts one row on the build that `python` imports."""
    library = marks.compiled(ROOT / "target" / "bench")
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "counts"
        command = ["setarch", platform.machine(), "-R", "valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={output}", python, "-m", "benches.instructions.measured"]
        process = subprocess.Popen(
            [*command, implementation, name, str(library)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if name in SERVERS:
                assert process.stdout
                answer = process.stdout.readline().strip()
                if answer.startswith(MISSING):
                    raise Unavailable(f"{answer.removeprefix(MISSING).strip()} is not installed for {python}")
                if answer:
                    ask(int(answer))
            _, errors = process.communicate(timeout=600)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode:
            raise SystemExit(f"{name} failed on {python}:\n{errors}")
        # The first dump covers everything before the first N operations, including the marks' own requests.
        return difference(
            output.with_suffix(".2"), output.with_suffix(".3"), REQUESTS if name in SERVERS else ROWS[name][1]
        )

"""A Python process that has imported what many programs need and forks for each, which saves their start and imports.

    python tests/support/prepared_python.py    (started by `Prepared`)

The child runs the program as `__main__` and ends as every interpreter ends; its output goes into files.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended; `status` is negative for a signal."""

    status: int
    output: str
    errors: str


class Prepared:
    """The process in which programs are forked. It ends with the one that has started it, at the latest."""

    def __init__(self, preamble: str, options: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, *options, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment))
        # What has come beyond the last answer: of a program that ends at once, both answers come together.
        self._received = b""
        # What serves is a child of that process, so that tests which look for children of their own find none.
        self._process.wait(60)
        self._ask(preamble)
        self._answer(60)

    def run(self, program: str, timeout: float = 60) -> Ended:
        """Runs a program after the preamble, in a child."""
        with tempfile.TemporaryDirectory() as directory:
            output, errors = Path(directory, "output"), Path(directory, "errors")
            self._ask([program, str(output), str(errors)])
            child = self._answer(timeout)
            try:
                status = self._answer(timeout)
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._answer(timeout)
                raise
            return Ended(os.waitstatus_to_exitcode(status), output.read_text(), errors.read_text())

    def _ask(self, request: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def _answer(self, timeout: float) -> int:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            if not select.select((self._process.stdout,), (), (), max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"no answer in {timeout} s")
            part = os.read(self._process.stdout.fileno(), 1 << 10)
            if not part:
                raise EOFError("the process has ended")
            self._received += part
        answer, _, self._received = self._received.partition(b"\n")
        return int(answer)

    def end(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def _serve() -> str | None:
    """Forks for each request; returns, in the child, the program to run."""
    answers = os.dup(1)
    os.write(answers, b"0\n")
    while line := _line():
        program, output, errors = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers)
            for path, descriptor in ((os.devnull, 0), (output, 1), (errors, 2)):
                opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                os.dup2(opened, descriptor)
                os.close(opened)
            assert isinstance(program, str)
            return program
        os.write(answers, b"%d\n" % child)
        os.write(answers, b"%d\n" % os.waitpid(child, 0)[1])
    return None


def _line() -> bytes:
    """The next request, unbuffered: a child must not inherit what it would read."""
    line = bytearray()
    while not line.endswith(b"\n") and (part := os.read(0, 1)):
        line += part
    return bytes(line)


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    namespace = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(json.loads(_line()), "<preamble>", "exec"), namespace)
    if (program := _serve()) is not None:
        exec(compile(program, "<program>", "exec"), namespace)

"""Peers that are other programs: started with pipes, read in a thread, then ended and reaped."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.support.peers import listening, until


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Program:
    """What it prints, errors included, gathers in `output`."""

    def __init__(self, process: subprocess.Popen[bytes]):
        assert process.stdin
        assert process.stdout
        self.process, self.input, self.printed = process, process.stdin, process.stdout
        self.output = bytearray()
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self):
        while chunk := self.printed.read(1 << 16):
            self.output += chunk

    def say(self, data: bytes):
        self.input.write(data)

    async def heard(self, text: bytes, count: int = 1):
        try:
            await until(lambda: self.output.count(text) >= count, 10)
        except TimeoutError:
            pytest.fail(f"{text!r} is not in {bytes(self.output)!r}")

    async def ended(self) -> int:
        """Its exit code, when all that it printed is there."""
        await until(lambda: self.process.poll() is not None and not self.listener.is_alive(), 10)
        return self.process.returncode


@contextlib.contextmanager
def running(*arguments: object, environment: dict[str, str] | None = None) -> Iterator[Program]:
    process = subprocess.Popen(
        [*map(str, arguments)],
        bufsize=0,
        env=os.environ | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    program = Program(process)
    try:
        yield program
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            program.input.close()
        program.listener.join(10)
        program.printed.close()
        process.wait(10)


def free_port() -> int:
    with listening() as listener:
        return listener.getsockname()[1]

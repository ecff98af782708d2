"""What the subprocess tests share: a protocol that records its calls, and short ways to start children."""

import asyncio
import gc
import sys
import textwrap
from asyncio.subprocess import PIPE

BIG = bytes(range(256)) * 8192  # 2 MiB: more than pipes hold


class Recorder(asyncio.SubprocessProtocol):
    def __init__(self):
        self.trace: list = []
        self.data = {1: b"", 2: b""}
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.trace.append("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, error):
        self.trace.append(("pipe lost", fd, type(error).__name__))

    def process_exited(self):
        self.trace.append("exited")

    def connection_lost(self, error):
        self.trace.append(("lost", error))
        self.lost.set_result(error)  # a second call would raise


async def shell(command: str, **keywords):
    return await asyncio.create_subprocess_shell(command, **keywords)


async def output(*arguments, **keywords) -> bytes:
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, **keywords)
    return (await process.communicate())[0]


async def flood(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(65536))
        await writer.drain()


def close_and_collect(loop) -> None:
    loop.close()
    gc.collect()


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-I", "-S", "-c", textwrap.dedent(code)

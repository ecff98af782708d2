"""Subprocesses: starting one, communicating with one. Most of the time is the system's and the child's."""

import asyncio
import subprocess

from .workload import workload


@workload
async def start_and_wait() -> int:
    for _ in range(20):
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
    return 20


@workload
async def communicate_100k() -> int:
    data = bytes(100_000)
    for _ in range(10):
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
        output, _ = await process.communicate(data)
        assert output == data
    return 10

"""Readers on pipes and socket pairs."""

import asyncio
import os

from .workload import workload


@workload
async def reader_on_a_pipe() -> int:
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    left, done = 5000, loop.create_future()

    def readable():
        nonlocal left
        os.read(read, 1)
        left -= 1
        if left:
            os.write(write, b"x")
        else:
            done.set_result(None)

    loop.add_reader(read, readable)
    os.write(write, b"x")
    await done
    loop.remove_reader(read)
    os.close(read)
    os.close(write)
    return 5000


@workload
async def add_and_remove() -> int:
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    for _ in range(5000):
        loop.add_reader(read, print)
        loop.remove_reader(read)
    os.close(read)
    os.close(write)
    return 5000

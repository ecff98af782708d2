"""Prints which loop and task class a program gets; with an argument, it leaves the named thing unfinished."""

import asyncio
import socket
import sys

from tests.interop import clean

kept = []


async def main() -> None:
    loop = asyncio.get_running_loop()
    print(type(loop).__module__, asyncio.Task.__module__.split(".")[0], loop.get_debug())
    match sys.argv[1:]:
        case ["task"]:
            kept.append(asyncio.ensure_future(asyncio.sleep(10)))
        case ["descriptor"]:
            kept.append(socket.socket())
        case ["resource"]:
            socket.socket()
        case ["exception"]:
            failing = asyncio.ensure_future(fail())
            await asyncio.wait([failing])
        case ["hang"]:
            await loop.create_future()


async def fail() -> None:
    raise ValueError("nobody asks for it")


clean.run(main)

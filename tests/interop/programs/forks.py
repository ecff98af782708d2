"""os.fork while the loop runs: the child runs its own loop, and the parent's continues unchanged.

Forks before there is any thread, as the child has only the thread that forked.
"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal

from tests.interop import clean


async def in_the_child() -> int:
    """What a child does on its own loop: tasks, a server with a client, and a process of its own."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(100_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(10)]
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(100_000))
        assert await reader.read() == bytes(100_000)
        writer.close()
        await writer.wait_closed()
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    return sum(task.result() for task in tasks)


def child() -> int:
    """The exit status: 45 when no loop is said to run here and one of our own does its work."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(in_the_child())
    return 1


async def forks() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()
        await writer.wait_closed()

    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    loop.add_signal_handler(signal.SIGUSR1, signals.put_nowait, None)
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(3):
            waiting = asyncio.create_task(asyncio.sleep(0.05, "slept"))
            reading = asyncio.create_task(reader.readline())
            await asyncio.sleep(0)
            if not (pid := os.fork()):
                status = 2
                try:
                    status = child()
                finally:
                    os._exit(status)
            writer.write(b"%d\n" % number)
            assert await reading == b"%d\n" % number
            assert await waiting == "slept"
            while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
                await asyncio.sleep(0.005)
            assert os.waitstatus_to_exitcode(ended[1]) == 45, ended
            os.kill(os.getpid(), signal.SIGUSR1)
            await signals.get()
        writer.close()
        await writer.wait_closed()
    loop.remove_signal_handler(signal.SIGUSR1)
    print("forks")


def run_in_the_pool(number: int) -> int:
    return asyncio.run(in_the_child()) + number


async def forked_pool() -> None:
    """A pool whose workers are forked from the thread that runs the loop."""
    loop = asyncio.get_running_loop()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        answers = await asyncio.gather(*(loop.run_in_executor(pool, run_in_the_pool, n) for n in range(6)))
        assert answers == [45 + n for n in range(6)]
        killed = loop.run_in_executor(pool, os._exit, 1)
        try:
            await killed
        except concurrent.futures.process.BrokenProcessPool:
            print("a forked pool")


async def main() -> None:
    await forks()
    await forked_pool()


if __name__ == "__main__":
    clean.run(main)

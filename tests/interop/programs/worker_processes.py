"""Pools of threads and processes, and loops in child processes, by every start method."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import time

from tests.interop import clean


def square(number: int) -> int:
    return number * number


def fail(_: int) -> int:
    raise ArithmeticError("in the worker")


def loop_in_a_child(number: int) -> tuple[int, str]:
    async def inside() -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(number)]
        return sum(task.result() for task in tasks)

    return asyncio.run(inside()), ""


async def pools(method: str) -> None:
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        squares = await asyncio.gather(*(loop.run_in_executor(pool, square, n) for n in range(50)))
        assert squares == [n * n for n in range(50)]
        try:
            await loop.run_in_executor(pool, fail, 0)
        except ArithmeticError as error:
            print(error)
        inner = await asyncio.gather(*(loop.run_in_executor(pool, loop_in_a_child, n) for n in range(5)))
        assert [total for total, _ in inner] == [sum(range(n)) for n in range(5)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        slept = [loop.run_in_executor(threads, time.sleep, 0.01) for _ in range(20)]
        done, pending = await asyncio.wait(slept, timeout=10)
        assert len(done) == 20
        assert not pending
        wrapped = asyncio.wrap_future(threads.submit(square, 12))
        assert await wrapped == 144
    print("pools", method)


def child(connection: "multiprocessing.connection.Connection") -> None:
    connection.send(loop_in_a_child(10)[0])
    connection.close()


async def children(method: str) -> None:
    """The loop of the parent keeps running while each child runs a loop of its own."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    theirs.close()
    received = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(ours.fileno(), lambda: received.done() or received.set_result(ours.recv()))
    ticks = 0
    while not received.done():
        await asyncio.sleep(0.005)
        ticks += 1
    asyncio.get_running_loop().remove_reader(ours.fileno())
    assert received.result() == sum(range(10))
    ours.close()
    await asyncio.to_thread(process.join, 10)
    assert process.exitcode == 0
    process.close()
    print(method, ticks > 0)


async def main() -> None:
    await pools("spawn")
    await pools("forkserver")
    for method in ("spawn", "forkserver", "fork"):
        await children(method)


if __name__ == "__main__":
    asyncio.run(clean.checked(main))
    # The trackers of multiprocessing stay for the life of the process, on every loop.
    print("clean", flush=True)
    os._exit(0)

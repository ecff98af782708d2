"""A program whose tasks come and go while threads look at them in every way; says how often they looked.

It runs in a process of its own, with the number of rounds as argument: under development mode in the tests, and by hand
under a debug build or valgrind, where rounds take longer.
"""

import asyncio
import json
import logging
import socket
import sys
import threading
from typing import Any

import ferrio
from ferrio import inspect

KEPT = {f"kept {number}" for number in range(20)}


async def short(depth: int) -> None:
    """Ends in one of several ways."""
    await asyncio.sleep(0)
    if depth:
        await asyncio.gather(short(depth - 1), asyncio.create_task(short(depth - 1)), return_exceptions=True)
    else:
        raise ValueError


async def passes(lock: asyncio.Lock, semaphore: asyncio.Semaphore, queue: "asyncio.Queue[int]") -> None:
    """Goes through what snapshots name holders and waiters of."""
    async with lock, semaphore:
        await queue.put(1)
        await asyncio.sleep(0)
        await queue.get()


async def is_cancelled() -> None:
    """Ends by a timeout."""
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        pass


async def round_of_tasks() -> None:
    """Many tasks, all of which end."""
    lock, semaphore, queue = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Queue[int](3)
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(passes(lock, semaphore, queue))
            group.create_task(is_cancelled())
        if sys.version_info >= (3, 12):
            group.create_task(asyncio.wait_for(eager(), None))
        await short(4)


async def eager() -> None:
    """Eager tasks, of which some end at once."""
    loop = asyncio.get_running_loop()
    options: Any = {"loop": loop, "eager_start": True}
    await asyncio.gather(*(asyncio.Task(asyncio.sleep(delay), **options) for delay in (0, 0.001)))


async def main(rounds: int) -> None:
    """Rounds of tasks, with some that stay."""
    never = asyncio.Event()
    kept = [asyncio.create_task(never.wait(), name=name) for name in KEPT]
    await asyncio.sleep(0)
    looking = Looking()
    try:
        place = 0
        while place < rounds or not looking.has_looked():
            await round_of_tasks()
            place += 1
            looking.check()
    finally:
        await asyncio.to_thread(looking.end)
        for task in kept:
            task.cancel()


class Looking:
    """Threads that look, each in its own way."""

    def __init__(self) -> None:
        self.ended = False
        self.failure: BaseException | None = None
        ways = (self.snapshot, self.ask, self.others)
        self.counts = dict.fromkeys((way.__name__ for way in ways), 0)
        self.threads = [threading.Thread(target=self.look, args=(way,)) for way in ways]
        for thread in self.threads:
            thread.start()

    def look(self, way: "object") -> None:
        """Until the end, or until it fails."""
        try:
            while not self.ended:
                way()  # type: ignore[operator]
                self.counts[way.__name__] += 1  # type: ignore[attr-defined]
        except BaseException as error:
            self.failure = error

    def snapshot(self) -> None:
        """From another thread: each task once, and those that stay in every snapshot."""
        check(inspect.snapshot())

    def ask(self) -> None:
        """By the socket."""
        for request in ({"view": "snapshot"}, {"view": "metrics"}, {"view": "trace"}):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(inspect.start())
                connection.sendall(json.dumps(request).encode() + b"\n")
                parts = []
                while part := connection.recv(1 << 16):
                    parts.append(part)
            answer = json.loads(b"".join(parts))
            assert "error" not in answer, answer
            if request["view"] == "snapshot" and not answer["partial"]:
                check(answer)

    def others(self) -> None:
        """What else there is."""
        inspect.metrics()
        inspect.prometheus()
        inspect.why()
        inspect.trace()
        inspect.blocks()

    def has_looked(self) -> bool:
        """In every way."""
        self.check()
        return all(self.counts.values())

    def check(self) -> None:
        """Raises what a thread has failed with."""
        if self.failure is not None:
            raise self.failure

    def end(self) -> None:
        """Waits for the threads."""
        self.ended = True
        for thread in self.threads:
            thread.join()
        self.check()


def check(snapshot: "inspect.Snapshot") -> None:
    """That nothing is lost or there twice."""
    identifiers = [task["id"] for task in snapshot["tasks"]]
    assert len(set(identifiers)) == len(identifiers)
    assert {task["name"] for task in snapshot["tasks"]} >= KEPT
    for task in snapshot["tasks"]:
        if task["name"] in KEPT:
            assert task["waits_for"] is not None, task
            assert (task["state"], task["waits_for"]["kind"]) == ("waiting", "event")


def of_a_thread(rounds: int) -> None:
    """A second loop, in a thread, that ends and begins anew."""

    async def several() -> None:
        await asyncio.gather(*(short(1) for _ in range(3)), return_exceptions=True)

    for _ in range(rounds):
        asyncio.run(several())


if __name__ == "__main__":
    ferrio.install()
    # Blocks are reported: the machine may be busy, and debug mode is slow.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    inspect.start(blocked=0.02, recorder=1024)
    inspect.on_blocked(lambda block: None)
    other = threading.Thread(target=of_a_thread, args=(int(sys.argv[1]),))
    other.start()
    asyncio.run(main(int(sys.argv[1])))
    other.join()
    inspect.stop()
    print("looked")

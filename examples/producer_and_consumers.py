"""Queue: a producer, several consumers, and back pressure between them.

Shown here: `put` that waits while the queue is full, `get` that waits while it is empty, `task_done` and `join`,
ending consumers with a sentinel, and a `PriorityQueue`.

The program reads the log of a web server and counts what happened, with three consumers that share the work.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

# What the producer puts last, once for each consumer: there is no more to come.
END = None


def log_lines(count: int) -> Iterator[str]:
    """A made-up log, the same every time."""
    random_numbers = random.Random(2024)
    for _ in range(count):
        path = random_numbers.choice(["/", "/about", "/shop", "/shop/cart"])
        status = random_numbers.choice([200, 200, 200, 200, 304, 404, 500])
        yield f"GET {path} {status}"


@dataclass
class Statistics:
    """What the consumers find out."""

    statuses: Counter[str] = field(default_factory=Counter)
    handled_by: Counter[str] = field(default_factory=Counter)
    longest_queue: int = 0


async def producer(queue: asyncio.Queue[str | None], lines: int, consumers: int) -> None:
    """Put every line, then one END per consumer. The queue is bounded, so a fast producer is slowed down here."""
    for line in log_lines(lines):
        await queue.put(line)
    for _ in range(consumers):
        await queue.put(END)


async def consumer(name: str, queue: asyncio.Queue[str | None], statistics: Statistics) -> None:
    """Take lines until END comes."""
    while True:
        statistics.longest_queue = max(statistics.longest_queue, queue.qsize())
        line = await queue.get()
        try:
            if line is END:
                return
            _method, _path, status = line.split()
            await asyncio.sleep(0.002)  # a look into a database, say
            statistics.statuses[status] += 1
            statistics.handled_by[name] += 1
        finally:
            queue.task_done()  # join() counts these


async def analyse(lines: int) -> Statistics:
    """Run one producer and three consumers to the end."""
    statistics = Statistics()
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=5)
    names = ["first", "second", "third"]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(consumer(name, queue, statistics))
        await producer(queue, lines, consumers=len(names))
        await queue.join()  # every line that was put has been dealt with
    return statistics


async def by_urgency() -> list[str]:
    """A priority queue hands out the smallest first, whatever the order of putting."""
    queue: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    for urgency, job in ((3, "sweep"), (1, "put out the fire"), (2, "answer the phone")):
        queue.put_nowait((urgency, job))
    return [(await queue.get())[1] for _ in range(queue.qsize())]


async def main() -> None:
    """Analyse the log and print what was found."""
    statistics = await analyse(lines=120)
    for status, times in sorted(statistics.statuses.items()):
        print(f"{status}: {times:3} times")
    print(f"lines: {statistics.handled_by.total()}, consumers that helped: {len(statistics.handled_by)}")
    print(f"the queue never held more than {statistics.longest_queue}")
    print(f"by urgency: {', '.join(await by_urgency())}")


if __name__ == "__main__":
    asyncio.run(main())

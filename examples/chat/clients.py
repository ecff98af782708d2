"""The clients: each says its lines, hears everybody else's, and checks that it has heard them all, in order.

Everybody is welcomed before the first word is said, so nobody misses it.
"""

import asyncio
from dataclasses import dataclass

from .server import WELCOME


@dataclass(frozen=True)
class Party:
    """How many clients there are, and how many lines each of them says."""

    clients: int
    lines: int

    @property
    def deliveries(self) -> int:
        """Every line reaches everybody but the one who says it."""
        return self.clients * self.lines * (self.clients - 1)


class WrongDelivery(Exception):
    """A client has not heard what it should have."""


async def converse(number: int, party: Party, port: int, barrier: asyncio.Barrier) -> int:
    """Be one client from start to end. Returns how many lines it has heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"%d\n" % number)
        if await reader.readline() != WELCOME:
            raise WrongDelivery(f"client {number} is not welcome")
        await barrier.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(_say(number, party, writer))
            heard = group.create_task(_hear(number, party, reader))
        return heard.result()
    finally:
        writer.close()
        await writer.wait_closed()


async def _say(number: int, party: Party, writer: asyncio.StreamWriter) -> None:
    for line in range(party.lines):
        writer.write(b"line %d\n" % line)
        await writer.drain()
        await asyncio.sleep(0)  # let the others get a word in


async def _hear(number: int, party: Party, reader: asyncio.StreamReader) -> int:
    """Count down what each of the others still has to say; anything out of order is an error."""
    next_line = dict.fromkeys((b"%d" % other for other in range(party.clients) if other != number), 0)
    expected = len(next_line) * party.lines
    for _ in range(expected):
        message = await reader.readline()
        speaker, _, said = message.partition(b": ")
        if said != b"line %d\n" % next_line.get(speaker, -1):
            raise WrongDelivery(f"client {number} heard {message!r}")
        next_line[speaker] += 1
    return expected


async def hold(party: Party, port: int, limit: float) -> int:
    """Run all clients, for no longer than `limit` seconds. Returns how many lines all of them have heard."""
    barrier = asyncio.Barrier(party.clients)
    async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
        tasks = [group.create_task(converse(number, party, port, barrier)) for number in range(party.clients)]
    return sum(task.result() for task in tasks)

"""Async iterators and generators: `async for` over what comes bit by bit.

Shown here: a class with `__aiter__` and `__anext__`, `async def` with `yield`, comprehensions with `async for`,
generators chained into a pipeline, `aclosing` for leaving early, and what the loop does with a generator that was
left behind.

The program follows the measurements of a sensor, which a server sends line by line.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

READINGS = [18, 19, 19, 24, 31, 33, 28, 22, 21, 20]


async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the measurements and hang up."""
    writer.writelines(f"{reading}\n".encode() for reading in READINGS)
    await writer.drain()
    writer.close()


class Sensor:
    """An async iterator by hand: `__anext__` is awaited for each item, StopAsyncIteration ends the loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __aiter__(self) -> "Sensor":
        """Not a coroutine: it only says who is iterated over."""
        return self

    async def __anext__(self) -> int:
        """The next measurement; the first call opens the connection."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        line = await self._reader.readline()
        if not line:
            assert self._writer is not None
            self._writer.close()
            raise StopAsyncIteration
        return int(line)


async def measurements(port: int) -> AsyncGenerator[int, None]:
    """The same as a generator, which is mostly the shorter way: write the loop, yield the items."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # A StreamReader is an async iterator too, over lines.
        async for line in reader:
            yield int(line)
    finally:
        writer.close()
        print("  connection closed")


async def averages(values: AsyncIterator[int], width: int) -> AsyncIterator[float]:
    """A generator that feeds on another one: the mean of the last few values."""
    window: list[int] = []
    async for value in values:
        window = [*window, value][-width:]
        if len(window) == width:
            yield sum(window) / width


async def wait_for_alarm(port: int, limit: int) -> int:
    """Leave early. aclosing runs the generator's `finally` at the end of the block, not at some later time."""
    async with aclosing(measurements(port)) as values:
        async for value in values:
            if value > limit:
                return value
    raise LookupError("never that hot")


async def ticks() -> AsyncIterator[int]:
    """A generator that never ends by itself."""
    try:
        tick = 0
        while True:
            yield tick
            tick += 1
            await asyncio.sleep(0.001)
    finally:
        await asyncio.sleep(0)  # clean-up may await, which is why the loop has to do it
        print("  clock stopped")


# Held here so that it outlives main(): see the end of the program.
left_behind: list[AsyncIterator[int]] = []


async def main() -> None:
    """Read the sensor in several ways."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]

        print("a class:")
        total = 0
        async for value in Sensor(port):
            total += value
        print(f"  sum {total}")

        print("a generator in a comprehension:")
        hot = [value async for value in measurements(port) if value > 25]
        print(f"  hot: {hot}")

        print("a pipeline:")
        print(f"  means: {[round(mean, 1) async for mean in averages(measurements(port), width=4)]}")

        print("leaving early:")
        print(f"  alarm at {await wait_for_alarm(port, limit=30)}")

        print("left behind:")
        clock = ticks()
        left_behind.append(clock)
        print(f"  ticks {[await anext(clock), await anext(clock)]}")
    # asyncio.run now closes the generator that was never finished, with loop.shutdown_asyncgens().


if __name__ == "__main__":
    asyncio.run(main())
    print("done")
